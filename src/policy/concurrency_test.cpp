// Tests of concurrency: how many are at work, who waits, who is refused, and when a place is free again.
#include "async/scope.h"
#include "policy/bench_for_tests.h"
#include "testing/sim_loop.h"

namespace portloom::policy {
namespace {

// A request on its way: dropped, it has gone.
struct Going {
  Going(Bench& bench, Instant deadline) : call(bench) { call.request.deadline = deadline; }
  static Task<void> run(Going* self, pipeline::Service* chain) { self->response.emplace(co_await chain->call(self->call.request)); }
  Bench::Call call;
  std::optional<pipeline::Response> response;
  Scope scope;
};

struct Room {
  explicit Room(const std::string& policy, States* states = nullptr) : bench("[" + policy + "]", {}, states) {
    Agenda::make_current(&loop);
  }
  ~Room() {
    Agenda::make_current(&loop);
    going.clear();
  }
  Going& go(Duration takes = 10ms, Instant deadline = never) {
    bench.service.script = {{.after = takes}};
    Going& one = *going.emplace_back(std::make_unique<Going>(bench, deadline));
    one.scope.spawn(Going::run, &one, &bench.chain());
    loop.run_for(1us);
    return one;
  }
  size_t reached() const { return bench.service.seen.size(); }
  Bench bench;
  testing::SimLoop loop;
  std::vector<std::unique_ptr<Going>> going;
};

TEST(Concurrency, MoreThanMayAndMoreThanMayWaitAreRefused) {
  Room room("{concurrency: {requests: 2, queue: 1, wait: 50ms}}");
  room.go();
  room.go();
  Going& waits = room.go();
  Going& refused = room.go();
  EXPECT_EQ(room.reached(), 2u);
  EXPECT_FALSE(waits.response);
  ASSERT_TRUE(refused.response);
  EXPECT_EQ(refused.response->status, 503);
  EXPECT_EQ(refused.response->fault->code, Code::overloaded);
  EXPECT_EQ(refused.response->fault->side, Side::gateway);
  EXPECT_EQ(refused.call.exchange.record.policy, "concurrency");
  EXPECT_EQ(refused.call.exchange.record.limit, "concurrency 2");
  EXPECT_EQ(refused.call.exchange.record.config, "test.yaml:1");
}

TEST(Concurrency, APlaceIsHeldUntilTheAnswersBodyHasGone) {
  Room room("{concurrency: {requests: 1, queue: 1, wait: 1s}}");
  Going& first = room.go(10ms);
  Going& second = room.go(10ms);
  room.loop.run_for(100ms);
  ASSERT_TRUE(first.response);
  EXPECT_FALSE(second.response);  // the head is there, the body is not yet read
  first.response->body = http::Body();
  room.loop.run_for(100ms);
  ASSERT_TRUE(second.response);
  EXPECT_EQ(second.response->status, 200);
  EXPECT_GE(second.call.exchange.record.call.queue, 99ms);
  EXPECT_LE(second.call.exchange.record.call.queue, 101ms);
  EXPECT_EQ(first.call.exchange.record.call.queue, 0ms);
}

TEST(Concurrency, NobodyWaitsLongerThanWrittenNorPastItsDeadline) {
  Room room("{concurrency: {requests: 1, queue: 8, wait: 50ms}}");
  room.go(10s);
  Going& patient = room.go();
  Going& hurried = room.go(10ms, room.loop.now() + 20ms);
  room.loop.run_for(30ms);
  EXPECT_FALSE(patient.response);
  ASSERT_TRUE(hurried.response);
  EXPECT_EQ(hurried.response->status, 503);
  room.loop.run_for(30ms);
  ASSERT_TRUE(patient.response);
  EXPECT_EQ(patient.response->status, 503);
  EXPECT_EQ(room.reached(), 1u);
}

TEST(Concurrency, ACallerThatGoesGivesItsPlaceUp) {
  Room room("{concurrency: {requests: 1, queue: 1, wait: 1s}}");
  room.go(10s);
  room.go(10ms);
  room.going.erase(room.going.begin() + 1);  // while it waits
  Going& next = room.go(10ms);
  EXPECT_FALSE(next.response);
  room.going.erase(room.going.begin());  // while it works
  room.loop.run_for(20ms);
  ASSERT_TRUE(next.response);
  EXPECT_EQ(next.response->status, 200);
}

TEST(Concurrency, WithoutAQueueNobodyWaits) {
  Room room("{concurrency: {requests: 1, queue: 0}}");
  room.go(10s);
  EXPECT_TRUE(room.go().response);
}

TEST(Concurrency, IsOneCountForAllWorkers) {
  States states;
  Room one("{concurrency: 1}", &states);
  Room other("{concurrency: 1}", &states);
  Agenda::make_current(&one.loop);
  one.go(10ms);
  Agenda::make_current(&other.loop);
  Going& waits = other.go(10ms);
  EXPECT_EQ(other.reached(), 0u);
  Agenda::make_current(&one.loop);
  one.loop.run_for(20ms);
  one.going.clear();
  Agenda::make_current(&other.loop);
  other.loop.run_for(20ms);
  ASSERT_TRUE(waits.response);
  EXPECT_EQ(waits.response->status, 200);
  other.going.clear();
}

TEST(Concurrency, RefusesWhatCannotBeMeant) {
  EXPECT_NE(Bench("[{concurrency: 0}]").messages, "");
  EXPECT_NE(Bench("[{concurrency: {queue: 1}}]").messages, "");
}

}  // namespace
}  // namespace portloom::policy
