// Tests of rate_limit: exact counts, also under several workers; what clients are told; whose counter is whose.
#include <gmock/gmock.h>

#include <atomic>
#include <set>
#include <thread>

#include "policy/bench_for_tests.h"
#include "policy/rate_limit.h"

namespace portloom::policy {
namespace {

int granted(Bench& bench, int calls) {
  int count = 0;
  for (int i = 0; i < calls; ++i) count += bench.get().status == 200;
  return count;
}

TEST(RateLimit, GrantsExactlyWhatIsWrittenAndFlowsBackEvenly) {
  Bench bench("[{rate_limit: {requests: 7, per: 1s}}]");
  EXPECT_EQ(granted(bench, 20), 7);
  bench.agenda.pass(142'857'142ns);  // a seventh of a second, but for a fraction of a nanosecond
  EXPECT_EQ(granted(bench, 20), 0);
  bench.agenda.pass(1ns);
  EXPECT_EQ(granted(bench, 20), 1);
  bench.agenda.pass(10s);
  EXPECT_EQ(granted(bench, 20), 7);
}

TEST(RateLimit, TellsWhatIsLeftAndWhenToComeAgain) {
  Bench bench("[{rate_limit: {name: flood, requests: 2, per: 1m}}]");
  Bench::Call first(bench);
  EXPECT_EQ(bench.answer(first).status, 200);
  EXPECT_EQ(first.reply("RateLimit-Policy"), "\"flood\";q=2;w=60");
  EXPECT_EQ(first.reply("RateLimit"), "\"flood\";r=1;t=30");
  Bench::Call second(bench);
  EXPECT_EQ(bench.answer(second).status, 200);
  EXPECT_EQ(second.reply("RateLimit"), "\"flood\";r=0;t=30");
  bench.agenda.pass(10'500ms);
  Bench::Call third(bench);
  pipeline::Response refused = bench.answer(third);
  EXPECT_EQ(refused.status, 429);
  ASSERT_TRUE(refused.fault.has_value());
  EXPECT_EQ(refused.fault->code, Code::rate_limited);
  EXPECT_EQ(refused.fault->side, Side::client);
  // 19.5 s and at most a tenth more, rounded up; the same in both.
  std::string told(refused.headers.find("Retry-After").value_or("-"));
  EXPECT_THAT(told, ::testing::AnyOf("20", "21", "22"));
  EXPECT_EQ(third.reply("RateLimit"), "\"flood\";r=0;t=" + told);
  EXPECT_EQ(third.exchange.record.limit, "flood: 2 per 1m");
  EXPECT_EQ(third.exchange.record.policy, "rate_limit");
  EXPECT_EQ(bench.service.seen.size(), 2u);
  bench.agenda.pass(std::stol(told) * 1s);
  EXPECT_EQ(granted(bench, 1), 1);  // who waits as long as told is served
}

TEST(RateLimit, ARefusalSaysWhatTheLimitIsThereFor) {
  struct Case {
    std::string written;
    Code code;
    Side side;
    uint16_t status;
  };
  for (const Case& each : {Case{"", Code::rate_limited, Side::client, 429}, Case{", problem: quota", Code::rate_limited, Side::client, 429},
                           Case{", problem: abnormal_usage", Code::abnormal_usage, Side::client, 429},
                           Case{", problem: reduced_capacity", Code::reduced_capacity, Side::gateway, 503}}) {
    Bench bench("[{rate_limit: {name: flood, requests: 1, per: 1m" + each.written + "}}]");
    ASSERT_EQ(bench.messages, "");
    EXPECT_EQ(granted(bench, 1), 1);
    Bench::Call call(bench);
    pipeline::Response refused = bench.answer(call);
    EXPECT_EQ(refused.status, each.status) << each.written;
    ASSERT_TRUE(refused.fault.has_value());
    EXPECT_EQ(refused.fault->code, each.code) << each.written;
    EXPECT_EQ(refused.fault->side, each.side) << each.written;
    EXPECT_GE(std::stoi(std::string(refused.headers.find("Retry-After").value_or("0"))), 60) << each.written;
    EXPECT_EQ(call.exchange.record.violated_policies, "flood");
  }
}

TEST(RateLimit, RetryAfterIsAtLeastASecond) {
  Bench bench("[{rate_limit: {requests: 1000, per: 1s}}]");
  EXPECT_EQ(granted(bench, 1000), 1000);
  std::string told(bench.get().headers.find("Retry-After").value_or("-"));
  EXPECT_THAT(told, ::testing::AnyOf("1", "2"));
}

TEST(RateLimit, ThoseWhoAreRefusedTogetherAreNotToldTheSame) {
  Bench bench("[{rate_limit: {requests: 1, per: 1000s}}]");
  EXPECT_EQ(granted(bench, 1), 1);
  std::set<int> told;
  for (int i = 0; i < 200; ++i) told.insert(std::stoi(std::string(bench.get().headers.find("Retry-After").value_or("0"))));
  EXPECT_GE(*told.begin(), 1000);
  EXPECT_LE(*told.rbegin(), 1010);
  EXPECT_GE(told.size(), 5u);
}

TEST(RateLimit, APartitionKeyTellsCountersApartAndNothingElse) {
  Bench bench(
      "[{rate_limit: {limits: [{name: a, requests: 9, per: 1m}, {name: b, requests: 9, per: 1h}], key: headers.x-app, "
      "partition_key: true}}]");
  ASSERT_EQ(bench.messages, "");
  auto key = [&bench](const char* app) {
    Bench::Call call(bench);
    call.request.headers.add("X-App", app);
    EXPECT_EQ(bench.answer(call).status, 200);
    std::string policy = call.reply("RateLimit-Policy");
    size_t at = policy.find(";pk=:");
    std::string found = policy.substr(at, policy.find(',') - at);
    EXPECT_EQ(policy, "\"a\";q=9;w=60" + found + ", \"b\";q=9;w=3600" + found);
    EXPECT_TRUE(call.reply("RateLimit").ends_with(found)) << call.reply("RateLimit");
    EXPECT_EQ(found.size(), 14u);
    EXPECT_TRUE(found.ends_with(':'));
    return found;
  };
  std::string phone = key("phone");
  EXPECT_EQ(key("phone"), phone);
  EXPECT_NE(key("web"), phone);
}

TEST(RateLimit, SeveralLimitsShareTheFields) {
  Bench bench("[{rate_limit: {name: burst, requests: 5, per: 500ms}}, {rate_limit: {name: day, requests: 100, per: 24h}}]");
  Bench::Call call(bench);
  EXPECT_EQ(bench.answer(call).status, 200);
  EXPECT_EQ(call.reply("RateLimit-Policy"), "\"burst\";q=5, \"day\";q=100;w=86400");
  EXPECT_EQ(call.reply("RateLimit"), "\"burst\";r=4;t=1, \"day\";r=99;t=864");
}

TEST(RateLimit, ARequestThatOneLimitRefusesIsNotCountedByTheOthers) {
  Bench bench("[{rate_limit: {limits: [{name: day, requests: 4, per: 24h}, {name: burst, requests: 2, per: 1s}]}}]");
  ASSERT_EQ(bench.messages, "");
  EXPECT_EQ(granted(bench, 2), 2);
  Bench::Call call(bench);
  pipeline::Response refused = bench.answer(call);
  EXPECT_EQ(refused.status, 429);
  std::string told(refused.headers.find("Retry-After").value_or("-"));
  EXPECT_THAT(told, ::testing::AnyOf("1", "2"));
  EXPECT_EQ(call.reply("RateLimit-Policy"), "\"day\";q=4;w=86400, \"burst\";q=2;w=1");
  EXPECT_EQ(call.reply("RateLimit"), "\"day\";r=2;t=43200, \"burst\";r=0;t=" + told);
  EXPECT_EQ(call.exchange.record.limit, "burst: 2 per 1s");
  EXPECT_EQ(call.exchange.record.violated_policies, "burst");
  EXPECT_EQ(granted(bench, 20), 0);
  bench.agenda.pass(2s);
  EXPECT_EQ(granted(bench, 20), 2);  // the day has counted what went through
  Bench::Call both(bench);
  int longer = std::stoi(std::string(bench.answer(both).headers.find("Retry-After").value_or("0")));
  EXPECT_GE(longer, 21598);  // the longer wait of the two
  EXPECT_LE(longer, 21608);
  EXPECT_EQ(both.exchange.record.violated_policies, "day,burst");
  EXPECT_EQ(both.exchange.record.limit, "day: 4 per 1d");
}

TEST(RateLimit, ADryRunCountsAndRefusesNobody) {
  Bench bench("[{rate_limit: {name: soft, requests: 1, per: 1m, dry_run: true}}]");
  Bench::Call first(bench);
  EXPECT_EQ(bench.answer(first).status, 200);
  EXPECT_EQ(first.exchange.record.dry_run, "");
  Bench::Call second(bench);
  EXPECT_EQ(bench.answer(second).status, 200);
  EXPECT_EQ(second.exchange.record.dry_run, "soft: 1 per 1m");
  EXPECT_EQ(second.exchange.record.dry_run_policy, "rate_limit");
  EXPECT_EQ(second.exchange.record.policy, "");
  EXPECT_EQ(second.reply("RateLimit"), "-");
  EXPECT_EQ(second.reply("RateLimit-Policy"), "-");
}

TEST(RateLimit, TheFirstPartOfAKeyThatIsThereCounts) {
  Bench bench("[{rate_limit: {requests: 1, per: 1m, key: consumer || tenant||query.app || id}}]");
  ASSERT_EQ(bench.messages, "");
  struct Asked {
    std::string_view consumer, tenant, target = "/", id;
  };
  auto status = [&bench](const Asked& asked) {
    Bench::Call call(bench);
    CHECK(call.request.assign("GET", asked.target));
    call.exchange.identity.consumer = asked.consumer;
    call.exchange.identity.tenant = asked.tenant;
    if (!asked.id.empty()) call.exchange.params.items[call.exchange.params.count++] = {"id", asked.id};
    return bench.answer(call).status;
  };
  for (const Asked& asked :
       {Asked{.consumer = "x", .tenant = "y"}, Asked{.tenant = "x"}, Asked{.target = "/?b=app&app=x&app=z"}, Asked{.id = "x"}, Asked{}}) {
    EXPECT_EQ(status(asked), 200);
    EXPECT_EQ(status(asked), 429);
  }
  EXPECT_EQ(status({.consumer = "x", .tenant = "z", .target = "/?app=y", .id = "y"}), 429);
  EXPECT_EQ(status({.tenant = "y"}), 200);
  EXPECT_EQ(status({.target = "/?app=y"}), 200);
  EXPECT_EQ(status({.target = "/?appx=y&app&app="}), 429);  // none of them is there: the address
}

TEST(RateLimit, EachKeyHasItsOwnCounter) {
  Bench bench("[{rate_limit: {requests: 1, per: 1m, key: headers.x-app}}]");
  auto status = [&bench](const char* app, const char* client) {
    Bench::Call call(bench);
    if (app != nullptr) call.request.headers.add("X-App", app);
    call.exchange.client = client;
    return bench.answer(call).status;
  };
  EXPECT_EQ(status("phone", "192.0.2.1"), 200);
  EXPECT_EQ(status("web", "192.0.2.1"), 200);
  EXPECT_EQ(status("phone", "192.0.2.2"), 429);
  EXPECT_EQ(status(nullptr, "192.0.2.1"), 200);
  EXPECT_EQ(status(nullptr, "192.0.2.1"), 429);
  EXPECT_EQ(status("192.0.2.1", "192.0.2.9"), 200);  // a value like an address is not that address
}

TEST(RateLimit, CountsByConsumer) {
  Bench bench("[{rate_limit: {requests: 1, per: 1m, key: consumer}}]");
  auto status = [&bench](const char* consumer) {
    Bench::Call call(bench);
    call.exchange.identity.consumer = consumer;
    return bench.answer(call).status;
  };
  EXPECT_EQ(status("acme"), 200);
  EXPECT_EQ(status("other"), 200);
  EXPECT_EQ(status("acme"), 429);
}

TEST(RateLimit, IsExactOverAllWorkers) {
  States states;
  constexpr int workers = 4;
  std::atomic<int> total = 0;
  std::vector<std::unique_ptr<Bench>> benches;
  for (int i = 0; i < workers; ++i) benches.push_back(std::make_unique<Bench>("[{rate_limit: {requests: 1000, per: 24h}}]", "", &states));
  EXPECT_EQ(states.size(), 1u);
  std::vector<std::thread> threads;
  for (auto& bench : benches) {
    threads.emplace_back([&total, &bench] {
      Agenda::make_current(&bench->agenda);
      total += granted(*bench, 600);
      Agenda::make_current(nullptr);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(total, 1000);
}

TEST(RateLimit, CountersOutliveAReloadOfAnEqualConfiguration) {
  States states;
  {
    Bench before("[{rate_limit: {requests: 2, per: 1h}}]", "", &states);
    EXPECT_EQ(granted(before, 5), 2);
  }
  {
    Bench same("[{rate_limit: {requests: 2, per: 1h, key: client.address}}]", "", &states);
    EXPECT_EQ(granted(same, 5), 0);
  }
  {
    Bench changed("[{rate_limit: {requests: 3, per: 1h}}]", "", &states);
    EXPECT_EQ(granted(changed, 5), 3);
    states.forget_unused();
    EXPECT_EQ(states.size(), 1u);
  }
  states.forget_unused();
  EXPECT_EQ(states.size(), 0u);
}

TEST(RateLimit, WhatIsLeftCanBeAskedWithoutCounting) {
  Bench bench("[{rate_limit: {limits: [{name: a, requests: 2, per: 1m}, {name: b, requests: 9, per: 9s}]}}]");
  const data::Part& part = bench.part(0);
  Bench::Call asking(bench);
  auto left = [&] { return limits_left(part, bench.states(), asking.request); };
  EXPECT_EQ(left(), "a: 1 of 2 left; b: 8 of 9 left");
  EXPECT_EQ(left(), "a: 1 of 2 left; b: 8 of 9 left");
  EXPECT_EQ(granted(bench, 2), 2);
  EXPECT_EQ(left(), "a: spent, one more in 30s; b: 6 of 9 left");
  bench.agenda.pass(30s);
  EXPECT_EQ(left(), "a: 0 of 2 left; b: 8 of 9 left");
  EXPECT_EQ(limits_left(part, States(), asking.request), "");
}

TEST(RateLimit, RefusesWhatItCannotCountBy) {
  EXPECT_NE(Bench("[{rate_limit: {requests: 1, per: 1m, key: claims.sub}}]").messages.find("not in this version"), std::string::npos);
  EXPECT_NE(Bench("[{rate_limit: {requests: 1, per: month}}]").messages, "");
  EXPECT_NE(Bench("[{rate_limit: {requests: 0, per: 1m}}]").messages, "");
  EXPECT_NE(Bench("[{rate_limit: {per: 1m}}]").messages, "");
  for (const char* key :
       {"headers", "query", "client", "claims", "a.b", "\"\"", "consumer ||", "\"|| consumer\"", "a | b", "query.a b", "consumr", "idd"})
    EXPECT_NE(Bench("[{rate_limit: {requests: 1, per: 1m, key: " + std::string(key) + "}}]").messages, "") << key;
}

TEST(RateLimit, RefusesLimitsThatContradictEachOther) {
  for (const char* wrong :
       {"{requests: 1, per: 1m, limits: [{name: a, requests: 1, per: 1m}]}", "{limits: []}", "{limits: [{requests: 1, per: 1m}]}", "{}",
        "{limits: [{name: a, requests: 1, per: 1m}, {name: a, requests: 2, per: 1h}]}", "{requests: 1}",
        "{limits: [{name: a b, requests: 1, per: 1m}]}"})
    EXPECT_NE(Bench("[{rate_limit: " + std::string(wrong) + "}]").messages, "") << wrong;
}

}  // namespace
}  // namespace portloom::policy
