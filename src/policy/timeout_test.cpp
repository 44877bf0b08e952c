// Tests of timeout: who is late gets 504 and is dropped; who is not, notices nothing.
#include "policy/bench_for_tests.h"

namespace portloom::policy {
namespace {

TEST(Timeout, ALateAnswerIs504AndTheCallIsDropped) {
  Bench bench("[{timeout: 3s}]");
  bench.service.script = {{.after = 10s}};
  Bench::Call call(bench);
  Instant begun = bench.agenda.now();
  Task<pipeline::Response> task = bench.chain().call(call.request);
  EXPECT_FALSE(task.start());
  bench.agenda.pass(2999ms);
  EXPECT_FALSE(task.done());
  EXPECT_EQ(bench.service.dropped, 0);
  bench.agenda.pass(10ms);
  ASSERT_TRUE(task.done());
  pipeline::Response response = task.take();
  EXPECT_EQ(response.status, 504);
  ASSERT_TRUE(response.fault.has_value());
  EXPECT_EQ(response.fault->code, Code::upstream_timeout);
  EXPECT_EQ(response.fault->side, Side::upstream);
  EXPECT_EQ(response.fault->progress, Progress::head);  // it may have been sent
  EXPECT_EQ(bench.service.dropped, 1);
  EXPECT_EQ(call.exchange.record.limit, "timeout 3s");
  EXPECT_EQ(call.exchange.record.policy, "timeout");
  EXPECT_EQ(bench.service.seen[0].deadline, begun + 3s);
}

TEST(Timeout, AnAnswerInTimeGoesThrough) {
  Bench bench("[{timeout: {first_byte: 3s}}]");
  bench.service.script = {{.status = 201, .after = 2s}};
  Bench::Call call(bench);
  EXPECT_EQ(bench.answer(call).status, 201);
  EXPECT_EQ(call.exchange.record.limit, "");
  EXPECT_EQ(call.request.deadline, never);  // restored: the body has no deadline
}

TEST(Timeout, TheNearerDeadlineHolds) {
  Bench bench("[{timeout: 1s}, {timeout: 3s}]");
  bench.service.script = {{.after = 10s}};
  Bench::Call call(bench);
  Instant begun = bench.agenda.now();
  EXPECT_EQ(bench.answer(call).status, 504);
  EXPECT_EQ(bench.service.seen[0].deadline, begun + 1s);
  EXPECT_EQ(call.exchange.record.limit, "timeout 1s");
}

TEST(Timeout, EachAttemptOfARetryOutsideHasItsOwnTime) {
  Bench bench("[{retry: {attempts: 2}}, {timeout: 1s}]");
  bench.service.script = {{.status = 502, .fault = Error{Code::reset, Side::upstream, Progress::head, {}}, .after = 900ms},
                          {.after = 900ms}};
  EXPECT_EQ(bench.get().status, 200);
}

TEST(Timeout, TheServiceThatSeesTheDeadlineFirstIsStillThisLimit) {
  Bench bench("[{timeout: 1s}]");
  bench.service.script = {{.status = 504, .fault = Error{Code::upstream_timeout, Side::upstream, Progress::head, {}}, .after = 1s}};
  Bench::Call call(bench);
  EXPECT_EQ(bench.answer(call).status, 504);
  EXPECT_EQ(call.exchange.record.limit, "timeout 1s");
}

TEST(Timeout, IsGivenToARouteThatHasNone) {
  Bench bench("[]");
  data::Part written;
  written.kind = "timeout";
  EXPECT_TRUE(default_route_policies({written}).empty());
  std::vector<std::unique_ptr<pipeline::Policy>> made = default_route_policies({});
  ASSERT_EQ(made.size(), 1u);
  pipeline::Chain chain({made[0].get()}, bench.service);
  bench.service.script = {{.after = 16s}};
  Bench::Call call(bench);
  EXPECT_EQ(bench.answer(call, chain).status, 504);
  EXPECT_EQ(call.exchange.record.limit, "timeout 15s");
}

struct SlowUpload final : pipeline::Service {
  Duration uploads_for{};
  Task<pipeline::Response> call(pipeline::Request& request) override {
    Instant end = request.exchange.now() + uploads_for;
    while (request.exchange.now() < end) {
      request.upload_progress = request.exchange.now();
      co_await sleep_for(400ms);
    }
    co_await sleep_for(answers_after);
    co_return pipeline::Response(200);
  }
  Duration answers_after{};
};

TEST(Timeout, CountsFromTheLastPieceOfAnUpload) {
  Bench bench("[{timeout: 1s}]");
  SlowUpload slow;
  slow.uploads_for = 10s;
  pipeline::Chain chain(bench.chain().policies(), slow);
  Bench::Call in_time(bench);
  EXPECT_EQ(bench.answer(in_time, chain).status, 200);
  slow.answers_after = 5s;
  Bench::Call late(bench);
  EXPECT_EQ(bench.answer(late, chain).status, 504);
}

TEST(Timeout, TheWholeIsOfALaterVersion) {
  EXPECT_NE(Bench("[{timeout: {first_byte: 1s, total: 2s}}]").messages.find("not in this version"), std::string::npos);
}

}  // namespace
}  // namespace portloom::policy
