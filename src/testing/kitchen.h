// testing/kitchen.h
//
// Kitchen: a composition as a user writes it, in front of services that answer as they are told, in virtual time.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "async/scope.h"
#include "compose/composition.h"
#include "config/load.h"
#include "pipeline/exchange.h"
#include "pipeline/problem.h"
#include "testing/sim_loop.h"

namespace portloom::testing {

// Answers as told, and notes what it is asked.
class Cook final : public pipeline::Service {
 public:
  uint16_t status = 200;
  std::string body;
  Duration after{0};
  std::optional<Error> fault;
  bool breaks = false;  // behind the body
  bool in_pieces = false;
  http::Headers fields;
  std::vector<std::string> asked;  // "GET /path?query body"
  std::vector<Instant> when;
  int dropped = 0;

  Task<pipeline::Response> call(pipeline::Request& request) override {
    Result<Bytes> sent = co_await request.body.read();
    asked.push_back(std::string(request.method_text()) + " " + std::string(request.path_and_query()) +
                    (sent->empty() ? "" : " " + std::string(sent->view())));
    when.push_back(request.exchange.now());
    heads.push_back(request.headers);
    Watch watch{this};
    if (after > Duration{}) co_await sleep_for(after);
    watch.answered = true;
    if (fault) co_return pipeline::deny(*fault);
    pipeline::Response response(status);
    response.headers = fields;
    if (breaks || in_pieces)
      response.body = http::Body(std::make_unique<Slow>(body, breaks), std::nullopt);
    else
      response.body = http::Body(Bytes::copy(body));
    co_return response;
  }
  std::vector<http::Headers> heads;

 private:
  struct Watch {
    Cook* cook;
    bool answered = false;
    ~Watch() {
      if (!answered) ++cook->dropped;
    }
  };
  // Three bytes at a time.
  class Slow final : public http::BodySource {
   public:
    Slow(std::string text, bool breaks) : text_(std::move(text)), breaks_(breaks) {}
    Task<Result<Bytes>> read() override {
      co_await sleep_for(1ms);
      if (at_ >= text_.size() && breaks_) co_return failure(Code::reset, Side::upstream, "it broke");
      Bytes piece = Bytes::copy(std::string_view(text_).substr(std::min(at_, text_.size()), 3));
      at_ += 3;
      co_return piece;
    }

   private:
    std::string text_;
    bool breaks_;
    size_t at_ = 0;
  };
};

class Kitchen {
 public:
  // `home` is what stands under compositions.home; services are a, b, c, d. `rest` is more of the document.
  explicit Kitchen(const std::string& home, const std::string& rest = {}, uint64_t seed = 0) : loop(seed) { reload(home, rest); }

  // Another configuration, between two requests.
  void reload(const std::string& home, const std::string& rest = {}) {
    scope.reset();
    made.clear();
    loaded = config::load_text("t.yaml",
                               "version: 1\nlisteners: {edge: {port: 1}}\n"
                               "services: {a: {endpoints: [a:1]}, b: {endpoints: [b:1]}, c: {endpoints: [c:1]}, d: {endpoints: [d:1]}}\n"
                               "routes: [{match: {path: \"/home/{id}\"}, to: {composition: home}}]\n"
                               "compositions:\n  home:\n" +
                                   home + rest,
                               config::Catalogue());
    for (const data::ConfigProblem& problem : loaded.problems)
      if (problem.severity == data::Severity::error) ADD_FAILURE() << problem.message;
    if (!loaded) return;
    for (const auto& [name, written] : loaded.document->compositions) make(name, written);
  }

  pipeline::Response ask(std::string_view target = "/home/7", std::string_view method = "GET") {
    begin(target, method);
    if (loop.run_for(Duration{}); response.has_value()) return std::move(*response);  // no time has to pass
    EXPECT_TRUE(loop.run_until([&] { return response.has_value(); }, 60s));
    return response ? std::move(*response) : pipeline::Response(0);
  }
  void begin(std::string_view target = "/home/7", std::string_view method = "GET") {
    scope = std::make_unique<Scope>();
    response.reset();
    exchange = std::make_unique<pipeline::Exchange>(plan, peer);
    exchange->params.items[exchange->params.count++] = {
        "id", target.substr(6, target.find('?') == target.npos ? target.npos : target.find('?') - 6)};
    request = std::make_unique<pipeline::Request>(*exchange, exchange->record.call);
    CHECK(request->assign(method, target));
    request->headers.add("Host", "shop");
    for (const auto& [name, value] : fields) request->headers.add(name, value);
    if (!body.empty()) request->body = http::Body(Bytes::copy(body));
    request->deadline = deadline == Duration{} ? never : exchange->now() + deadline;
    scope->spawn(run, this);
  }
  // "200 {…}", or "502 failed: names".
  std::string said(std::string_view target = "/home/7") {
    pipeline::Response answer = ask(target);
    return std::to_string(answer.status) + " " + (answer.fault ? "failed: " + exchange->record.failed_services : text_of(answer));
  }
  std::string text_of(pipeline::Response& answer) {
    std::string text;
    Task<void> reading = read(&answer, &text);
    CHECK(reading.start());  // an answer of pieces is there at once
    return text;
  }
  void leave() { scope.reset(); }

  SimLoop loop;
  std::map<std::string, Cook> cooks;
  std::vector<std::pair<std::string, std::string>> fields;  // of the request
  std::string body;                                         // of the request
  Duration deadline{0};                                     // of the request; 0: none
  config::Loaded loaded;
  pipeline::Plan plan{std::make_shared<const pipeline::Snapshot>()};
  pipeline::Peer peer;
  std::map<std::string, std::unique_ptr<compose::Composition>, std::less<>> made;
  std::map<std::string, std::shared_ptr<compose::StaleStore>> kept;  // by place: what outlives a composition
  std::unique_ptr<pipeline::Exchange> exchange;
  std::unique_ptr<pipeline::Request> request;
  std::optional<pipeline::Response> response;
  std::unique_ptr<Scope> scope;

 private:
  void make(const std::string& name, const config::Composition& written) {
    if (made.contains(name)) return;
    for (const auto& [call_name, call] : written.calls)
      if (!call.composition.empty()) make(call.composition, *loaded.document->compositions.find(call.composition));
    made[name] = std::make_unique<compose::Composition>(
        written, "compositions." + name, name, 2s, [this](std::string_view service) { return &cooks[std::string(service)]; },
        [this](std::string_view other) { return made.find(other)->second.get(); },
        [this](const std::string& place, const compose::StaleStore::Config& asked) {
          std::shared_ptr<compose::StaleStore>& store = kept[place];
          if (store == nullptr || !(store->config == asked)) store = std::make_shared<compose::StaleStore>(asked);
          return store;
        });
  }
  static Task<void> run(Kitchen* self) {
    pipeline::Response answer = co_await self->made.find("home")->second->call(*self->request);
    self->response.emplace(std::move(answer));
  }
  static Task<void> read(pipeline::Response* answer, std::string* text) {
    while (true) {
      Result<Bytes> piece = co_await answer->body.read();
      if (!piece || piece->empty()) co_return;
      text->append(piece->view());
    }
  }
};

}  // namespace portloom::testing
