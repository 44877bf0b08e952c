// Tests of retry: what is sent again, when, how often, and with which body.
#include <array>

#include "pipeline/problem.h"
#include "policy/bench_for_tests.h"

namespace portloom::policy {
namespace {

Error fault(Code code, Progress progress, Side side = Side::upstream) { return Error{code, side, progress, {}}; }
const ScriptedService::Line refused{.status = 502, .fault = fault(Code::refused, Progress::nothing)};
const ScriptedService::Line broken{.status = 502, .fault = fault(Code::reset, Progress::body)};
const ScriptedService::Line busy{.status = 503};
constexpr Duration tick = 3ms;  // of the timer wheel

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
  EXPECT_GT(waited, 0ms);
  EXPECT_LE(waited, 25ms + tick);
}

TEST(Retry, TheWaitIsRandomAndItsBoundDoublesUpToTheCap) {
  Bench bench("[{retry: {attempts: 5, wait: 100ms, wait_max: 300ms, budget: 100%}}]");
  std::array<Duration, 4> longest{};
  std::array<Duration, 4> shortest;
  shortest.fill(1h);
  for (int round = 0; round < 200; ++round) {
    bench.service.script = {broken, broken, broken, broken, broken};
    bench.service.seen.clear();
    Bench::Call call(bench);
    EXPECT_EQ(bench.answer(call).status, 502);
    for (size_t i = 0; i + 1 < bench.service.seen.size(); ++i) {
      Duration waited = bench.service.seen[i + 1].at - bench.service.seen[i].at;
      longest[i] = std::max(longest[i], waited);
      shortest[i] = std::min(shortest[i], waited);
    }
  }
  std::array<Duration, 4> bounds{100ms, 200ms, 300ms, 300ms};
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_LE(longest[i], bounds[i] + tick);
    EXPECT_GE(longest[i], bounds[i] * 9 / 10);
    EXPECT_LE(shortest[i], bounds[i] / 10);
  }
}

TEST(Retry, RetryAfterIsObeyed) {
  auto times = [](std::string_view after, std::string_view wait_max) {
    Bench bench("[{retry: {attempts: 2, causes: [unavailable], wait_max: " + std::string(wait_max) + "}}]");
    bench.service.script = {busy};
    bench.service.fields.set(http::Name::retry_after, after);
    Bench::Call call(bench);
    uint16_t status = bench.answer(call).status;
    std::vector<Instant> seen;
    for (const ScriptedService::Seen& one : bench.service.seen) seen.push_back(one.at);
    EXPECT_EQ(status, seen.size() == 2 ? 200 : 503);
    return seen;
  };
  EXPECT_EQ(times("1", "250ms").size(), 1u);  // longer than anybody is let wait here: the answer goes to the client
  std::vector<Instant> obeyed = times("1", "2s");
  ASSERT_EQ(obeyed.size(), 2u);
  EXPECT_GE(obeyed[1] - obeyed[0], 1s);
  EXPECT_LE(obeyed[1] - obeyed[0], 1s + tick);
  EXPECT_EQ(times("0", "250ms").size(), 2u);
  EXPECT_EQ(times("3", "2s").size(), 1u);
  EXPECT_EQ(times("Wed, 21 Oct 2026 07:28:00 GMT", "60s").size(), 1u);
  EXPECT_EQ(times("99999999999999999999", "60s").size(), 1u);
}

TEST(Retry, AKeyedRequestIsSafe) {
  Bench bench("[{retry: {attempts: 2}}]");
  bench.service.script = {broken};
  Bench::Call keyed(bench, "POST");
  keyed.request.headers.set(http::Name::idempotency_key, "8e03978e");
  EXPECT_EQ(bench.answer(keyed).status, 200);
  EXPECT_EQ(bench.service.seen.size(), 2u);
}

TEST(Retry, AnAttemptHasATimeOfItsOwn) {
  Bench bench("[{retry: {attempts: 2, causes: [timeout], attempt_timeout: 300ms}}]");
  bench.service.script = {{.after = 10s}};
  Bench::Call call(bench);
  call.request.deadline = bench.agenda.now() + 5s;
  EXPECT_EQ(bench.answer(call).status, 200);
  ASSERT_EQ(bench.service.seen.size(), 2u);
  EXPECT_EQ(bench.service.dropped, 1);
  Duration between = bench.service.seen[1].at - bench.service.seen[0].at;
  EXPECT_GE(between, 300ms);
  EXPECT_LE(between, 325ms + tick);
  EXPECT_EQ(bench.service.seen[0].deadline - bench.service.seen[0].at, 300ms);
  EXPECT_EQ(call.exchange.record.policy, "");  // the attempt that was late is forgotten
  EXPECT_EQ(sent(bench, "POST", {{.after = 10s}}), 1u);
  Bench unasked("[{retry: {attempts: 2, attempt_timeout: 300ms}}]");  // timeout is no cause here
  unasked.service.script = {{.after = 10s}};
  Bench::Call late(unasked);
  EXPECT_EQ(unasked.answer(late).status, 504);
  EXPECT_EQ(late.exchange.record.limit, "timeout 300ms");
  Bench once("[{retry: {attempts: 1, attempt_timeout: 300ms}}]");
  once.service.script = {{.after = 10s}};
  EXPECT_EQ(once.get().status, 504);
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

TEST(Retry, StatusesOfTheServiceThatWereChosen) {
  Bench chosen("[{retry: {attempts: 2, statuses: [429, 500]}}]");
  EXPECT_EQ(sent(chosen, "GET", {{.status = 500}}), 2u);
  EXPECT_EQ(sent(chosen, "GET", {{.status = 429}}), 2u);
  EXPECT_EQ(sent(chosen, "GET", {{.status = 502}}), 1u);
  EXPECT_EQ(sent(chosen, "POST", {{.status = 500}}), 1u);
  EXPECT_EQ(sent(chosen, "GET", {{.status = 500, .fault = fault(Code::internal, Progress::nothing, Side::gateway)}}), 1u);
  Bench gateway("[{retry: {attempts: 2, causes: [gateway_error]}}]");
  for (uint16_t status : std::initializer_list<uint16_t>{502, 503, 504}) EXPECT_EQ(sent(gateway, "GET", {{.status = status}}), 2u);
  EXPECT_EQ(sent(gateway, "GET", {{.status = 500}}), 1u);
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

class Chunks final : public http::BodySource {
 public:
  explicit Chunks(std::vector<std::string> chunks) : chunks_(std::move(chunks)) {}
  Task<Result<Bytes>> read() override {
    if (next_ == chunks_.size()) co_return Bytes();
    co_return Bytes::copy(chunks_[next_++]);
  }

 private:
  std::vector<std::string> chunks_;
  size_t next_ = 0;
};

// Reads so many pieces, then breaks; the next call reads all.
class HalfReader final : public pipeline::Service {
 public:
  explicit HalfReader(size_t first) : pieces(first) {}
  Task<pipeline::Response> call(pipeline::Request& request) override {
    std::string& text = bodies.emplace_back();
    http::Body body = std::move(request.body);
    size_t most = bodies.size() == 1 ? pieces : 1000;
    for (size_t i = 0; i < most; ++i) {
      Result<Bytes> piece = co_await body.read();
      if (!piece || piece->empty()) break;
      text += piece->view();
    }
    if (bodies.size() > 1) co_return pipeline::Response(200);
    co_return pipeline::deny(fault(Code::reset, Progress::body));
  }
  size_t pieces;
  std::vector<std::string> bodies;
};

TEST(Retry, AStreamingBodyOfAKeyedRequestIsReadAgain) {
  auto bodies = [](size_t first, std::vector<std::string> chunks, size_t held_max = size_t{1024} * 1024) {
    Bench policies("[{retry: {attempts: 2, replay: 1KiB}}]");
    HalfReader reader(first);
    pipeline::Chain chain({policies.chain().policies().at(0)}, reader);
    Bench::Call call(policies, "POST");
    call.exchange.plan->held_max = held_max;
    call.request.headers.set(http::Name::idempotency_key, "8e03978e");
    call.request.body = http::Body(std::make_unique<Chunks>(std::move(chunks)), std::nullopt);
    EXPECT_EQ(policies.answer(call, chain).status, reader.bodies.size() == 2 ? 200 : 502);
    return reader.bodies;
  };
  using Bodies = std::vector<std::string>;
  EXPECT_EQ(bodies(2, {"one ", "two ", "three"}), (Bodies{"one two ", "one two three"}));
  EXPECT_EQ(bodies(9, {"one ", "two ", "three"}), (Bodies{"one two three", "one two three"}));
  std::string half(512, 'x');
  EXPECT_EQ(bodies(2, {half, half, "y"}), (Bodies{half + half, half + half + "y"}));  // as much as is kept, to the byte
  EXPECT_EQ(bodies(3, {half, half, "y"}).size(), 1u);                                 // a byte more
  EXPECT_EQ(bodies(2, {half, half, "y"}, 1024).size(), 2u);
  EXPECT_EQ(bodies(2, {half, half, "y"}, 1023).size(), 1u);  // more than a request may hold
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
  bench.service.script = {{.status = 502, .fault = broken.fault, .after = 100ms - 1us}};
  Bench::Call call(bench);
  call.request.deadline = bench.agenda.now() + 100ms;  // what is left is shorter than any back-off
  EXPECT_EQ(bench.answer(call).status, 502);
  EXPECT_EQ(bench.service.seen.size(), 1u);
}

size_t repeated(Bench& bench, size_t failing_calls) {
  bench.service.seen.clear();
  for (size_t i = 0; i < failing_calls; ++i) {
    bench.service.script = {refused, refused};
    (void)bench.get();
  }
  return bench.service.seen.size() - failing_calls;
}

TEST(Retry, TheBudgetBoundsTheRetriesOfTenSeconds) {
  Bench bench("[{retry: {attempts: 2, causes: [refused]}}]");
  EXPECT_EQ(repeated(bench, 96), 96u);  // an instance died in the first moment of a load
  EXPECT_EQ(repeated(bench, 50), 4u);   // the floor
  bench.agenda.pass(1s);
  EXPECT_EQ(repeated(bench, 20), 0u);
  bench.agenda.pass(9s);
  EXPECT_EQ(repeated(bench, 120), 100u);
}

TEST(Retry, TheBudgetIsAShareOfTenSeconds) {
  Bench bench("[{retry: {attempts: 2, causes: [refused]}}]");
  for (int second = 0; second < 9; ++second, bench.agenda.pass(1s))
    for (int i = 0; i < 100; ++i) EXPECT_EQ(bench.get().status, 200);
  EXPECT_EQ(repeated(bench, 100), 100u);  // an instance has died, and takes many with it at once
  EXPECT_EQ(repeated(bench, 200), 140u);  // 240 are 20 % of 1,200 requests
  bench.agenda.pass(20s);
  EXPECT_EQ(repeated(bench, 120), 100u);
}

TEST(Retry, TheBudgetOutlivesAReload) {
  States worker;
  auto chain_of = [&](Bench& bench, std::unique_ptr<pipeline::Policy>& made) {
    made = std::move(default_service_policies({}, &worker, "services.shop").front());
    return pipeline::Chain({made.get()}, bench.service);
  };
  Bench bench("[]");
  std::unique_ptr<pipeline::Policy> first, second;
  pipeline::Chain before = chain_of(bench, first);
  for (int i = 0; i < 500; ++i) {
    Bench::Call call(bench);
    EXPECT_EQ(bench.answer(call, before).status, 200);
  }
  pipeline::Chain after = chain_of(bench, second);
  first.reset();
  worker.forget_unused();
  for (int i = 0; i < 100; ++i) {
    bench.service.script = {refused};
    Bench::Call call(bench);
    EXPECT_EQ(bench.answer(call, after).status, 200) << i;
  }
}

// Of several gateways behind each other.

TEST(Retry, WhatHasBeenTriedFurtherInIsNotTriedAgain) {
  Bench bench("[{retry: {attempts: 3, causes: [unavailable]}}]");
  bench.service.script = {busy, busy, busy};
  bench.service.fields.add("Portloom-Attempts", "3");
  Bench::Call call(bench);
  pipeline::Response answer = bench.answer(call);
  EXPECT_EQ(answer.status, 503);
  EXPECT_EQ(bench.service.seen.size(), 1u);
  EXPECT_FALSE(answer.headers.find("Portloom-Attempts").has_value());  // a client has no use for it
}

TEST(Retry, WhoHasTriedInVainTellsTheGatewayThatAsked) {
  Bench bench("[{retry: {attempts: 3, causes: [unavailable]}}]");
  bench.service.script = {busy, busy, busy};
  Bench::Call call(bench);
  call.request.headers.add("Via", "1.1 portloom, 1.1 portloom");
  EXPECT_EQ(bench.answer(call).headers.find("Portloom-Attempts"), "3");
  EXPECT_EQ(bench.service.seen.size(), 3u);
  bench.service.script = {broken};  // not a cause here: nothing was tried, and nothing is said
  Bench::Call other(bench);
  other.request.headers.add("Via", "1.1 portloom, 1.1 portloom");
  EXPECT_FALSE(bench.answer(other).headers.find("Portloom-Attempts").has_value());
}

TEST(Retry, AnAttemptSaysWhichOneItIsAndIsNotMultipliedFurtherIn) {
  Bench bench("[{retry: {attempts: 3, causes: [unavailable]}}]");
  bench.service.script = {busy, busy};
  Bench::Call call(bench);
  EXPECT_EQ(bench.answer(call).status, 200);
  ASSERT_EQ(bench.service.seen.size(), 3u);
  EXPECT_FALSE(bench.service.seen[0].headers.find("Portloom-Attempt").has_value());
  EXPECT_EQ(bench.service.seen[1].headers.find("Portloom-Attempt"), "2");
  EXPECT_EQ(bench.service.seen[2].headers.find("Portloom-Attempt"), "3");
  bench.service.script = {busy};
  bench.service.seen.clear();
  Bench::Call again(bench);
  again.request.headers.add("Portloom-Attempt", "2");
  EXPECT_EQ(bench.answer(again).status, 503);
  EXPECT_EQ(bench.service.seen.size(), 1u);
}

TEST(Retry, AGrpcStatusInTheHeadIsACause) {
  Bench bench("[{retry: {attempts: 2, causes: [unavailable]}}]");
  auto attempts = [&](const char* status) {
    bench.service.fields = {};
    bench.service.fields.add("grpc-status", status);
    return sent(bench, "GET", {});
  };
  EXPECT_EQ(attempts("14"), 2u);
  EXPECT_EQ(attempts("4"), 1u);
  EXPECT_EQ(attempts("0"), 1u);
  EXPECT_EQ(attempts("3"), 1u);
}

TEST(Retry, GrpcsPushbackSaysWhenOrThatNever) {
  Bench bench("[{retry: {attempts: 2, causes: [unavailable]}}]");
  bench.service.fields.add("grpc-status", "14");
  bench.service.fields.add("grpc-retry-pushback-ms", "120");
  Bench::Call call(bench);
  call.exchange.grpc = true;
  EXPECT_EQ(bench.answer(call).status, 200);
  ASSERT_EQ(bench.service.seen.size(), 2u);
  Duration waited = bench.service.seen[1].at - bench.service.seen[0].at;
  EXPECT_GE(waited, 120ms);
  EXPECT_LE(waited, 120ms + tick);
  EXPECT_EQ(bench.service.seen[1].headers.find("grpc-previous-rpc-attempts"), "1");
  for (const char* never : {"-1", "soon", "251"}) {  // 251: longer than wait_max
    bench.service.fields.set("grpc-retry-pushback-ms", never);
    EXPECT_EQ(sent(bench, "GET", {}), 1u) << never;
  }
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

TEST(Retry, RefusesWhatCannotBeMeant) {
  EXPECT_NE(Bench("[{retry: {statuses: [200]}}]").messages, "");
  EXPECT_NE(Bench("[{retry: {wait: 2s, wait_max: 1s}}]").messages, "");
  EXPECT_NE(Bench("[{retry: {attempts: 6}}]").messages, "");
  EXPECT_NE(Bench("[{retry: {attempts: 0}}]").messages, "");
  EXPECT_NE(Bench("[{retry: {causes: []}}]").messages, "");
}

}  // namespace
}  // namespace portloom::policy
