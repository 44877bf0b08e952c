// app/demo_shop.cpp
//
// Seven small stores and the JSON that they answer, without white space: what is composed of it stands on a line. POST takes a form,
// as `curl -d` sends it.
#include "app/demo_shop.h"

#include <algorithm>
#include <array>
#include <string>

#include "async/agenda.h"
#include "base/text.h"
#include "data/json.h"
#include "pipeline/problem.h"

namespace portloom::app {
namespace {

using data::JsonWriter;
using pipeline::Request;
using pipeline::Response;

constexpr size_t form_bytes_max = 4096;
constexpr size_t records_max = 1000;  // orders and payments that a demo may add

struct Item {
  std::string_view sku;
  std::string_view name;
  uint64_t cents;
  uint64_t stock;
};
constexpr std::array<Item, 5> items{{{"mug", "Enamel mug", 1490, 120},
                                     {"lamp", "Desk lamp", 4900, 17},
                                     {"notebook", "Dotted notebook, A5", 890, 340},
                                     {"chair", "Folding chair", 6500, 0},
                                     {"tea", "Green tea, 100 g", 725, 58}}};

struct User {
  uint64_t id;
  std::string_view name;
  std::string_view mail;
  std::string_view city;
  std::string_view favourite;  // an item's sku
};
constexpr std::array<User, 3> users{{{1, "Ada Brandt", "ada@shop.example", "Hamburg", "tea"},
                                     {2, "Ben Okafor", "ben@shop.example", "Lagos", "lamp"},
                                     {3, "Chiara Rossi", "chiara@shop.example", "Torino", "chair"}}};

const Item* find_item(std::string_view sku) {
  auto found = std::find_if(items.begin(), items.end(), [&](const Item& item) { return item.sku == sku; });
  return found == items.end() ? nullptr : &*found;
}

const User* find_user(std::string_view id) {
  auto found = std::find_if(users.begin(), users.end(), [&](const User& user) { return parse_number(id) == user.id; });
  return found == users.end() ? nullptr : &*found;
}

// "14.90"
std::string money(uint64_t cents) {
  std::string text = std::to_string(cents / 100) + ".";
  return text + static_cast<char>('0' + cents / 10 % 10) + static_cast<char>('0' + cents % 10);
}

// The value of `name` in "user=1&sku=mug"; empty when it is not there. Escapes stay: nothing in the shop needs them.
std::string_view value_of(std::string_view form, std::string_view name) {
  while (!form.empty()) {
    std::string_view pair = form.substr(0, form.find('&'));
    form.remove_prefix(std::min(pair.size() + 1, form.size()));
    if (pair.starts_with(name) && pair.substr(name.size()).starts_with('=')) return pair.substr(name.size() + 1);
  }
  return {};
}

// Calls `write(JsonWriter&)` for the body.
Response answer(uint16_t status, auto write) {
  std::string json;
  JsonWriter writer(json);
  write(writer);
  Response response(status);
  response.headers.add(http::Name::content_type, "application/json");
  response.body = http::Body(Bytes::copy(json));
  return response;
}

Response wrong(uint16_t status, std::string_view what) {
  return answer(status, [&](JsonWriter& json) { json.begin_object().member("error", what).end_object(); });
}

void write_item(JsonWriter& json, const Item& item, bool with_stock) {
  json.begin_object().member("sku", item.sku).member("name", item.name).key("price").raw(money(item.cents));
  if (with_stock) json.member("stock", item.stock);
  json.end_object();
}

void write_user(JsonWriter& json, const User& user) {
  json.begin_object().member("id", user.id).member("name", user.name).member("mail", user.mail).member("city", user.city);
  json.member("favourite", user.favourite).end_object();
}

// What all seven have in common: /NAME, /NAME/ID, and a POST whose form is read first.
class Store : public pipeline::Service {
 public:
  Task<Response> call(Request& request) override {
    if (request.method() == http::Method::POST) {
      std::string form;
      while (true) {
        Result<Bytes> piece = co_await request.body.read();
        if (!piece) co_return pipeline::fault_response(400, std::move(piece.error()));
        if (piece->empty()) break;
        form += piece->view();
        if (form.size() > form_bytes_max) co_return wrong(413, "that is more than a form");
      }
      co_return create(form);
    }
    std::string_view rest = request.path();
    rest.remove_prefix(std::min(rest.find('/', 1), rest.size()));
    if (rest.starts_with('/')) rest.remove_prefix(1);
    if (request.query() == "slow" || is_slow()) co_await sleep_for(2s);
    if (rest.empty()) co_return list(request.query());
    co_return one(rest);
  }

 private:
  virtual Response list(std::string_view query) = 0;
  virtual Response one(std::string_view id) = 0;
  virtual Response create(std::string_view) { return wrong(405, "nothing can be added here"); }
  virtual bool is_slow() const { return false; }
};

// What has not been taken out yet: the pages, the catalogue and the cart.
class Monolith final : public pipeline::Service {
 public:
  [[clang::coro_wrapper, clang::coro_disable_lifetimebound]] Task<Response> call(Request& request) override {
    if (request.path() == "/catalogue") return ready(catalogue());
    if (request.path() == "/cart") return ready(cart());
    return ready(front());
  }

 private:
  static Response front() {
    return answer(200, [](JsonWriter& json) {
      json.begin_object().member("shop", "The Weaver's Shop").member("answered_by", "monolith").key("pages").begin_array();
      json.value("/catalogue").value("/cart").end_array().end_object();
    });
  }
  static Response catalogue() {
    return answer(200, [](JsonWriter& json) {
      json.begin_object().member("answered_by", "monolith").key("items").begin_array();
      for (const Item& item : items) write_item(json, item, false);
      json.end_array().end_object();
    });
  }
  static Response cart() {
    return answer(200, [](JsonWriter& json) {
      json.begin_object().member("answered_by", "monolith").member("user", 1).key("items").begin_array();
      json.begin_object().member("sku", "tea").member("quantity", 2).end_object().end_array();
      json.key("total").raw(money(2 * find_item("tea")->cents)).end_object();
    });
  }
};

class Users final : public Store {
  Response list(std::string_view) override {
    return answer(200, [](JsonWriter& json) {
      json.begin_array();
      for (const User& user : users) write_user(json, user);
      json.end_array();
    });
  }
  Response one(std::string_view id) override {
    const User* user = find_user(id);
    if (user == nullptr) return wrong(404, "no such user");
    return answer(200, [&](JsonWriter& json) { write_user(json, *user); });
  }
};

class Orders final : public Store {
  struct Line {
    const Item* item;
    uint64_t quantity;
  };
  struct Order {
    uint64_t id;
    uint64_t user;
    std::string_view state;
    std::vector<Line> lines;
  };
  std::vector<Order> orders_{{1001, 1, "shipped", {{find_item("mug"), 2}, {find_item("tea"), 1}}},
                             {1002, 2, "packed", {{find_item("lamp"), 1}}},
                             {1003, 1, "open", {{find_item("notebook"), 3}, {find_item("mug"), 1}}}};

  static uint64_t total_of(const Order& order) {
    uint64_t total = 0;
    for (const Line& line : order.lines) total += line.quantity * line.item->cents;
    return total;
  }
  static void write(JsonWriter& json, const Order& order) {
    json.begin_object().member("id", order.id).member("user", order.user).member("state", order.state).key("items").begin_array();
    for (const Line& line : order.lines) {
      json.begin_object()
          .member("sku", line.item->sku)
          .member("quantity", line.quantity)
          .key("price")
          .raw(money(line.item->cents))
          .end_object();
    }
    json.end_array().key("total").raw(money(total_of(order))).member("currency", "EUR").end_object();
  }
  // Without what is in them.
  Response list(std::string_view query) override {
    std::optional<uint64_t> user = parse_number(value_of(query, "user"));
    return answer(200, [&](JsonWriter& json) {
      json.begin_array();
      for (const Order& order : orders_) {
        if (user && *user != order.user) continue;
        json.begin_object().member("id", order.id).member("state", order.state).key("total").raw(money(total_of(order))).end_object();
      }
      json.end_array();
    });
  }
  Response one(std::string_view id) override {
    for (const Order& order : orders_)
      if (parse_number(id) == order.id) return answer(200, [&](JsonWriter& json) { write(json, order); });
    return wrong(404, "no such order");
  }
  Response create(std::string_view form) override {
    const User* user = find_user(value_of(form, "user"));
    const Item* item = find_item(value_of(form, "sku"));
    uint64_t quantity = parse_number(value_of(form, "quantity")).value_or(1);
    if (user == nullptr || item == nullptr || quantity == 0 || quantity > 100) return wrong(422, "an order needs user, sku and quantity");
    if (orders_.size() >= records_max) return wrong(507, "the order book is full");
    orders_.push_back({1001 + orders_.size(), user->id, "open", {{item, quantity}}});
    return answer(201, [&](JsonWriter& json) { write(json, orders_.back()); });
  }
};

class Inventory final : public Store {
  Response list(std::string_view) override {
    return answer(200, [](JsonWriter& json) {
      json.begin_array();
      for (const Item& item : items) write_item(json, item, true);
      json.end_array();
    });
  }
  Response one(std::string_view sku) override {
    const Item* item = find_item(sku);
    if (item == nullptr) return wrong(404, "no such item");
    return answer(200, [&](JsonWriter& json) { write_item(json, *item, true); });
  }
};

class Payments final : public Store {
  struct Payment {
    uint64_t order;
    std::string_view state;
  };
  std::vector<Payment> payments_{{1001, "captured"}, {1002, "authorized"}};

  static void write(JsonWriter& json, const Payment& payment) {
    json.begin_object().member("order", payment.order).member("by", "card").member("state", payment.state).end_object();
  }
  Response list(std::string_view) override {
    return answer(200, [&](JsonWriter& json) {
      json.begin_array();
      for (const Payment& payment : payments_) write(json, payment);
      json.end_array();
    });
  }
  Response one(std::string_view order) override {
    for (const Payment& payment : payments_)
      if (parse_number(order) == payment.order) return answer(200, [&](JsonWriter& json) { write(json, payment); });
    return wrong(404, "no payment for this order");
  }
  Response create(std::string_view form) override {
    std::optional<uint64_t> order = parse_number(value_of(form, "order"));
    if (!order || *order > 1'000'000) return wrong(422, "a payment needs an order");
    if (payments_.size() >= records_max) return wrong(507, "the book of payments is full");
    payments_.push_back({*order, "authorized"});
    return answer(201, [&](JsonWriter& json) { write(json, payments_.back()); });
  }
};

// The one that a page can do without, with a switch for how it answers: POST answer=well, off, slow or flaky.
class Recommendations final : public Store {
  enum class Answer : uint8_t { well, off, slow, flaky };
  static constexpr std::array<std::pair<std::string_view, Answer>, 4> modes{
      {{"well", Answer::well}, {"off", Answer::off}, {"slow", Answer::slow}, {"flaky", Answer::flaky}}};
  Answer answer_ = Answer::well;
  uint64_t asked_ = 0;

  bool is_slow() const override { return answer_ == Answer::slow; }
  Response list(std::string_view) override { return one("1"); }
  Response one(std::string_view id) override {
    if (answer_ == Answer::off) return wrong(503, "switched off");
    if (answer_ == Answer::flaky && asked_++ % 2 == 0) return wrong(503, "every second answer is this one");
    const User* user = find_user(id);
    if (user == nullptr) return wrong(404, "no such user");
    return answer(200, [&](JsonWriter& json) {
      json.begin_array();
      for (size_t i = 0; i < 2; ++i) {
        const Item& item = items[(user->id + i) % items.size()];
        json.begin_object().member("sku", item.sku).key("price").raw(money(item.cents)).end_object();
      }
      json.end_array();
    });
  }
  Response create(std::string_view form) override {
    std::string_view wanted = value_of(form, "answer");
    auto found = std::find_if(modes.begin(), modes.end(), [&](const auto& one) { return one.first == wanted; });
    if (found == modes.end()) return wrong(422, "answer is one of well, off, slow and flaky");
    answer_ = found->second;
    asked_ = 0;
    return answer(200, [&](JsonWriter& json) { json.begin_object().member("answer", wanted).end_object(); });
  }
};

class Notifications final : public Store {
  Response list(std::string_view) override { return one("1"); }
  Response one(std::string_view id) override {
    const User* user = find_user(id);
    if (user == nullptr) return wrong(404, "no such user");
    return answer(200, [&](JsonWriter& json) {
      json.begin_array().begin_object().member("text", "Your order is on its way.").member("read", false);
      json.end_object().end_array();
    });
  }
};

}  // namespace

std::vector<ShopService> open_shop() {
  std::vector<ShopService> shop;
  shop.push_back({"monolith", std::make_unique<Monolith>()});
  shop.push_back({"users", std::make_unique<Users>()});
  shop.push_back({"orders", std::make_unique<Orders>()});
  shop.push_back({"inventory", std::make_unique<Inventory>()});
  shop.push_back({"payments", std::make_unique<Payments>()});
  shop.push_back({"recommendations", std::make_unique<Recommendations>()});
  shop.push_back({"notifications", std::make_unique<Notifications>()});
  return shop;
}

}  // namespace portloom::app
