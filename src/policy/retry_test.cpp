// Tests of retry: what is sent again, when, how often, and with which body.
#include "policy/bench_for_tests.h"

namespace portloom::policy {
namespace {

Error fault(Code code, Progress progress, Side side = Side::upstream) { return Error{code, side, progress, {}}; }
const ScriptedService::Line refused{.status = 502, .fault = fault(Code::refused, Progress::nothing)};
const ScriptedService::Line broken{.status = 502, .fault = fault(Code::reset, Progress::body)};
const ScriptedService::Line busy{.status = 503};

size_t sent(Bench& bench, std::string_view method, std::initializer_list<ScriptedService::Line> script) {
  bench.service.script = script;
  bench.service.seen.clear();
  Bench::Call call(bench, method);
  EXPECT_NE(bench.answer(call).status, 0);
  return bench.service.seen.size();
}

TEST(Retry, ARefusedCallIsRepeatedAtOnce) {
  Bench bench("[{retry: {attempts: 2}}]");
  bench.service.script = {refused};
  EXPECT_EQ(bench.get().status, 200);
  ASSERT_EQ(bench.service.seen.size(), 2u);
  EXPECT_EQ(bench.service.seen[0].at, bench.service.seen[1].at);
}

TEST(Retry, ABrokenOneAfterAShortRandomWhile) {
  Bench bench("[{retry: {attempts: 2}}]");
  bench.service.script = {broken};
  EXPECT_EQ(bench.get().status, 200);
  ASSERT_EQ(bench.service.seen.size(), 2u);
  Duration waited = bench.service.seen[1].at - bench.service.seen[0].at;
  EXPECT_GE(waited, 5ms);
  EXPECT_LE(waited, 25ms + 3ms);  // the wheel's tick
}

TEST(Retry, OnlyWhatIsSafeOrWasNeverSent) {
  Bench bench("[{retry: {attempts: 2}}]");
  EXPECT_EQ(sent(bench, "HEAD", {broken}), 2u);
  EXPECT_EQ(sent(bench, "OPTIONS", {broken}), 2u);
  EXPECT_EQ(sent(bench, "POST", {broken}), 1u);
  EXPECT_EQ(sent(bench, "PUT", {broken}), 1u);
  EXPECT_EQ(sent(bench, "DELETE", {broken}), 1u);
  EXPECT_EQ(sent(bench, "POST", {refused}), 2u);
  EXPECT_EQ(sent(bench, "POST", {{.status = 502, .fault = fault(Code::reset, Progress::nothing)}}), 2u);  // a stale pooled connection
}

TEST(Retry, OnlyForTheWrittenCauses) {
  Bench usual("[{retry: {attempts: 2}}]");
  EXPECT_EQ(sent(usual, "GET", {busy}), 1u);
  EXPECT_EQ(sent(usual, "GET", {{.status = 500}}), 1u);
  EXPECT_EQ(sent(usual, "GET", {{.status = 504, .fault = fault(Code::upstream_timeout, Progress::head)}}), 1u);
  EXPECT_EQ(sent(usual, "GET", {{.status = 502, .fault = fault(Code::reset, Progress::nothing, Side::client)}}), 1u);
  EXPECT_EQ(sent(usual, "GET", {{.status = 503, .fault = fault(Code::no_endpoint, Progress::nothing)}}), 1u);
  Bench unavailable("[{retry: {attempts: 2, causes: [unavailable]}}]");
  EXPECT_EQ(sent(unavailable, "GET", {busy}), 2u);
  EXPECT_EQ(unavailable.service.bodies_alive_at_call, 0);  // the first answer was let go before
  EXPECT_EQ(sent(unavailable, "POST", {busy}), 1u);
  EXPECT_EQ(sent(unavailable, "GET", {refused}), 1u);
}

TEST(Retry, AttemptsCountTheFirst) {
  Bench bench("[{retry: {attempts: 3}}]");
  bench.service.script = {refused, refused, refused, refused};
  Bench::Call call(bench);
  EXPECT_EQ(bench.answer(call).status, 502);
  EXPECT_EQ(call.exchange.record.call.attempts, 3u);
  Bench once("[{retry: {attempts: 1}}]");
  EXPECT_EQ(sent(once, "GET", {refused}), 1u);
}

TEST(Retry, ABodyInMemoryIsSentAgainWhole) {
  Bench bench("[{retry: {attempts: 2}}]");
  bench.service.script = {refused};
  Bench::Call call(bench, "POST");
  call.request.body = http::Body(Bytes::literal("order"));
  EXPECT_EQ(bench.answer(call).status, 200);
  ASSERT_EQ(bench.service.seen.size(), 2u);
  EXPECT_EQ(bench.service.seen[1].body, "order");
  Bench::Call large(bench, "POST");
  bench.service.script = {refused};
  bench.service.seen.clear();
  large.request.body = http::Body(Bytes::copy(std::string(64 * 1024 + 1, 'x')));
  EXPECT_EQ(bench.answer(large).status, 502);
  EXPECT_EQ(bench.service.seen.size(), 1u);
}

class OneChunk final : public http::BodySource {
 public:
  Task<Result<Bytes>> read() override { co_return std::exchange(chunk_, Bytes()); }

 private:
  Bytes chunk_ = Bytes::literal("streamed");
};

TEST(Retry, AStreamingBodyOnlyWhileItIsUntouched) {
  Bench bench("[{retry: {attempts: 2}}]");
  bench.service.script = {{.status = 502, .fault = refused.fault, .takes_body = false}};
  Bench::Call untouched(bench, "POST");
  untouched.request.body = http::Body(std::make_unique<OneChunk>(), std::nullopt);
  EXPECT_EQ(bench.answer(untouched).status, 200);
  EXPECT_EQ(bench.service.seen.at(1).body, "streamed");
  bench.service.script = {refused};
  Bench::Call taken(bench, "POST");
  taken.request.body = http::Body(std::make_unique<OneChunk>(), std::nullopt);
  EXPECT_EQ(bench.answer(taken).status, 502);
}

TEST(Retry, NotBeyondTheDeadline) {
  Bench bench("[{retry: {attempts: 2}}]");
  bench.service.script = {{.status = 502, .fault = broken.fault, .after = 99ms}};
  Bench::Call call(bench);
  call.request.deadline = bench.agenda.now() + 100ms;
  EXPECT_EQ(bench.answer(call).status, 502);
  EXPECT_EQ(bench.service.seen.size(), 1u);
}

TEST(Retry, TheBudgetBoundsTheRetriesOfASecond) {
  Bench bench("[{retry: {attempts: 2, causes: [refused]}}]");
  auto failing = [&bench](size_t calls) {
    bench.service.seen.clear();
    for (size_t i = 0; i < calls; ++i) {
      bench.service.script = {refused, refused};
      (void)bench.get();
    }
    return bench.service.seen.size() - calls;
  };
  EXPECT_EQ(failing(50), 10u);  // the floor is as much as 20 % of fifty
  EXPECT_EQ(failing(50), 10u);  // 20 % of a hundred
  bench.agenda.pass(1s);
  EXPECT_EQ(failing(20), 10u);
}

TEST(Retry, IsGivenToAServiceThatHasNone) {
  Bench bench("[]");
  data::Part written;
  written.kind = "retry";
  EXPECT_TRUE(default_service_policies({written}).empty());
  std::vector<std::unique_ptr<pipeline::Policy>> made = default_service_policies({});
  ASSERT_EQ(made.size(), 1u);
  pipeline::Chain chain({made[0].get()}, bench.service);
  bench.service.script = {refused};
  Bench::Call call(bench);
  EXPECT_EQ(bench.answer(call, chain).status, 200);
}

TEST(Retry, RefusesMoreThanFiveAttempts) {
  EXPECT_NE(Bench("[{retry: {attempts: 6}}]").messages, "");
  EXPECT_NE(Bench("[{retry: {attempts: 0}}]").messages, "");
  EXPECT_NE(Bench("[{retry: {causes: []}}]").messages, "");
}

}  // namespace
}  // namespace portloom::policy
