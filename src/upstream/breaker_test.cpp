// Tests of Breaker, the policy, and of Breakers: what counts and what does not, what is told, what a reload keeps.
#include "upstream/breaker.h"

#include <gtest/gtest.h>

#include <deque>

#include "pipeline/exchange.h"
#include "pipeline/problem.h"
#include "testing/sim_loop.h"

namespace portloom::upstream {
namespace {

using pipeline::Request;
using pipeline::Response;
using State = Circuit::State;

// Answers as it is told; counts who asks.
class Stub final : public pipeline::Service {
 public:
  uint16_t status = 200;
  std::optional<Error> fault;
  std::string grpc_status;
  Duration after{0};
  int asked = 0;
  Task<Response> call(Request&) override {
    ++asked;
    if (after > Duration{}) co_await sleep_for(after);
    if (fault) co_return pipeline::deny(*fault);
    Response response(status);
    if (!grpc_status.empty()) response.headers.add(http::Name::grpc_status, grpc_status);
    co_return response;
  }
};

class BreakerTest : public ::testing::Test {
 protected:
  struct Call {
    explicit Call(BreakerTest& of) : exchange(of.plan_, of.peer_), request(exchange, exchange.record.call) {
      CHECK(request.assign("GET", "/"));
    }
    static Task<void> run(Call* self, pipeline::Service* chain) { self->response.emplace(co_await chain->call(self->request)); }
    pipeline::Exchange exchange;
    Request request;
    std::optional<Response> response;
    Scope scope;
  };

  void use(const config::Breaker& rules) {
    circuit_ = std::make_shared<Circuit>(rules);
    breaker_.emplace(std::make_shared<Circuit::Seat>(circuit_), "shop", "shop.yaml:7");
    policies_ = {&*breaker_};
    chain_.emplace(policies_, stub);
  }
  static config::Breaker after(uint32_t failures) {
    config::Breaker rules;
    rules.failures = failures;
    return rules;
  }
  // What it is told is remembered until the next call.
  Call& ask(Duration patience = 1min, Instant exchange_deadline = never) {
    call_ = std::make_unique<Call>(*this);
    call_->request.deadline = loop.now() + patience;
    call_->exchange.deadline = exchange_deadline;
    call_->scope.spawn(Call::run, call_.get(), &*chain_);
    loop.run_for(Duration{});  // most answer without any time passing
    if (!call_->response) loop.run_until([&] { return call_->response.has_value(); }, patience);
    return *call_;
  }
  void give_up() { call_->scope.cancel(); }
  State state() { return circuit_->view(loop.now()).state; }
  uint32_t failures() { return circuit_->view(loop.now()).failures_in_a_row; }
  uint64_t requests() { return circuit_->view(loop.now()).requests; }

  testing::SimLoop loop;
  Stub stub;
  pipeline::Plan plan_{std::make_shared<pipeline::Snapshot>()};
  pipeline::Peer peer_;
  std::shared_ptr<Circuit> circuit_;
  std::optional<Breaker> breaker_;
  std::vector<pipeline::Policy*> policies_;
  std::optional<pipeline::Chain> chain_;
  std::unique_ptr<Call> call_;
};

TEST_F(BreakerTest, OpenItAnswersAtOnceAndTheServiceIsNotAsked) {
  use(after(2));
  stub.status = 503;
  EXPECT_TRUE(ask().request.repeatable);
  Call& last = ask();
  EXPECT_EQ(last.response->status, 503);
  EXPECT_FALSE(last.response->fault);
  EXPECT_FALSE(last.request.repeatable);  // the next attempt would meet an open breaker
  Call& refused = ask();
  ASSERT_TRUE(refused.response->fault);
  EXPECT_EQ(refused.response->fault->code, Code::breaker_open);
  EXPECT_EQ(refused.response->fault->detail, "the breaker of shop is open: 2 failures in a row");
  EXPECT_EQ(refused.response->status, 503);
  EXPECT_EQ(refused.response->headers.find(http::Name::retry_after), "5");
  EXPECT_FALSE(refused.request.repeatable);
  EXPECT_EQ(refused.exchange.record.policy, "breaker");
  EXPECT_EQ(refused.exchange.record.config, "shop.yaml:7");
  EXPECT_EQ(refused.request.call.service, "shop");
  EXPECT_EQ(stub.asked, 2);
  loop.run_for(4100ms);
  EXPECT_EQ(ask().response->headers.find(http::Name::retry_after), "1");
}

TEST_F(BreakerTest, AProbeThatFailsIsTheLastAttempt) {
  use(after(1));
  stub.status = 500;
  ask();
  loop.run_for(5s);
  EXPECT_FALSE(ask().request.repeatable);
  EXPECT_EQ(stub.asked, 2);
  EXPECT_EQ(state(), State::open);
  loop.run_for(10s);
  stub.status = 200;
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(ask().request.repeatable);
  EXPECT_EQ(state(), State::closed);
}

TEST_F(BreakerTest, FailuresOfTheServiceCount) {
  use(after(1000));
  uint32_t counted = 0;
  for (int status : {500, 502, 503, 504, 507, 520}) {
    stub.status = static_cast<uint16_t>(status);
    ask();
    EXPECT_EQ(failures(), ++counted) << status;
  }
  for (Code code : {Code::refused, Code::reset, Code::closed, Code::connect_timeout, Code::upstream_timeout, Code::upstream_protocol}) {
    stub.fault = Error{code, Side::upstream, Progress::nothing, {}};
    ask();
    EXPECT_EQ(failures(), ++counted) << name_of(code);
  }
  stub.fault.reset();
  stub.status = 200;
  for (const char* status : {"2", "4", "13", "14", "15"}) {
    stub.grpc_status = status;
    ask();
    EXPECT_EQ(failures(), ++counted) << status;
  }
}

TEST_F(BreakerTest, WhatTheClientDidAndWhatIsOursDoesNotCount) {
  use(after(1));
  for (int status : {200, 301, 400, 401, 404, 408, 429, 499, 501, 505}) {
    stub.status = static_cast<uint16_t>(status);
    ask();
    EXPECT_EQ(state(), State::closed) << status;
  }
  uint64_t answers = requests();
  EXPECT_EQ(answers, 10u);
  for (auto [code, side] : {std::pair{Code::reset, Side::client},
                            {Code::overloaded, Side::gateway},
                            {Code::exhausted, Side::gateway},
                            {Code::no_endpoint, Side::upstream},
                            {Code::overloaded, Side::upstream},
                            {Code::bad_request, Side::client}}) {
    stub.fault = Error{code, side, Progress::nothing, {}};
    ask();
    EXPECT_EQ(state(), State::closed) << name_of(code);
  }
  EXPECT_EQ(requests(), answers);
  stub.fault.reset();
  for (const char* status : {"0", "3", "5", "8", "16", "x"}) {
    stub.grpc_status = status;
    ask();
    EXPECT_EQ(state(), State::closed) << status;
  }
}

TEST_F(BreakerTest, TooManyRequestsCountsWhereThatIsChosen) {
  config::Breaker rules = after(3);
  rules.count_429 = true;
  use(rules);
  stub.status = 429;
  ask();
  stub.status = 200;
  stub.grpc_status = "8";
  ask();
  stub.fault = Error{Code::overloaded, Side::upstream, Progress::nothing, {}};
  ask();
  EXPECT_EQ(state(), State::open);
}

TEST_F(BreakerTest, AClientThatGoesSaysNothingAndADeadlineThatPassesSaysMuch) {
  use(after(1));
  stub.after = 10s;
  ask(1s);
  give_up();  // at the deadline: the service was too late
  EXPECT_EQ(state(), State::open);
  use(after(1));
  ask(1s);
  call_->request.deadline += 1s;
  give_up();  // before it: nobody waits any more
  EXPECT_EQ(state(), State::closed);
  EXPECT_EQ(requests(), 0u);
}

TEST_F(BreakerTest, ADeadlineThatTheClientSetIsItsOwn) {
  config::Breaker rules = after(1);
  rules.slow = 500ms;
  rules.volume = 2;
  use(rules);
  stub.after = 10s;
  ask(100ms, loop.now() + 100ms);
  give_up();
  EXPECT_EQ(requests(), 0u);
  for (int i = 0; i < 2; ++i) {
    ask(1s, loop.now() + 1s);
    give_up();
  }
  EXPECT_EQ(circuit_->view(loop.now()).reason, Circuit::Reason::slow_rate);  // but slow is slow
  EXPECT_EQ(state(), State::open);
}

TEST_F(BreakerTest, SlowAnswersCountAsSlow) {
  config::Breaker rules;
  rules.slow = 1s;
  rules.volume = 2;
  use(rules);
  stub.after = 900ms;
  ask();
  EXPECT_EQ(circuit_->view(loop.now()).slow, 0u);
  stub.after = 1s;
  for (int i = 0; i < 4; ++i) ask();
  EXPECT_EQ(state(), State::open);
}

TEST_F(BreakerTest, AProbeWhoseClientGoesGivesItsPlaceBack) {
  config::Breaker rules = after(1);
  rules.probes = 1;
  use(rules);
  stub.status = 500;
  ask();
  loop.run_for(5s);
  stub.status = 200;
  stub.after = 10s;
  ask(1s);
  call_->request.deadline += 1s;
  give_up();
  EXPECT_EQ(state(), State::half_open);
  stub.after = Duration{};
  EXPECT_EQ(ask().response->status, 200);
  EXPECT_EQ(state(), State::closed);
}

// ---- all of them

TEST(Breakers, AReloadKeepsTheOneThatIsWrittenAsBefore) {
  testing::SimLoop loop;
  Breakers breakers;
  config::Breaker rules;
  rules.failures = 1;
  std::shared_ptr<Circuit> first = breakers.keep("shop", rules);
  breakers.put_in_force({{"shop", first}});
  EXPECT_EQ(breakers.keep("shop", rules), first);
  config::Breaker others = rules;
  others.failures = 2;
  std::shared_ptr<Circuit> second = breakers.keep("shop", others);
  EXPECT_NE(second, first);
  EXPECT_EQ(breakers.keep("shop", rules), first);  // the other one was refused: what is in force stays
  breakers.put_in_force({{"shop", second}});
  EXPECT_EQ(breakers.keep("shop", others), second);
  EXPECT_NE(breakers.keep("cart", others), second);
}

TEST(Breakers, TellsOfTransitionsAndShowsStates) {
  testing::SimLoop loop;
  Breakers breakers;
  config::Breaker rules;
  rules.failures = 2;
  std::shared_ptr<Circuit> circuit = breakers.keep("shop", rules);
  breakers.put_in_force({{"shop", circuit}});
  std::vector<std::string> said;
  breakers.start([&](std::string line) { said.push_back(std::move(line)); });
  Circuit::Seat seat(circuit);
  for (int i = 0; i < 2; ++i) circuit->leave(seat, circuit->enter(seat, loop.now()).ticket, Circuit::Outcome::failed, loop.now());
  EXPECT_FALSE(circuit->enter(seat, loop.now()).admitted);
  std::string status;
  breakers.write_status(status);
  EXPECT_EQ(status, R"({"shop":{"state":"open","reason":"2 failures in a row","for_s":0,"probes_in_s":5,"opened":1,"refused":1}})");
  loop.run_for(6s);
  std::vector<std::string> expected = {"portloom: breaker of shop is open: 2 failures in a row; for 5s",
                                       "portloom: breaker of shop is half_open: its time is over"};
  EXPECT_EQ(said, expected);
  std::string page;
  breakers.write_metrics(page);
  EXPECT_NE(page.find("portloom_breaker_state{service=\"shop\",endpoint=\"\"} 1\n"), std::string::npos) << page;
  EXPECT_NE(page.find("portloom_breaker_transitions_total{service=\"shop\",to=\"open\"} 1\n"), std::string::npos);
  EXPECT_NE(page.find("portloom_breaker_refused_total{service=\"shop\"} 1\n"), std::string::npos);
  EXPECT_TRUE(breakers.hold("shop", Circuit::Hold::closed, loop.now()));
  Result<void> unknown = breakers.hold("shp", Circuit::Hold::closed, loop.now());
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().detail, "there is no breaker of that name; there are: shop");
  breakers.stop();
}

}  // namespace
}  // namespace portloom::upstream
