// app/explain.cpp
//
// The same objects as serve a request, asked one question; the reasons come from pipeline/verdict.
#include "app/explain.h"

#include <algorithm>
#include <optional>

#include "app/routes.h"
#include "base/text.h"
#include "data/print.h"
#include "data/walk.h"
#include "http/cidr.h"
#include "http/forwarding.h"
#include "http/grammar.h"
#include "http/path.h"
#include "pipeline/exchange.h"
#include "pipeline/fixed_answer.h"
#include "pipeline/inputs.h"
#include "pipeline/redirect.h"
#include "pipeline/rewrite.h"
#include "pipeline/split.h"
#include "policy/rate_limit.h"

namespace portloom::app {
namespace {

using config::Part;
using pipeline::Verdict;

std::unexpected<Error> senseless(std::string detail) { return failure(Code::invalid, Side::client, std::move(detail)); }

// Where a rewritten request would go: nowhere.
struct Nowhere final : pipeline::Service {
  Task<pipeline::Response> call(pipeline::Request&) override { co_return pipeline::Response(200); }
};

size_t common_prefix(std::string_view a, std::string_view b) {
  size_t size = 0;
  while (size < a.size() && size < b.size() && a[size] == b[size]) ++size;
  return size;
}

class Explainer {
 public:
  Explainer(const config::Loaded& loaded, const pipeline::RouteTable& table, const Question& question, const Running& running)
      : loaded_(loaded),
        document_(*loaded.document),
        table_(table),
        question_(question),
        running_(running),
        plan_(std::make_shared<const pipeline::Snapshot>()) {
    for (const auto& [name, listener] : document_.listeners) listeners_.push_back(name);
  }

  Result<Explanation> run() {
    std::optional<http::Address> from = http::Address::parse(question_.from);
    if (!from) return senseless(question_.from + " is no IP address");
    peer_.ip = *from;
    peer_.text = question_.from;
    exchange_.emplace(plan_, peer_);
    request_.emplace(*exchange_, exchange_->record.call);
    if (!request_->assign(question_.method, question_.url))
      return senseless("\"" + question_.url + "\" is no URL that " + question_.method + " could ask for: write https://HOST/PATH or /PATH");
    if (question_.method == "CONNECT") return senseless("CONNECT is not served here");
    for (const auto& [name, value] : question_.headers) {
      if (!data::is_header_name(name)) return senseless("\"" + name + "\" is no header name");
      request_->headers.add(name, value);
    }
    if (Result<void> found = choose_listener(); !found) return std::unexpected(std::move(found.error()));
    who_asks(*from);
    if (!normalise()) return std::move(said_);
    if (!listener().to.empty()) {
      listener_alone();
    } else {
      match();
    }
    return std::move(said_);
  }

 private:
  const config::Listener& listener() const { return document_.listeners[index_].second; }
  std::string place(data::Position at) const { return loaded_.place(at); }

  Result<void> choose_listener() {
    auto take = [&](size_t index, std::string why) -> Result<void> {
      index_ = static_cast<uint16_t>(index);
      said_.listener = listeners_[index];
      said_.listener_place = place(listener().at);
      said_.listener_why = std::move(why);
      return {};
    };
    if (!question_.listener.empty()) {
      for (size_t i = 0; i < listeners_.size(); ++i)
        if (listeners_[i] == question_.listener) return take(i, "as asked");
      std::string hint = data::did_you_mean(question_.listener, document_.listeners.names());
      return senseless("there is no listener \"" + question_.listener + "\"" + (hint.empty() ? "" : ": " + hint));
    }
    if (listeners_.size() == 1) return take(0, "the only one");
    http::Authority authority;
    std::string_view port;
    if (http::parse_authority(request_->host(), authority)) port = authority.port;
    if (port.empty() && !request_->scheme().empty()) port = request_->scheme() == "https" ? "443" : "80";
    for (size_t i = 0; i < listeners_.size(); ++i)
      if (!port.empty() && std::to_string(document_.listeners[i].second.bind().port) == port)
        return take(i, "it has the port " + std::string(port));
    std::string names;
    for (const std::string& name : listeners_) names += (names.empty() ? "" : ", ") + name;
    return senseless("several listeners, and none has the URL's port: say which with listener (" + names + ")");
  }

  void who_asks(const http::Address& from) {
    http::CidrSet trusted;
    for (const std::string& network : listener().trusted_proxies)
      if (std::optional<http::Cidr> block = http::Cidr::parse(network)) trusted.add(*block);
    peer_.trusted = trusted.contains(from);
    exchange_->client_text = peer_.trusted ? http::believed_client(request_->headers, from, trusted).text() : question_.from;
    exchange_->client = exchange_->client_text;
    said_.client = exchange_->client_text;
  }

  bool normalise() {
    said_.host = request_->host();
    Result<http::Target> target = http::normalize(request_->path_and_query());
    bool good = target.has_value() && (!target->changed || request_->set_path_and_query(target->text));
    said_.request = std::string(request_->method_text()) + " " + std::string(request_->path_and_query());
    if (good) return true;
    said_.refusal = target ? "400: the target is not a path" : "400: " + target.error().detail;
    said_.outcome = "400";
    return false;
  }

  // ---- rules

  void match() {
    pipeline::Lookup asked = pipeline::lookup_of(index_, *request_);
    pipeline::RouteTable::Match found = table_.match(asked, exchange_->params);
    exchange_->route = found.route;
    try_rules(asked, found.route);
    for (size_t i = 0; i < exchange_->params.count; ++i)
      said_.captured.emplace_back(exchange_->params.items[i].name, exchange_->params.items[i].value);
    if (found.route == nullptr) {
      for (const Part& part : document_.expand(listener().policies)) said_.steps.push_back(step("listener", part));
      said_.outcome = found.allowed_methods == 0 ? "404" : "405 with Allow: " + pipeline::methods_text(found.allowed_methods);
      return;
    }
    const config::ResolvedRoute& route = document_.resolved[found.route->index];
    said_.route = route.name;
    said_.route_place = place(route.at);
    chain(route);
    destination(route.to);
  }

  struct Tried {
    Explanation::Rule rule;
    size_t nearness = 0;  // larger: listed earlier
    uint32_t written = 0;
  };

  void try_rules(const pipeline::Lookup& asked, const pipeline::Route* chosen) {
    std::optional<pipeline::Pattern> winner;
    if (chosen != nullptr) winner = best_of(patterns_of(chosen->index), asked);
    std::vector<Tried> tried;
    for (uint32_t i = 0; i < document_.resolved.size(); ++i) {
      const config::ResolvedRoute& route = document_.resolved[i];
      Tried one{{route.name, place(route.at), Verdict::Reason::chosen, {}}, 0, i};
      if (chosen == nullptr || i != chosen->index)
        one = rejected(i, asked, winner, std::move(one));
      else
        one.nearness = SIZE_MAX;
      tried.push_back(std::move(one));
    }
    std::ranges::sort(tried,
                      [](const Tried& a, const Tried& b) { return std::pair(b.nearness, a.written) < std::pair(a.nearness, b.written); });
    size_t listed = rules_listed_max + (chosen != nullptr ? 1 : 0);
    if (tried.size() > listed) said_.omitted = tried.size() - listed;
    for (size_t i = 0; i < tried.size() - said_.omitted; ++i) said_.rules.push_back(std::move(tried[i].rule));
  }

  std::vector<pipeline::Pattern> patterns_of(uint32_t index) const {
    const config::ResolvedRoute& route = document_.resolved[index];
    return app::patterns_of(route, index, listener_index(listeners_, route.listener));
  }

  static std::optional<pipeline::Pattern> best_of(const std::vector<pipeline::Pattern>& patterns, const pipeline::Lookup& asked) {
    std::optional<pipeline::Pattern> best;
    for (const pipeline::Pattern& pattern : patterns)
      if (pipeline::judge(pattern, asked).reason == Verdict::Reason::chosen && (!best || pipeline::compare(pattern, *best, asked).first))
        best = pattern;
    return best;
  }

  // Of a route with several patterns the one counts that comes nearest.
  Tried rejected(uint32_t index, const pipeline::Lookup& asked, const std::optional<pipeline::Pattern>& winner, Tried one) const {
    for (const pipeline::Pattern& pattern : patterns_of(index)) {
      Verdict verdict = pipeline::judge(pattern, asked);
      if (verdict.reason == Verdict::Reason::chosen) {
        verdict.reason = Verdict::Reason::outranked;
        if (winner) verdict.text = "it takes this request too: " + pipeline::compare(*winner, pattern, asked).why;
      }
      size_t nearness = static_cast<size_t>(verdict.reason) * 100'000;
      if (verdict.reason == Verdict::Reason::listener) nearness = 0;
      if (verdict.reason == Verdict::Reason::path) nearness += common_prefix(pattern.path, asked.path);
      if (one.rule.reason != Verdict::Reason::chosen && nearness <= one.nearness) continue;
      if (verdict.reason == Verdict::Reason::listener) verdict.text = "it belongs to the listener " + document_.resolved[index].listener;
      one.rule.reason = verdict.reason;
      one.rule.why = std::move(verdict.text);
      one.nearness = nearness;
    }
    return one;
  }

  // ---- the chain

  Explanation::Step step(std::string_view level, const Part& part) const {
    return {std::string(level), policy_text(part), place(part.at), note_on(part)};
  }

  void chain(const config::ResolvedRoute& route) {
    for (const Part& part : document_.expand(listener().policies)) {
      said_.steps.push_back(step("listener", part));
      bool kept = std::ranges::any_of(route.listener_policies, [&](const Part& other) { return other.path == part.path; });
      if (!kept) said_.steps.back().note = "skipped by the route";
    }
    if (std::ranges::none_of(route.policies, [](const Part& part) { return part.kind == "timeout"; }))
      said_.steps.push_back({"usual", "timeout: 15s", {}, {}});
    for (const Part& part : route.policies) said_.steps.push_back(step("route", part));
  }

  void listener_alone() {
    for (const Part& part : document_.expand(listener().policies)) said_.steps.push_back(step("listener", part));
    destination(listener().to);
  }

  // What a policy's expressions find in this request.
  std::string note_on(const Part& part) const {
    std::string note;
    data::walk_texts(*part.shape, part.config.get(), part.path, [&](const data::Field& field, std::string_view text, std::string_view) {
      if (field.text == data::Text::expression && note.empty()) note = std::string(field.name) + " is " + found(text);
    });
    if (part.kind == "rate_limit" && running_.limits != nullptr)
      if (std::string left = policy::limits_left(part, *running_.limits, *request_); !left.empty()) note += "; " + left;
    return note;
  }
  std::string found(std::string_view text) const {
    std::expected<data::Expression, data::TextFault> expression = data::Expression::parse(text);
    for (size_t i = 0; expression && i < expression->alternatives.size(); ++i) {
      std::optional<pipeline::Input> input = pipeline::find_input(expression->alternatives[i], *request_);
      if (input && !input->text.empty()) return data::in_words(expression->alternatives[i]) + ": " + std::string(input->text);
    }
    return "not there";
  }

  // ---- the destination

  void destination(const Part& to) {
    if (const auto* one = to.as<config::ServiceDestination>()) {
      said_.ways.push_back(way(one->service, one));
      said_.outcome = "to " + one->service;
    } else if (const auto* split = to.as<config::SplitDestination>()) {
      sides(*split);
    } else if (const auto* composed = to.as<config::CompositionDestination>()) {
      calls(*composed, to.path);
    } else if (const auto* redirect = to.as<config::RedirectDestination>()) {
      pipeline::Redirect redirecting(*redirect);
      answer(redirecting);
    } else if (const auto* response = to.as<config::ResponseDestination>()) {
      pipeline::FixedAnswer fixed(*response);
      answer(fixed);
    }
  }

  void calls(const config::CompositionDestination& to, const std::string& path) {
    said_.compositions = compose::outlines_of(loaded_, to, path, &*request_);
    std::vector<std::string> services;
    for (const compose::Outline& outline : said_.compositions)
      for (const std::string& name : outline.services)
        if (std::ranges::find(services, name) == services.end()) services.push_back(name);
    for (const std::string& name : services) said_.ways.push_back(way(name, nullptr));
    const compose::Outline& outline = said_.compositions.front();
    auto made = std::ranges::count_if(outline.calls, [](const compose::Outline::Call& call) { return call.stage != 0; });
    said_.outcome = std::to_string(made) + (made == 1 ? " call in " : " calls in ") + std::to_string(outline.stages) +
                    (outline.stages == 1 ? " stage" : " stages");
    if (!outline.name.empty()) said_.outcome = "composition " + outline.name + ", " + said_.outcome;
  }

  void answer(pipeline::Service& service) {
    Task<pipeline::Response> task = service.call(*request_);
    if (!task.start()) return;  // they answer at once
    pipeline::Response response = task.take();
    said_.outcome = std::to_string(response.status);
    if (response.fault) said_.outcome += ": " + response.fault->detail;
    if (std::optional<std::string_view> location = response.headers.find(http::Name::location))
      said_.outcome += " to " + std::string(*location);
    if (!response.fault && response.status < 300) said_.outcome += ", an answer of the gateway's own";
  }

  void sides(const config::SplitDestination& split) {
    Nowhere nowhere;
    std::vector<pipeline::Split::Side> sides;
    std::vector<data::Expression> by;
    for (const config::SplitSide& side : split.split) sides.push_back({&nowhere, side.service, side.share.fraction});
    for (const std::string& text : split.by) by.push_back(*data::Expression::parse(text));
    pipeline::Split splitting(sides, std::move(by), 0);
    bool fixed = false;
    size_t chosen = splitting.choose(*request_, fixed);
    for (size_t i = 0; i < split.split.size(); ++i) {
      said_.ways.push_back(way(split.split[i].service, &split.split[i]));
      said_.ways.back().share = data::format_percent(split.split[i].share);
      said_.ways.back().chosen = !fixed || i == chosen;
    }
    if (!fixed) {
      said_.outcome = "to one of " + std::to_string(split.split.size()) + " services, drawn for each request";
      return;
    }
    said_.outcome = "to " + split.split[chosen].service;
    for (const std::string& text : split.by)
      if (std::string value = found(text); value != "not there") {
        said_.outcome += ", by " + value;
        break;
      }
  }

  // Without `changes`: several calls may go there, each with its own.
  Explanation::Way way(const std::string& name, const config::Rewrite* changes) {
    const config::Service& service = *document_.services.find(name);
    Explanation::Way way;
    way.service = name;
    way.place = place(service.at);
    http::RequestHead before = *request_;
    Nowhere nowhere;
    std::optional<pipeline::Response> refused;
    if (changes != nullptr) refused = pipeline::Rewrite(*changes, nowhere).change(*request_);
    if (refused)
      way.refusal = std::to_string(refused->status) + ": " + refused->fault->detail;
    else if (changes != nullptr)
      way.request = std::string(request_->method_text()) + " " + std::string(request_->path_and_query()) +
                    (changes->host.empty() ? "" : " with the host " + std::string(request_->host()));
    std::vector<Part> policies = document_.expand(service.policies);
    if (std::ranges::none_of(policies, [](const Part& part) { return part.kind == "retry"; }))
      way.steps.push_back({"usual", "retry: {attempts: 2, causes: [refused, reset]}", {}, {}});
    for (const Part& part : policies) way.steps.push_back(step("service", part));
    if (service.breaker) way.steps.push_back(breaker(name, service));
    static_cast<http::RequestHead&>(*request_) = std::move(before);
    if (running_.look) way.sights = running_.look(name);
    way.endpoints = endpoints(name, service, way.sights);
    way.pick = pick(service, way.endpoints.size());
    std::string now = favoured_text(way.sights);
    if (config::hashes(service.balance.algorithm) && !now.starts_with("none")) now.clear();  // the request's value decides
    if (!now.empty()) way.pick = now + "; " + way.pick;
    if (is_open(name)) way.pick = "none while the breaker is open: 503 breaker_open";
    return way;
  }

  Explanation::Step breaker(const std::string& name, const config::Service& service) const {
    Part part;
    part.kind = "breaker";
    part.shape = &data::shape_of<config::Breaker>();
    part.config = std::shared_ptr<const void>(std::shared_ptr<const void>(), &*service.breaker);
    Explanation::Step step{"service", policy_text(part), place(loaded_.origins->nearest("services." + name + ".breaker")), {}};
    if (running_.circuits == nullptr) return step;
    auto circuit = running_.circuits->find(name);
    if (circuit == running_.circuits->end()) return step;
    upstream::Circuit::View view = circuit->second->view(Agenda::current().now());
    step.note = std::string(name_of(view.state)) + ": " + in_words(view.reason, *service.breaker);
    return step;
  }

  bool is_open(const std::string& name) const {
    if (running_.circuits == nullptr) return false;
    auto circuit = running_.circuits->find(name);
    if (circuit == running_.circuits->end()) return false;
    return circuit->second->view(Agenda::current().now()).state == upstream::Circuit::State::open;
  }

  // As they are written; on a running gateway what their names lead to.
  std::vector<std::string> endpoints(const std::string& name, const config::Service& service, const Sights& sights) const {
    std::vector<std::string> texts;
    auto add = [&texts](const std::string& text, uint32_t weight) {
      texts.push_back(text + (weight == 1 ? "" : " weight " + std::to_string(weight)));
    };
    if (running_.endpoints == nullptr) {
      if (!service.srv().empty()) texts.push_back("what the SRV records of " + service.srv() + " say");
      if (!service.registry.empty()) texts.push_back("the instances of " + service.registry + " in the registry");
      if (!service.etcd.empty()) texts.push_back("the instances under " + service.etcd + " in etcd");
      for (const auto& [address, weight] : service.written()) add(address.text(), weight);
      return texts;
    }
    auto published = running_.endpoints->find(name);
    if (published == running_.endpoints->end()) return texts;
    for (const upstream::Instance& one : *published->second->get()) {
      bool named = !one.host.empty() && !http::Address::parse(one.host);
      add(one.address.text() + (named ? " of " + one.host : ""), one.weight);
      if (running_.health != nullptr) texts.back() += how_is(name, one);
      texts.back() += load_text(sights, key_of(one));
    }
    return texts;
  }

  std::string how_is(const std::string& service, const upstream::Instance& instance) const {
    auto health = running_.health->find(service);
    if (health == running_.health->end()) return {};
    upstream::Health::Verdict verdict = health->second->verdict(key_of(instance));
    if (verdict.state == upstream::Health::State::fit) return {};
    return ", " + std::string(name_of(verdict.state)) + ": " + verdict.why;
  }

  static std::string pick(const config::Service& service, size_t count) {
    if (count == 0) return "none: no instance is known, 503 no_endpoint";
    bool named = std::ranges::any_of(service.written(),
                                     [](const auto& one) { return !one.address.is_unix() && !http::Address::parse(one.address.host); });
    named |= !service.found().source.empty() || !service.srv().empty();
    if (count == 1 && !named) return "the only one";
    std::string balance = data::format_value(data::shape_of<config::Balance>(), &service.balance.algorithm);
    std::string how = balance == "round_robin"     ? ": each in turn"
                      : balance == "random"        ? ": any, by weight"
                      : balance == "peak_ewma"     ? ": of two drawn, the one that answers sooner, counting who waits there"
                      : balance == "least_request" ? ": of two drawn, the one with fewer requests under way"
                                                   : ": the one that its value of `balance.by` belongs to";
    std::string stays;
    if (service.sticky)
      stays = "the one that its " + std::string(service.sticky->cookie.empty() ? "header field" : "cookie") + " names, else ";
    return stays + balance + how + "; one that could not be reached lately is passed over";
  }

  const config::Loaded& loaded_;
  const config::Document& document_;
  const pipeline::RouteTable& table_;
  const Question& question_;
  const Running& running_;
  std::vector<std::string> listeners_;
  uint16_t index_ = 0;
  pipeline::Plan plan_;
  pipeline::Peer peer_;
  std::optional<pipeline::Exchange> exchange_;
  std::optional<pipeline::Request> request_;
  Explanation said_;
};

}  // namespace

std::string part_text(const data::Part& part) {
  const data::Shape& shape = *part.shape;
  auto text_of = [](const data::Field& field, const void* object) {
    return data::format_value(field.shape(), static_cast<const char*>(object) + field.offset);
  };
  std::string text;
  for (const data::Field& field : shape.fields) {
    std::string written = text_of(field, part.config.get());
    if (written == text_of(field, shape.defaults.get())) continue;
    if (shape.fields.size() == 1 && field.short_form) return part.kind + ": " + written;
    text += (text.empty() ? "{" : ", ") + std::string(field.name) + ": " + written;
  }
  text = text.empty() ? "{}" : text + "}";
  return shape.find(part.kind) != nullptr ? text : part.kind + ": " + text;  // {service: orders, path: /x} names its kind itself
}

std::string policy_text(const data::Part& part) {
  constexpr size_t shown_max = 100;
  std::string text = part_text(part);
  return text.size() <= shown_max ? text : text.substr(0, shown_max) + " …";
}

Result<Explanation> explain(const config::Loaded& loaded, const pipeline::RouteTable& table, const Question& question,
                            const Running& running) {
  return Explainer(loaded, table, question, running).run();
}

}  // namespace portloom::app
