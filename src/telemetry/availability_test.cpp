// Tests of composed availability: what counts, the product, both windows, and what a reload keeps. Time is what the tests say it is.
#include "telemetry/availability.h"

#include <gtest/gtest.h>

#include "telemetry/metrics.h"

namespace portloom::telemetry {
namespace {

constexpr Instant begin = Instant(24h);

// A gateway's counters without the gateway: records in, shares out.
class Shop {
 public:
  explicit Shop(Dependencies dependencies, size_t workers = 1) : metrics(workers, 10) { reload(std::move(dependencies)); }

  void reload(Dependencies next) {
    std::vector<std::string> routes;
    for (const Dependencies::Route& route : next.routes) routes.push_back(route.name);
    auto labels = metrics.describe({"edge"}, routes, services, next);
    for (size_t i = 0; i < workers; ++i) metrics.shard(i).use(labels);
    availability.use(std::move(next));
  }
  // One request to the route with this index.
  pipeline::Record record(uint32_t route = 0, uint16_t status = 200) const {
    pipeline::Record made;
    made.listener = "edge";
    made.route_index = route;
    made.route = names[route];
    made.status = status;
    made.complete = true;
    made.duration = 2ms;
    return made;
  }
  static void add_call(pipeline::Record& record, std::string_view part, std::string_view service, Verdict verdict,
                       std::string_view of = "home") {
    auto call = std::make_unique<pipeline::Record::Call>();
    call->part = part;
    call->part_of = of;
    call->service = service;
    call->verdict = verdict;
    record.subcalls.push_back(std::move(call));
  }
  void write(const pipeline::Record& record, int times = 1) {
    for (int i = 0; i < times; ++i) metrics.shard(0).write(record);
  }
  // A request of the home page: these services fail in it, all others deliver.
  void visit(const std::set<std::string>& failing, int times = 1) {
    bool lost = failing.contains("a") || failing.contains("b") || failing.contains("c");
    pipeline::Record made = record(0, lost ? 502 : 200);
    made.call.ran = "home";
    made.degraded = !lost && !failing.empty();
    if (lost) made.fault = Error{Code::upstream_protocol, Side::upstream};
    for (const char* service : {"a", "b", "c", "d", "e"})
      add_call(made, service, service, failing.contains(service) ? Verdict::failed : Verdict::delivered);
    write(made, times);
  }
  Availability::Lately lately(Duration after = {}, size_t window = 0) {
    now += after;
    availability.look(metrics.delivered(), now);
    return availability.lately(window);
  }

  size_t workers = 1;
  std::vector<std::string> services = {"a", "b", "c", "d", "e"};
  std::vector<std::string_view> names = {"home", "orders"};
  Metrics metrics;
  Availability availability;
  Instant now = begin;
};

// Five services, of which the first three are required.
Dependencies home_page() {
  Dependencies all;
  Dependencies::Composition home{.name = "home", .calls = {}};
  for (const char* service : {"a", "b", "c", "d", "e"})
    home.calls.push_back({.name = service, .service = service, .composition = {}, .required = *service <= 'c', .stand_ins = {}});
  all.compositions.push_back(home);
  all.routes.push_back({.name = "home", .latency = 300ms, .composition = "home", .sides = {}});
  all.routes.push_back({.name = "orders", .latency = {}, .composition = {}, .sides = {{"a", 1}}});
  return all;
}

TEST(Availability, FiveServicesOfThreeNinesAreFourHundredths) {
  Shop shop(home_page());
  for (const char* service : {"a", "b", "c", "d", "e"}) shop.visit({service}, 10);  // each fails for itself
  shop.visit({}, 9950);
  Availability::Lately lately = shop.lately();
  ASSERT_EQ(lately.routes.size(), 1u);  // nobody asked for orders
  const Availability::Report& home = lately.routes[0];
  EXPECT_EQ(home.observed.counted, 10000u);
  EXPECT_DOUBLE_EQ(lately.services["a"].answered, 0.999);
  EXPECT_NEAR(home.composed.complete, 0.995, 0.00001);  // 0.999^5
  EXPECT_NEAR(home.composed.answered, 0.997, 0.00001);  // of the three that are required
  EXPECT_DOUBLE_EQ(home.observed.complete, 0.995);
  EXPECT_DOUBLE_EQ(home.observed.answered, 0.997);
  EXPECT_EQ(home.composed.parts.size(), 5u);
}

TEST(Availability, FailuresThatComeTogetherAreTheGapAboveTheProduct) {
  Shop shop(home_page());
  shop.visit({"a", "b", "c", "d", "e"}, 10);  // all at once: one rack
  shop.visit({}, 9990);
  Availability::Report home = shop.lately().routes[0];
  EXPECT_NEAR(home.composed.complete, 0.995, 0.00001);
  EXPECT_DOUBLE_EQ(home.observed.complete, 0.999);
  EXPECT_DOUBLE_EQ(home.observed.answered, 0.999);
}

TEST(Availability, TheDependencyThatCostsMostIsNamed) {
  Shop shop(home_page());
  EXPECT_EQ(shop.lately().routes.size(), 0u);
  shop.visit({"b"}, 1);
  shop.visit({"d"}, 5);
  shop.visit({}, 94);
  Availability::Report home = shop.lately().routes[0];
  ASSERT_NE(home.composed.dearest(), nullptr);
  EXPECT_EQ(home.composed.dearest()->call, "d");
  EXPECT_NEAR(home.composed.dearest()->cost, 0.99 - 0.99 * 0.95, 0.00001);
  shop.visit({}, 1);
}

TEST(Availability, ACallThatIsSeldomMadeWeighsAsOftenAsItIsMade) {
  Shop shop(home_page());
  for (int i = 0; i < 100; ++i) {
    pipeline::Record made = shop.record();
    made.call.ran = "home";
    for (const char* service : {"a", "b", "c", "d"}) Shop::add_call(made, service, service, Verdict::delivered);
    bool wants = i % 4 == 0;  // `when`
    if (wants) Shop::add_call(made, "e", "e", i % 8 == 0 ? Verdict::failed : Verdict::delivered);
    made.degraded = wants && i % 8 == 0;
    shop.write(made);
  }
  Availability::Report home = shop.lately().routes[0];
  EXPECT_DOUBLE_EQ(home.composed.parts[4].made, 0.25);
  EXPECT_DOUBLE_EQ(*home.composed.parts[4].delivered, 12.0 / 25);
  EXPECT_NEAR(home.composed.complete, 1 - 0.25 * 13 / 25, 1e-9);
  EXPECT_DOUBLE_EQ(home.observed.complete, 0.87);
  EXPECT_DOUBLE_EQ(home.composed.answered, 1);
}

TEST(Availability, AnotherServiceThatStandsInMayFailToo) {
  Dependencies all = home_page();
  all.compositions[0].calls[3].stand_ins = {"e"};
  Shop shop(std::move(all));
  shop.visit({"d"}, 10);
  shop.visit({"e"}, 10);
  shop.visit({}, 80);
  Availability::Report home = shop.lately().routes[0];
  EXPECT_NEAR(home.composed.answered, 1 - 0.1 * 0.1, 1e-9);
  EXPECT_NEAR(home.composed.complete, 0.9 * 0.9, 1e-9);
}

TEST(Availability, ACompositionInsideAnotherIsADependency) {
  Dependencies all = home_page();
  all.compositions.push_back(
      {.name = "page", .calls = {{.name = "home", .service = {}, .composition = "home", .required = true, .stand_ins = {}}}});
  all.routes[1] = {.name = "orders", .latency = {}, .composition = "page", .sides = {}};
  Shop shop(std::move(all));
  for (int i = 0; i < 10; ++i) {
    pipeline::Record made = shop.record(1);
    made.call.ran = "page";
    made.degraded = i == 0;  // d failed, inside
    Shop::add_call(made, "home", {}, Verdict::delivered, "page");
    made.subcalls.back()->ran = "home";
    made.subcalls.back()->degraded = i == 0;
    for (const char* service : {"a", "b", "c", "d", "e"})
      Shop::add_call(made, service, service, i == 0 && *service == 'd' ? Verdict::failed : Verdict::delivered);
    shop.write(made);
  }
  Availability::Lately lately = shop.lately();
  ASSERT_EQ(lately.compositions.size(), 2u);
  EXPECT_EQ(lately.compositions[0].observed.counted, 10u);
  EXPECT_DOUBLE_EQ(lately.compositions[0].observed.complete, 0.9);
  EXPECT_DOUBLE_EQ(lately.compositions[0].observed.answered, 1);
  EXPECT_EQ(lately.routes[0].name, "orders");
  EXPECT_NEAR(lately.routes[0].composed.complete, 0.9, 1e-9);
  EXPECT_NEAR(lately.routes[0].composed.answered, 1, 1e-9);
  EXPECT_DOUBLE_EQ(lately.routes[0].observed.complete, 0.9);
}

TEST(Availability, ARouteToServicesIsWhatTheyDeliverByTheirShares) {
  Dependencies all = home_page();
  all.routes[1].sides = {{"a", 0.75}, {"b", 0.25}};
  Shop shop(std::move(all));
  for (int i = 0; i < 100; ++i) {
    pipeline::Record made = shop.record(1, i < 10 ? 500 : 200);
    made.call.service = i < 10 || i >= 80 ? "b" : "a";  // b: 10 of 30 fail
    made.call.answered = true;
    shop.write(made);
  }
  Availability::Report orders = shop.lately().routes[0];
  EXPECT_NEAR(orders.composed.complete, 1 - 0.25 / 3, 1e-9);
  EXPECT_DOUBLE_EQ(orders.observed.answered, 0.9);
  EXPECT_EQ(orders.composed.dearest()->on, "b");
}

TEST(Availability, WhatClientsDoCountsForNobodyAndAgainstNobody) {
  Shop shop(home_page());
  auto direct = [&](uint16_t status, std::optional<Error> fault, bool complete) {
    pipeline::Record made = shop.record(1, status);
    made.call.service = "a";
    made.fault = std::move(fault);
    made.complete = complete;
    shop.write(made);
  };
  direct(200, {}, true);
  direct(404, {}, true);
  direct(429, Error{Code::rate_limited, Side::client}, true);
  direct(0, Error{Code::client_gone, Side::client}, false);
  direct(200, Error{Code::client_gone, Side::client, Progress::body}, false);
  Availability::Lately lately = shop.lately();
  EXPECT_EQ(lately.routes[0].observed.counted, 1u);
  EXPECT_DOUBLE_EQ(lately.routes[0].observed.answered, 1);
  EXPECT_EQ(lately.services["a"].counted, 1u);
  direct(503, Error{Code::overloaded, Side::gateway}, true);  // a limit of ours: the route's failure, and not the service's
  EXPECT_DOUBLE_EQ((lately = shop.lately()).routes[0].observed.answered, 0.5);
  EXPECT_EQ(lately.services["a"].counted, 1u);
  direct(502, Error{Code::refused, Side::upstream}, true);
  direct(200, Error{Code::reset, Side::upstream, Progress::body}, false);  // cut short
  lately = shop.lately();
  EXPECT_DOUBLE_EQ(lately.routes[0].observed.answered, 0.25);
  EXPECT_NEAR(lately.services["a"].answered, 1.0 / 3, 1e-9);
  pipeline::Record left = shop.record(0, 0);  // of a composition: what had come by then counts for the services alone
  left.call.ran = "home";
  Shop::add_call(left, "b", "b", Verdict::delivered);
  Shop::add_call(left, "c", "c", Verdict::excused);
  Shop::add_call(left, "d", "d", Verdict::unknown);
  shop.write(left);
  lately = shop.lately();
  EXPECT_TRUE(lately.compositions.empty());
  EXPECT_EQ(lately.services["b"].counted, 1u);
  EXPECT_EQ(lately.services["c"].counted + lately.services["d"].counted, 0u);
}

TEST(Availability, AnObjectiveIsMetInTime) {
  Shop shop(home_page());
  for (Duration took : {Duration(300ms), Duration(300ms + 1ns), Duration(1ms), Duration(1s)}) {
    pipeline::Record made = shop.record();
    made.call.ran = "home";
    made.duration = took;
    shop.write(made);
  }
  pipeline::Record failed = shop.record(0, 500);  // soon, but what for
  failed.call.ran = "home";
  shop.write(failed);
  pipeline::Record tunnel = shop.record(0, 101);
  tunnel.duration = 1h;
  shop.write(tunnel);
  EXPECT_DOUBLE_EQ(shop.lately().routes[0].observed.in_time, 0.5);
  EXPECT_EQ(shop.lately().routes[0].latency, 300ms);
}

TEST(Availability, BothWindowsSlide) {
  Shop shop(home_page());
  shop.visit({"a"}, 10);
  EXPECT_EQ(shop.lately().routes[0].observed.counted, 10u);
  for (int i = 0; i < 30; ++i) shop.lately(10s);  // 5 min later
  shop.visit({}, 5);
  EXPECT_EQ(shop.lately().routes[0].observed.counted, 15u);
  EXPECT_EQ(shop.lately(10s).routes[0].observed.counted, 5u);
  EXPECT_DOUBLE_EQ(shop.lately().routes[0].observed.answered, 1);
  EXPECT_EQ(shop.lately({}, 1).routes[0].observed.counted, 15u);
  for (int i = 0; i < 31; ++i) shop.lately(10s);
  EXPECT_TRUE(shop.lately().routes.empty());
  EXPECT_TRUE(shop.lately().compositions.empty());
  for (int i = 0; i < 340; ++i) shop.lately(10s);
  EXPECT_EQ(shop.lately({}, 1).routes.size(), 0u);
  shop.visit({}, 7);
  EXPECT_EQ(shop.lately(3h, 1).routes[0].observed.counted, 7u);  // nobody looked for long: what came counts as new
  EXPECT_EQ(shop.lately().routes[0].observed.counted, 7u);
}

TEST(Availability, AReloadKeepsWhatStaysAndForgetsWhatGoes) {
  Shop shop(home_page());
  pipeline::Record orders = shop.record(1);
  orders.call.service = "a";
  shop.write(orders, 4);
  shop.visit({}, 3);
  shop.lately();
  Dependencies next = home_page();
  next.routes.pop_back();
  shop.services = {"a", "b", "c", "d"};
  shop.reload(next);
  Availability::Lately lately = shop.lately(1s);
  ASSERT_EQ(lately.routes.size(), 1u);
  EXPECT_EQ(lately.routes[0].observed.counted, 3u);
  EXPECT_EQ(lately.services["a"].counted, 7u);
  EXPECT_FALSE(lately.services.contains("e"));
  EXPECT_EQ(lately.compositions[0].observed.counted, 3u);
  shop.services.emplace_back("e");
  shop.reload(home_page());
  shop.write(shop.record(1));
  lately = shop.lately(1s);
  EXPECT_EQ(lately.routes[1].observed.counted, 1u);  // the route that came back begins anew
  next.compositions.clear();
  next.routes[0].composition.clear();
  shop.reload(next);
  EXPECT_TRUE(shop.lately().compositions.empty());
}

TEST(Availability, ARouteThatWentAndCameBackBetweenTwoLooksBeginsAnew) {
  Shop shop(home_page());
  pipeline::Record orders = shop.record(1);
  shop.write(orders, 4);
  shop.lately();
  Dependencies without = home_page();
  without.routes.pop_back();
  shop.reload(without);
  shop.reload(home_page());
  shop.write(orders, 1);
  EXPECT_EQ(shop.lately(1s).routes[0].observed.counted, 1u);
}

TEST(Availability, AllWorkersCountTogether) {
  Metrics metrics(2, 10);
  Dependencies all = home_page();
  auto labels = metrics.describe({"edge"}, {"home", "orders"}, {"a"}, all);
  Shop shop(home_page());
  for (size_t worker = 0; worker < 2; ++worker) {
    metrics.shard(worker).use(labels);
    pipeline::Record made = shop.record(1);
    made.call.service = "a";
    metrics.shard(worker).write(made);
  }
  EXPECT_EQ(metrics.delivered().routes.find("orders")->second.counted, 2u);
  EXPECT_EQ(metrics.delivered().services.find("a")->second.answered, 2u);
}

TEST(Availability, IsToldInThreeWays) {
  Shop shop(home_page());
  shop.visit({"d"}, 1);
  shop.visit({}, 3);
  shop.lately();
  std::string json, text, page;
  shop.availability.write_status(json);
  EXPECT_NE(json.find(R"("home":{"composition":"home","objective":"300ms","5m":{"counted":4,"answered":1,"complete":0.75,"in_time":1,)"
                      R"("composed":{"answered":1,"complete":0.75},"costs_most":"d","cost":0.25})"),
            json.npos)
      << json;
  EXPECT_NE(json.find(R"("d":{"to":"d","required":false,"made":1,"delivered":0.75,"cost":0.25})"), json.npos) << json;
  EXPECT_NE(json.find(R"("a":{"5m":{"counted":4,"delivered":1},"1h":{"counted":4,"delivered":1}})"), json.npos) << json;
  shop.availability.write_text(text);
  EXPECT_NE(text.find("availability, 5m   counted  answered  composed  complete  composed   in time  costs most\n"
                      "home                     4  100.000%  100.000%   75.000%   75.000%  100.000%  d 25.000%\n"),
            text.npos)
      << text;
  shop.availability.write_metrics(page);
  for (const char* line :
       {R"(portloom_route_availability_ratio{route="home",window="5m",of="complete"} 0.75)",
        R"(portloom_route_composed_availability_ratio{route="home",window="1h",of="complete"} 0.75)",
        R"(portloom_composition_availability_ratio{composition="home",window="5m",of="answered"} 1)",
        R"(portloom_call_cost_ratio{composition="home",call="d",window="5m"} 0.25)",
        R"(portloom_service_availability_ratio{service="d",window="5m"} 0.75)",
        R"(portloom_answers_total{route="home",outcome="degraded"} 1)", R"(portloom_answers_in_time_total{route="home"} 4)",
        R"(portloom_service_answers_total{service="d",outcome="failed"} 1)"})
    EXPECT_NE(page.find(std::string(line) + "\n"), page.npos) << line << '\n' << page;
}

}  // namespace
}  // namespace portloom::telemetry
