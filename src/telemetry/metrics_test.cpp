// Tests of the metrics page: exact for a small set, summed over workers, kept through a reload, accepted by promtool.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <thread>

#include "telemetry/metrics.h"
#include "telemetry/page.h"

namespace portloom::telemetry {
namespace {

struct Made {
  std::string_view route = "GET /";
  uint32_t index = 0;
  uint16_t status = 200;
  std::string_view service = "orders";
};

pipeline::Record make(Made made) {
  pipeline::Record record;
  record.listener = "edge";
  record.route = made.route;
  record.route_index = made.index;
  record.status = made.status;
  record.duration = 2ms;
  record.call.service = made.service;
  record.call.answered = !made.service.empty();
  record.call.first_byte = 1ms;
  return record;
}

// The page without comments, buckets and what the process itself says.
std::string samples(const Metrics& metrics) {
  std::string page, kept;
  metrics.render(page);
  size_t at = 0;
  while (at < page.size()) {
    size_t end = page.find('\n', at);
    std::string_view line(page.data() + at, end + 1 - at);
    at = end + 1;
    if (line.starts_with("#") || line.starts_with("process_") || line.find("_bucket{") != line.npos) continue;
    kept += line;
  }
  return kept;
}

bool has(const std::string& page, std::string_view line) { return page.find(std::string(line) + "\n") != page.npos; }

TEST(Metrics, ASmallPageIsExact) {
  Metrics metrics(2, 10);
  auto labels = metrics.describe({"edge"}, {"GET /", "a \"b\"\\c"}, {"orders"});
  metrics.shard(0).use(labels);
  metrics.shard(1).use(labels);
  metrics.config_loaded("abc", WallTime(1500ms));
  metrics.shard(0).write(make({}));
  metrics.shard(1).write(make({}));
  metrics.shard(1).write(make({.route = "a \"b\"\\c", .index = 1, .status = 503, .service = {}}));
  metrics.shard(0).write(make({.route = {}, .index = ~0u, .status = 404, .service = {}}));
  pipeline::Record limited = make({.status = 429, .service = {}});
  limited.policy = "rate_limit";
  limited.fault = Error{Code::rate_limited, Side::client};
  metrics.shard(0).write(limited);
  metrics.shard(0).connections("edge", 1);
  metrics.shard(1).connections("edge", 1);
  metrics.shard(1).connections("edge", -1);
  metrics.shard(1).accept_paused("edge");
  metrics.shard(0).handshake_failed("edge");
  metrics.shard(0).refused("edge", pipeline::Refused::memory);
  metrics.shard(1).refused("edge", pipeline::Refused::memory);
  EXPECT_EQ(samples(metrics), R"(portloom_requests_total{listener="edge",route="",service="",status="404"} 1
portloom_requests_total{listener="edge",route="GET /",service="",status="429"} 1
portloom_requests_total{listener="edge",route="GET /",service="orders",status="200"} 2
portloom_requests_total{listener="edge",route="a \"b\"\\c",service="",status="503"} 1
portloom_request_duration_seconds_sum{listener="edge",route=""} 0.002
portloom_request_duration_seconds_count{listener="edge",route=""} 1
portloom_request_duration_seconds_sum{listener="edge",route="GET /"} 0.006
portloom_request_duration_seconds_count{listener="edge",route="GET /"} 3
portloom_request_duration_seconds_sum{listener="edge",route="a \"b\"\\c"} 0.002
portloom_request_duration_seconds_count{listener="edge",route="a \"b\"\\c"} 1
portloom_policy_verdicts_total{policy="rate_limit",route="GET /",verdict="rate_limited"} 1
portloom_upstream_requests_total{service="orders",outcome="answered"} 2
portloom_upstream_duration_seconds_sum{service="orders"} 0.002
portloom_upstream_duration_seconds_count{service="orders"} 2
portloom_connections{listener="edge",state="open"} 1
portloom_accept_paused_total{listener="edge"} 1
portloom_tls_handshakes_failed_total{listener="edge"} 1
portloom_connections_refused_total{listener="edge",reason="connections"} 0
portloom_connections_refused_total{listener="edge",reason="connections_per_address"} 0
portloom_connections_refused_total{listener="edge",reason="memory"} 2
portloom_connections_refused_total{listener="edge",reason="proxy_protocol"} 0
portloom_config_info{hash="abc"} 1
portloom_config_loaded_timestamp_seconds 1.5
portloom_config_last_reload_ok 1
portloom_config_loads_total{outcome="taken"} 1
portloom_config_loads_total{outcome="refused"} 0
)");
}

TEST(Metrics, BucketsAreCumulativeAndInclusive) {
  Metrics metrics(1, 10);
  metrics.shard(0).use(metrics.describe({"edge"}, {"GET /"}, {}));
  for (Duration duration : {Duration(500us), Duration(500us + 1ns), Duration(60s), Duration(61s), Duration(-1s)}) {
    pipeline::Record record = make({.service = {}});
    record.duration = duration;
    metrics.shard(0).write(record);
  }
  std::string page;
  metrics.render(page);
  EXPECT_TRUE(has(page, R"(portloom_request_duration_seconds_bucket{listener="edge",route="GET /",le="0.0005"} 2)")) << page;
  EXPECT_TRUE(has(page, R"(portloom_request_duration_seconds_bucket{listener="edge",route="GET /",le="0.001"} 3)"));
  EXPECT_TRUE(has(page, R"(portloom_request_duration_seconds_bucket{listener="edge",route="GET /",le="30"} 3)"));
  EXPECT_TRUE(has(page, R"(portloom_request_duration_seconds_bucket{listener="edge",route="GET /",le="60"} 4)"));
  EXPECT_TRUE(has(page, R"(portloom_request_duration_seconds_bucket{listener="edge",route="GET /",le="+Inf"} 5)"));
}

TEST(Metrics, TotalsLiveThroughAReloadByName) {
  Metrics metrics(1, 10);
  metrics.shard(0).use(metrics.describe({"edge"}, {"GET /a", "GET /b"}, {"orders"}));
  metrics.shard(0).write(make({.route = "GET /b", .index = 1}));
  metrics.shard(0).use(metrics.describe({"edge"}, {"GET /b", "GET /c"}, {"orders"}));
  metrics.shard(0).write(make({.route = "GET /b", .index = 0}));
  std::string page;
  metrics.render(page);
  EXPECT_TRUE(has(page, R"(portloom_requests_total{listener="edge",route="GET /b",service="orders",status="200"} 2)")) << page;
}

TEST(Metrics, SeriesOfWhatIsNoMoreEndWithAReload) {
  Metrics metrics(2, 2);  // as many routes as there is room for
  auto reload = [&](const std::vector<std::string>& routes, const std::vector<std::string>& services) {
    auto labels = metrics.describe({"edge"}, routes, services);
    for (size_t worker = 0; worker < 2; ++worker) metrics.shard(worker).use(labels);
  };
  reload({"GET /a", "GET /b"}, {"orders", "users"});
  for (size_t worker = 0; worker < 2; ++worker) {
    metrics.shard(worker).write(make({.route = "GET /a", .index = 0, .service = "users"}));
    metrics.shard(worker).write(make({.route = "GET /b", .index = 1, .service = "users"}));
    metrics.shard(worker).write(make({.route = "GET /b", .index = 1, .service = "orders"}));
  }
  reload({"GET /b", "GET /c"}, {"orders", "stock"});
  metrics.shard(0).write(make({.route = "GET /b", .index = 0, .service = "orders"}));
  metrics.shard(0).write(make({.route = "GET /c", .index = 1, .service = "stock"}));  // the room of GET /a and of users
  metrics.shard(1).write(make({.route = "GET /a", .index = 0, .service = "users"}));  // was matched before the swap
  std::string page;
  metrics.render(page);
  EXPECT_EQ(page.find("GET /a"), page.npos) << page;
  EXPECT_EQ(page.find("users"), page.npos);
  EXPECT_TRUE(has(page, R"(portloom_requests_total{listener="edge",route="GET /b",service="orders",status="200"} 3)"));
  EXPECT_TRUE(has(page, R"(portloom_requests_total{listener="edge",route="GET /c",service="stock",status="200"} 1)"));
  EXPECT_TRUE(has(page, R"(portloom_request_duration_seconds_count{listener="edge",route="other"} 1)"));
  EXPECT_TRUE(has(page, R"(portloom_upstream_requests_total{service="stock",outcome="answered"} 1)"));
  EXPECT_TRUE(has(page, R"(portloom_upstream_requests_total{service="orders",outcome="answered"} 3)"));
}

TEST(Metrics, WhatIsOverTheBudgetIsOther) {
  Metrics metrics(1, 2);
  metrics.shard(0).use(metrics.describe({"edge"}, {"one", "two", "three", "four"}, {}));
  const std::vector<std::string> names = {"one", "two", "three", "four"};
  for (uint32_t i = 0; i < names.size(); ++i) metrics.shard(0).write(make({.route = names[i], .index = i, .service = {}}));
  metrics.shard(0).write(make({.route = "never described", .index = 77, .service = {}}));
  std::string page;
  metrics.render(page);
  EXPECT_TRUE(has(page, R"(portloom_requests_total{listener="edge",route="two",service="",status="200"} 1)")) << page;
  EXPECT_TRUE(has(page, R"(portloom_requests_total{listener="edge",route="other",service="",status="200"} 3)"));
}

TEST(Metrics, FailuresSubcallsAndDegradedAnswers) {
  Metrics metrics(1, 10);
  metrics.shard(0).use(metrics.describe({"edge"}, {"GET /"}, {"orders", "users"}));
  pipeline::Record refused = make({.status = 502});
  refused.call.answered = false;
  refused.fault = Error{Code::refused, Side::upstream};
  metrics.shard(0).write(refused);
  pipeline::Record gone = make({.status = 0});
  gone.call.answered = false;
  metrics.shard(0).write(gone);
  pipeline::Record composed = make({.service = {}});
  composed.degraded = true;
  composed.failed_services = "reviews,similar";
  for (bool answered : {true, false}) {
    auto call = std::make_unique<pipeline::Record::Call>();
    call->service = "users";
    call->answered = answered;
    composed.subcalls.push_back(std::move(call));
  }
  metrics.shard(0).write(composed);
  std::string page;
  metrics.render(page);
  EXPECT_TRUE(has(page, R"(portloom_requests_total{listener="edge",route="GET /",service="orders",status="499"} 1)")) << page;
  EXPECT_TRUE(has(page, R"(portloom_upstream_requests_total{service="orders",outcome="refused"} 1)"));
  EXPECT_TRUE(has(page, R"(portloom_upstream_requests_total{service="orders",outcome="client_gone"} 1)"));
  EXPECT_TRUE(has(page, R"(portloom_upstream_requests_total{service="users",outcome="answered"} 1)"));
  EXPECT_TRUE(has(page, R"(portloom_upstream_requests_total{service="users",outcome="failed"} 1)"));
  EXPECT_TRUE(has(page, R"(portloom_degraded_total{route="GET /",call="similar"} 1)"));
}

TEST(Metrics, MorePairsThanATallyHoldsAreOther) {
  Tally tally;
  for (uint32_t number = 0; number < 100; ++number) tally.add("x", number);
  tally.add("x", 50);
  uint64_t others = 0, seen = 0;
  tally.each([&](std::string_view text, uint32_t number, uint64_t count) {
    if (text == "other") others += count;
    if (number == 50) seen = count;
  });
  EXPECT_EQ(others, 100 - Tally::pairs_max);
  EXPECT_EQ(seen, 2u);
}

TEST(Metrics, APageMayBeReadWhileWorkersCount) {
  Metrics metrics(2, 50);
  for (int round = 0; round < 10; ++round) {  // labels change in between, as with reloads
    std::string route = "route " + std::to_string(round);
    auto labels = metrics.describe({"edge"}, {route}, {"orders"});
    std::vector<std::thread> workers;
    for (size_t worker = 0; worker < 2; ++worker) metrics.shard(worker).use(labels);
    for (size_t worker = 0; worker < 2; ++worker)
      workers.emplace_back([&metrics, worker, route] {
        for (uint16_t status = 200; status < 300; ++status) metrics.shard(worker).write(make({.route = route, .status = status}));
      });
    std::string page;
    metrics.render(page);
    for (std::thread& worker : workers) worker.join();
  }
  EXPECT_NE(samples(metrics).find(R"(_count{listener="edge",route="route 9"} 200)"), std::string::npos);
}

TEST(Metrics, PromtoolAcceptsThePage) {
  if (std::system("command -v promtool >/dev/null 2>&1") != 0) return;
  Metrics metrics(1, 10);
  metrics.shard(0).use(metrics.describe({"edge"}, {"GET /", "line\nbreak"}, {"orders"}));
  metrics.config_loaded("abc", WallTime(1500ms));
  pipeline::Record record = make({});
  record.policy = "cache";
  record.degraded = true;
  record.failed_services = "a";
  metrics.shard(0).write(record);
  metrics.shard(0).write(make({.route = "line\nbreak", .index = 1}));
  std::string page;
  metrics.render(page);
  std::string path = testing::TempDir() + "portloom_page_" + std::to_string(::getpid());
  std::ofstream(path) << page;
  EXPECT_EQ(std::system(("promtool check metrics < " + path).c_str()), 0) << page;
  std::remove(path.c_str());
}

}  // namespace
}  // namespace portloom::telemetry
