// policy/bench_for_tests.h
//
// Policies as a user writes them in front of a scripted service, in virtual time. Only tests include it.
#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "async/agenda.h"
#include "config/load.h"
#include "pipeline/exchange.h"
#include "policy/build.h"

namespace portloom::policy {

class VirtualAgenda final : public Agenda {
 public:
  VirtualAgenda() : Agenda(Instant{} + 1h) { make_current(this); }
  ~VirtualAgenda() override { make_current(nullptr); }
  void pass(Duration duration) {
    Instant end = now() + duration;
    run_ready();
    while (next_timer() <= end) {
      advance_to(std::max(now(), next_timer()));
      run_ready();
    }
    advance_to(end);
    run_ready();
  }
};

// Answers as scripted, one line per call; 200 once the script is over.
class ScriptedService final : public pipeline::Service {
 public:
  struct Line {
    uint16_t status = 200;
    std::optional<Error> fault = std::nullopt;
    Duration after{0};
    bool takes_body = true;
  };
  struct Seen {
    http::Headers headers;
    std::string body;
    Instant at;
    Instant deadline;
  };
  std::deque<Line> script;
  http::Headers fields;  // of every answer
  std::vector<Seen> seen;
  int dropped = 0;       // calls cancelled before they answered
  int bodies_alive = 0;  // answers' bodies that nobody has let go
  int bodies_alive_at_call = 0;

  Task<pipeline::Response> call(pipeline::Request& request) override {
    Line line;
    if (!script.empty()) {
      line = script.front();
      script.pop_front();
    }
    ++request.call.attempts;
    bodies_alive_at_call = bodies_alive;
    seen.push_back({request.headers, {}, request.exchange.now(), request.deadline});
    if (line.takes_body) {
      http::Body taken = std::move(request.body);
      Result<Bytes> bytes = co_await taken.read();
      if (bytes) seen.back().body = std::string(bytes->view());
    }
    Watched watched{this};
    if (line.after > Duration{}) co_await sleep_for(line.after);
    watched.answered = true;
    pipeline::Response response(line.status);
    response.fault = line.fault;
    response.headers = fields;
    response.body.hold(std::make_unique<Alive>(this));
    co_return response;
  }

 private:
  struct Watched {
    ScriptedService* service;
    bool answered = false;
    ~Watched() {
      if (!answered) ++service->dropped;
    }
  };
  struct Alive final : http::Guard {
    explicit Alive(ScriptedService* of) : service(of) { ++service->bodies_alive; }
    ~Alive() override { --service->bodies_alive; }
    ScriptedService* service;
  };
};

// One worker: its agenda, its policies and what they lead to.
class Bench {
 public:
  // `policies` is what stands under the key of that name; `rest` is more of the document.
  explicit Bench(const std::string& policies, const std::string& rest = {}, States* states = nullptr)
      : states_(states == nullptr ? own_states_ : *states),
        loaded_(load(policies, rest)),
        plan_(std::make_shared<const pipeline::Snapshot>()) {
    for (const data::ConfigProblem& problem : loaded_.problems) messages += problem.message + '\n';
    if (!loaded_) return;
    std::vector<pipeline::Policy*> chain;
    for (const data::Part& part : loaded_.document->expand(loaded_.document->listeners.find("edge")->policies)) {
      policies_.push_back(make_policy(part, Building{part.path, "test.yaml:1", *loaded_.document, states_}));
      chain.push_back(policies_.back().get());
    }
    chain_ = std::make_unique<pipeline::Chain>(std::move(chain), service);
  }
  static config::Loaded load(const std::string& policies, const std::string& rest) {
    config::Catalogue catalogue;
    add_policies(catalogue);
    return config::load_text("test.yaml",
                             "version: 1\nlisteners: {edge: {port: 1, policies: " + policies +
                                 "}}\nroutes: [{match: {path: \"/{id}\"}, to: {response: {status: 200}}}]\n" + rest,
                             catalogue);
  }

  const States& states() const { return states_; }
  const data::Part& part(size_t index) const { return loaded_.document->listeners.find("edge")->policies[index]; }

  struct Call {
    explicit Call(Bench& bench, std::string_view method = "GET")
        : exchange(bench.plan_, bench.peer_), request(exchange, exchange.record.call) {
      CHECK(request.assign(method, "/"));
      exchange.client = "192.0.2.1";
    }
    std::string reply(std::string_view name) const { return std::string(exchange.reply_headers.find(name).value_or("-")); }
    pipeline::Exchange exchange;
    pipeline::Request request;
  };

  // The answer, within a virtual minute; status 0 when there was none.
  pipeline::Response answer(Call& call) { return answer(call, *chain_); }
  pipeline::Response answer(Call& call, pipeline::Service& chain) {
    Task<pipeline::Response> task = chain.call(call.request);
    if (!task.start()) agenda.pass(60s);
    return task.done() ? task.take() : pipeline::Response(0);
  }
  pipeline::Response get() {
    Call call(*this);
    return answer(call);
  }
  pipeline::Chain& chain() { return *chain_; }

  VirtualAgenda agenda;
  ScriptedService service;
  std::string messages;  // of the configuration's problems

 private:
  States own_states_;
  States& states_;
  config::Loaded loaded_;
  pipeline::Plan plan_;
  pipeline::Peer peer_;
  std::vector<std::unique_ptr<pipeline::Policy>> policies_;
  std::unique_ptr<pipeline::Chain> chain_;
};

}  // namespace portloom::policy
