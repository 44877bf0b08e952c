// app/demo_tour.cpp
//
// A section is a heading, the commands, and what came of them, indented. Everything that is shown was answered by the gateway just then.
#include "app/demo_tour.h"

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <string_view>

#include <fcntl.h>
#include <unistd.h>

#include "async/scope.h"
#include "data/json_members.h"
#include "data/json_text.h"
#include "data/slicer.h"
#include "http/grammar.h"

namespace portloom::app {
namespace {

constexpr std::string_view page_path = "/home/1";
// The slip, as sed makes it: a unit is forgotten, and a key misspelt.
constexpr std::string_view right = "timeout: 400ms, fallback";
constexpr std::string_view slip = "timeout: 400, falback";
constexpr size_t reloads = 20;
constexpr size_t clients = 8;
constexpr uint64_t requests_least = 2000;

// While it lives, standard error goes to a file: what the gateway says there would stand between the lines of the tour.
class ErrorsAside {
 public:
  explicit ErrorsAside(const std::string& file) {
    int to = ::open(file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (to < 0) return;
    saved_ = ::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
    ::dup2(to, STDERR_FILENO);
    ::close(to);
  }
  ErrorsAside(const ErrorsAside&) = delete;
  ~ErrorsAside() {
    if (saved_ < 0) return;
    ::dup2(saved_, STDERR_FILENO);
    ::close(saved_);
  }

 private:
  int saved_ = -1;
};

void print(const std::string& text) { std::cout << text << std::flush; }

std::string section(size_t number, const std::string& title) { return "\n" + demo_heading(std::to_string(number) + ". " + title) + "\n"; }
std::string command(const std::string& text) { return "  $ " + text + "\n"; }

std::string indented(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    out += (line.empty() ? "" : "  " + std::string(line)) + "\n";
  }
  return out;
}

// A JSON object with each member on a line of its own; anything else as it is.
std::string by_member(const std::string& text) {
  std::expected<data::JsonSpan, data::JsonFault> span = data::slice(text);
  if (!span || data::kind_of_json(span->in(text)) != data::JsonKind::object) return text;
  std::string out;
  data::each_json_member(span->in(text), [&](std::string_view, std::string_view member) {
    out += out.empty() ? "{" : ",\n ";
    out += member;
  });
  return out + "}";
}

// The text of a member of a JSON object; empty when there is none.
std::string text_of(const std::string& object, std::string_view name) {
  data::JsonSelection wanted;
  const data::JsonSelection::Step step[] = {{std::string(name), 0, false}};
  uint32_t node = wanted.add(step);
  std::vector<data::JsonSpan> found(wanted.size());
  std::string text;
  if (!data::slice(object, {}, wanted, found) || !found[node].there()) return text;
  std::string_view value = found[node].in(object);
  if (data::kind_of_json(value) == data::JsonKind::string) data::decode_json_string(value.substr(1, value.size() - 2), text);
  return text;
}

// An explanation without what repeats itself: "..." stands for rules that are rejected like those before, and for the services.
std::string excerpt(std::string_view text) {
  constexpr size_t rejected_shown = 3;
  std::string out;
  size_t rejected = 0;
  while (!text.empty() && !text.starts_with("service ")) {
    std::string_view line = text.substr(0, text.find('\n') + 1);
    text.remove_prefix(line.empty() ? text.size() : line.size());
    if (line.starts_with("  rejected") && ++rejected > rejected_shown) line = rejected == rejected_shown + 1 ? "  ...\n" : "";
    out += line;
  }
  return text.empty() ? out : out + "...\n";
}

std::string status_line(const DemoClient::Reply& reply) {
  return "HTTP/1.1 " + std::to_string(reply.status) + " " + std::string(http::reason_phrase(reply.status)) + "\n";
}

// As `curl -i` prints it.
std::string head_of(const DemoClient::Reply& reply) {
  std::string text = status_line(reply);
  for (http::Headers::Field field : reply.headers) text += std::string(field.name) + ": " + std::string(field.value) + "\n";
  return text;
}

std::string replaced(std::string text, std::string_view what, std::string_view by) {
  if (size_t at = text.find(what); at != std::string::npos) text.replace(at, what.size(), by);
  return text;
}

io::Address parsed(const std::string& text) { return io::Address::parse(text).value_or(io::Address{}); }

}  // namespace

// What several clients have seen.
struct DemoTour::Load {
  bool over = false;
  uint64_t answered = 0;  // with 200
  uint64_t degraded = 0;  // of these
  uint64_t failed = 0;
  std::string failure;  // the first one
};

DemoTour::DemoTour(DemoFacts facts, std::string configuration)
    : facts_(std::move(facts)), configuration_(std::move(configuration)), gateway_(parsed(facts_.gateway)), admin_(parsed(facts_.admin)) {}

void DemoTour::start() {
  Result<std::unique_ptr<io::Loop>> loop = io::make_loop(io::Engine::epoll);
  if (!loop) return print("portloom: no tour: " + loop.error().detail + "\n");
  loop_ = std::move(*loop);
  thread_ = std::thread([this] { run(); });
}

void DemoTour::stop() {
  if (!thread_.joinable()) return;
  stopping_.store(true);
  loop_->mailbox().post([] {});
  thread_.join();
}

void DemoTour::run() {
  Agenda::make_current(loop_.get());
  {
    Scope scope;
    ErrorsAside aside(facts_.folder + "/gateway.log");
    scope.spawn(walk, this);
    while (!stopping_.load() && !scope.empty()) loop_->turn(1s);
  }
  if (serving_ && !failure_.empty()) print("  " + failure_ + "\n");
  if (serving_) print("\n" + demo_commands(facts_) + "\nCtrl-C ends it.\n");
  gateway_.close();
  admin_.close();
  reply_ = {};  // its block belongs to this thread
  Agenda::make_current(nullptr);
}

Task<void> DemoTour::walk(DemoTour* self) {
  print("\n" + demo_heading("Portloom demo: a shop on its way from a monolith to services, all in this one process") + "\n" +
        demo_picture(self->facts_));
  bool goes_on = co_await self->show_page();
  if (goes_on) goes_on = co_await self->show_degraded_page();
  if (goes_on) goes_on = co_await self->show_explanation();
  if (goes_on) goes_on = co_await self->show_slip();
  if (goes_on) goes_on = co_await self->show_reloads();
  Result<DemoClient::Reply> state = co_await self->admin_.ask(http::Method::GET, "/readyz");
  self->serving_ = state && state->status == 200;  // else it has been interrupted, and there is nothing left to try
}

Task<bool> DemoTour::ask(DemoClient& client, http::Method method, std::string path, std::string form) {
  Result<DemoClient::Reply> reply = co_await client.ask(method, path, form);
  if (reply) reply_ = std::move(*reply);
  if (!reply) failure_ = "no answer to " + path + ": " + reply.error().detail;
  co_return reply.has_value();
}

Task<bool> DemoTour::show_page() {
  print(section(1, "Five services, one page") + command("curl http://" + facts_.gateway + std::string(page_path)) + "\n");
  bool answered = co_await ask(gateway_, http::Method::GET, std::string(page_path));
  if (!answered) co_return false;
  print(indented(by_member(reply_.body)) +
        "\n  One line, broken here. Users, notifications and recommendations were asked at once, orders and inventory as soon\n"
        "  as the user was there. Each part is the bytes that its service sent.\n");
  co_return true;
}

Task<bool> DemoTour::show_degraded_page() {
  std::string url = "http://" + facts_.gateway;
  print(section(2, "The same with recommendations off") + command("curl " + url + "/recommendations -d answer=off") +
        command("curl -i " + url + std::string(page_path)) + "\n");
  bool answered = co_await ask(gateway_, http::Method::POST, "/recommendations", "answer=off");
  if (answered) answered = co_await ask(gateway_, http::Method::GET, std::string(page_path));
  if (!answered) co_return false;
  print(indented(head_of(reply_) + "\n" + by_member(reply_.body)) +
        "\n  Still a page, and it says what is missing. No cache keeps it. The access log and /metrics know of it too.\n");
  answered = co_await ask(gateway_, http::Method::POST, "/recommendations", "answer=well");
  co_return answered;
}

Task<bool> DemoTour::show_explanation() {
  std::string path = "/explain?url=http://" + facts_.gateway + std::string(page_path) + "&format=text";
  print(section(3, "Why: explain") + command("curl 'http://" + facts_.admin + path + "'") + "\n");
  bool answered = co_await ask(admin_, http::Method::GET, path);
  if (!answered) co_return false;
  print(indented(excerpt(reply_.body)) +
        "\n  Nothing was sent. Left out: rules that do not fit either, and each service with its policies and endpoints.\n");
  co_return true;
}

Task<bool> DemoTour::show_slip() {
  print(section(4, "A slip in the configuration") + command("cd " + facts_.folder) +
        command("sed -i 's/" + std::string(right) + "/" + std::string(slip) + "/' shop.yaml") +
        command("curl -X POST http://" + facts_.admin + "/reload") + "\n");
  bool answered = co_await load(replaced(configuration_, right, slip));
  if (!answered) co_return false;
  std::string said = text_of(reply_.body, "detail");
  print(indented(status_line(reply_) + said) + "\n" + command("curl http://" + facts_.gateway + std::string(page_path)) + "\n");
  answered = co_await ask(gateway_, http::Method::GET, std::string(page_path));
  if (!answered) co_return false;
  print(indented(status_line(reply_)) + "\n  The configuration that works serves on.\n");
  co_return true;
}

Task<bool> DemoTour::show_reloads() {
  print(section(5, "Reloads under load"));
  bool flaky = co_await ask(gateway_, http::Method::POST, "/recommendations", "answer=flaky");
  if (!flaky) co_return false;
  Load seen;
  Scope scope;
  for (size_t i = 0; i < clients; ++i) scope.spawn(keep_asking, this, &seen);
  size_t loaded = 0;
  for (size_t i = 0; i < reloads || seen.answered + seen.failed < requests_least; ++i) {
    if (i < reloads) {
      bool done = co_await load(replaced(configuration_, right, i % 2 == 0 ? "timeout: 300ms, fallback" : right));
      if (done && reply_.status == 200) ++loaded;
    }
    if (scope.empty()) break;
    co_await sleep_for(10ms);
  }
  seen.over = true;
  co_await scope.idle();
  bool restored = co_await load(configuration_);
  if (!restored || reply_.status != 200) co_return false;
  restored = co_await ask(gateway_, http::Method::POST, "/recommendations", "answer=well");
  uint64_t all = seen.answered + seen.failed;
  print("  " + std::to_string(clients) +
        " clients asked for the page, recommendations failed every second time, and the file was changed and loaded " +
        std::to_string(loaded) + " times:\n  " + std::to_string(all) + " requests, " + std::to_string(seen.failed) + " failed; " +
        std::to_string(seen.degraded) + " pages were degraded" + (seen.failed == 0 ? "" : " (" + seen.failure + ")") + ".\n");
  co_return restored;
}

Task<void> DemoTour::keep_asking(DemoTour* self, Load* seen) {
  DemoClient client(parsed(self->facts_.gateway));
  while (!seen->over) {
    Result<DemoClient::Reply> reply = co_await client.ask(http::Method::GET, std::string(page_path));
    if (reply && reply->status == 200) {
      ++seen->answered;
      if (reply->body.find("\"degraded\":true") != std::string::npos) ++seen->degraded;
      continue;
    }
    if (seen->failed++ == 0) seen->failure = reply ? "status " + std::to_string(reply->status) : reply.error().detail;
    if (!reply) co_return;  // the gateway is gone, or nearly
  }
}

// Replaces the file and has it loaded; reply_ is what came of it.
Task<bool> DemoTour::load(std::string configuration) {
  if (!write(configuration)) {
    failure_ = facts_.file() + " cannot be written";
    co_return false;
  }
  bool answered = co_await ask(admin_, http::Method::POST, "/reload");
  co_return answered;
}

// As sed and editors do: never half a file.
bool DemoTour::write(const std::string& configuration) const {
  std::string next = facts_.file() + ".next";
  bool written = static_cast<bool>(std::ofstream(next) << configuration << std::flush);
  return written && std::rename(next.c_str(), facts_.file().c_str()) == 0;
}

}  // namespace portloom::app
