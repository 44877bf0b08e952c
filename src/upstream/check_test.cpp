// Tests of checks: what is well and what is not, for each kind; thresholds, jitter, and instances that come and go. In virtual time.
#include "upstream/check.h"

#include "testing/clusters.h"
#include "testing/http2_origin.h"

namespace portloom::upstream {
namespace {

using namespace testing;  // NOLINT: fixtures

struct Asking {
  Asking(const CheckSettings& settings, const Instance& instance) { scope.spawn(run, this, &settings, instance); }
  static Task<void> run(Asking* self, const CheckSettings* settings, Instance instance) {
    self->wrong = co_await check(*settings, instance);
  }
  std::optional<std::string> wrong;
  Scope scope;
};

class ChecksTest : public ::testing::Test {
 protected:
  Instance instance(size_t i = 0) { return {origins[i].address(), 1, "shop.example"}; }
  // What a check says of an origin that answers like this.
  std::string says(std::string_view answer) {
    size_t before = origins[0].count();
    Asking asking(settings, instance());
    loop.run_until([&] { return origins[0].count() > before && origins[0][before].has("\r\n\r\n"); }, 500ms);
    if (origins[0].count() > before) heard = origins[0][before].heard, origins[0][before].say(answer);
    loop.run_until([&] { return asking.wrong.has_value(); }, 5s);
    return asking.wrong.value_or("(nothing)");
  }
  SimLoop loop;
  std::array<Origin, 2> origins;
  CheckSettings settings;
  std::string heard;
};

TEST_F(ChecksTest, HttpWantsA2xx) {
  settings.rules.path = "/healthz?deep";
  EXPECT_EQ(says("HTTP/1.1 204 No Content\r\n\r\n"), "");
  EXPECT_TRUE(heard.starts_with("GET /healthz?deep HTTP/1.1\r\n")) << heard;
  EXPECT_NE(heard.find("shop.example"), std::string::npos);
  EXPECT_EQ(says("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"), "it answered 503");
  EXPECT_EQ(says("HTTP/1.1 301 There\r\nContent-Length: 0\r\n\r\n"), "it answered 301");
  EXPECT_NE(says("garbage\r\n\r\n"), "");
  EXPECT_NE(says(""), "");  // silence
  settings.rules.host = "other.example";
  EXPECT_EQ(says("HTTP/1.1 200 OK\r\n\r\n"), "");
  EXPECT_NE(heard.find("other.example"), std::string::npos);
  loop.refuse(origins[0].address());
  EXPECT_NE(says(""), "");
}

TEST_F(ChecksTest, ACheckTakesNoLongerThanItsTimeout) {
  loop.blackhole(origins[0].address());
  Instant begun = loop.now();
  Asking asking(settings, instance());
  ASSERT_TRUE(loop.run_until([&] { return asking.wrong.has_value(); }, 5s));
  EXPECT_LE(loop.now() - begun, Duration(1100ms));
}

TEST_F(ChecksTest, TcpWantsAConnection) {
  settings.rules.kind = config::CheckKind::tcp;
  Asking asking(settings, instance());
  ASSERT_TRUE(loop.run_until([&] { return asking.wrong.has_value(); }, 5s));
  EXPECT_EQ(asking.wrong, "");
  loop.refuse(origins[0].address());
  Asking again(settings, instance());
  ASSERT_TRUE(loop.run_until([&] { return again.wrong.has_value(); }, 5s));
  EXPECT_NE(again.wrong, "");
}

TEST_F(ChecksTest, AnotherPortMayBeAsked) {
  settings.rules.port = origins[1].address().port();
  settings.rules.kind = config::CheckKind::tcp;
  loop.refuse(origins[0].address());
  Asking asking(settings, instance());
  ASSERT_TRUE(loop.run_until([&] { return asking.wrong.has_value(); }, 5s));
  EXPECT_EQ(asking.wrong, "");
}

TEST_F(ChecksTest, GrpcWantsServing) {
  settings.protocol = config::Protocol::grpc;
  settings.rules.grpc_service = "shop.Orders";
  EXPECT_EQ(settings.kind(), config::CheckKind::grpc);
  std::string serving("\0\0\0\0\2\x08\1", 7);
  std::string not_serving("\0\0\0\0\2\x08\2", 7);
  auto ask = [&](const std::string& message, const std::string& status) {
    size_t before = origins[0].count();
    Asking asking(settings, instance());
    loop.run_until([&] { return origins[0].count() > before; }, 500ms);
    Http2Origin peer(origins[0][before]);
    loop.run_until(
        [&] {
          peer.turn();
          return peer.asked.contains(1) && peer.asked[1].ended;
        },
        500ms);
    EXPECT_EQ(peer.asked[1].field(":path"), "/grpc.health.v1.Health/Check");
    EXPECT_EQ(peer.asked[1].field("content-type"), "application/grpc");
    EXPECT_EQ(peer.asked[1].field("te"), "trailers");
    EXPECT_EQ(peer.asked[1].body, std::string("\0\0\0\0\x0d\x0a\x0b", 7) + "shop.Orders");
    peer.answer(1, "200", {{"content-type", "application/grpc"}});
    peer.say(1, message, true, {{"grpc-status", status}});
    loop.run_until(
        [&] {
          peer.turn();
          return asking.wrong.has_value();
        },
        5s);
    return asking.wrong.value_or("(nothing)");
  };
  EXPECT_EQ(ask(serving, "0"), "");
  EXPECT_EQ(ask(not_serving, "0"), "it says NOT_SERVING");
  EXPECT_EQ(ask("", "12"), "gRPC status 12");
  EXPECT_EQ(ask("x", "0"), "its answer is no HealthCheckResponse");
}

// ---- all of a service

class CheckedService : public ChecksTest {
 protected:
  CheckedService() {
    rules.every = 1s;
    rules.kind = config::CheckKind::tcp;
    health = std::make_shared<Health>(HealthRules{.outliers = {}, .check = rules});
    published = std::make_shared<Endpoints>();
    publish({instance(0), instance(1)});
  }
  void publish(const Instances& instances) { published->set(std::make_shared<const Instances>(instances)); }
  void begin(const std::string& facts = "as written") {
    CheckSettings made;
    made.rules = rules;
    std::map<std::string, Checks::Service> chosen;
    chosen["shop"] = {facts, made, published, health};
    checks.put_in_force(std::move(chosen));
  }
  Health::State state(size_t i) { return health->verdict(key_of(instance(i))).state; }
  void TearDown() override { checks.stop(); }

  config::HealthCheck rules;
  std::shared_ptr<Health> health;
  std::shared_ptr<Endpoints> published;
  Checks checks;
};

TEST_F(CheckedService, TheFirstCheckDecidesAloneAndThenThresholdsDo) {
  loop.refuse(origins[1].address());
  begin();
  checks.start();
  loop.run_for(300ms);
  EXPECT_EQ(state(0), Health::State::fit);
  EXPECT_EQ(state(1), Health::State::unhealthy);
  EXPECT_TRUE(health->verdict(key_of(instance(1))).why.starts_with("its check: "));
  loop.allow(origins[1].address());
  loop.run_for(1s);
  EXPECT_EQ(state(1), Health::State::unhealthy);  // once is not enough
  loop.run_for(1200ms);
  EXPECT_EQ(state(1), Health::State::fit);
  loop.refuse(origins[0].address());
  loop.run_for(1200ms);
  EXPECT_EQ(state(0), Health::State::fit);
  loop.run_for(2500ms);
  EXPECT_EQ(state(0), Health::State::unhealthy);
}

TEST_F(CheckedService, InstancesComeAndGo) {
  begin();
  checks.start();
  loop.run_for(300ms);
  EXPECT_EQ(checks.running(), 2u);
  publish({instance(1)});
  loop.run_for(300ms);
  EXPECT_EQ(checks.running(), 1u);
  size_t before = origins[0].count();
  loop.run_for(5s);
  EXPECT_EQ(origins[0].count(), before);
  EXPECT_GE(origins[1].count(), 5u);
  EXPECT_LE(origins[1].count(), 8u);
  begin();  // a reload that changes nothing
  EXPECT_EQ(checks.running(), 1u);
  checks.put_in_force({});
  EXPECT_EQ(checks.running(), 0u);
}

TEST_F(CheckedService, WhereNoneIsHealthyTheAnswerComesAtOnce) {
  for (Origin& origin : origins) loop.refuse(origin.address());
  begin();
  checks.start();
  loop.run_for(300ms);
  pipeline::Plan plan(std::make_shared<pipeline::Snapshot>());
  pipeline::Peer peer;
  Cluster cluster({.name = "shop", .health = health}, published, 1);
  Call call(plan, peer, "GET");
  call.scope.spawn(Call::run, &call, &cluster);
  loop.run_for(Duration{});
  ASSERT_TRUE(call.response && call.response->fault);
  EXPECT_EQ(call.response->fault->detail, "no healthy instances for shop");
  EXPECT_EQ(call.response->status, 503);
}

TEST_F(CheckedService, WeightZeroGetsNothingNew) {
  Instances two{instance(0), instance(1)};
  two[0].weight = 0;
  publish(two);
  pipeline::Plan plan(std::make_shared<pipeline::Snapshot>());
  pipeline::Peer peer;
  Cluster cluster({.name = "shop"}, published, 1);
  std::vector<std::unique_ptr<Call>> calls;
  for (int i = 0; i < 10; ++i) {
    calls.push_back(std::make_unique<Call>(plan, peer, "GET"));
    calls.back()->scope.spawn(Call::run, calls.back().get(), &cluster);
  }
  loop.run_for(10ms);
  EXPECT_EQ(origins[0].count(), 0u);
  EXPECT_EQ(origins[1].count(), 10u);
  calls.clear();
}

TEST(SlowStart, OneThatComesGetsItsShareByAndBy) {
  Balancer balancer(config::Balance::random, 1, 10s);
  std::array<Load, 2> loads;
  loads[1].warm_since = Instant{} + 1h;
  balancer.use({&loads[0], &loads[1]});
  auto share = [&](Duration warm) {
    int taken = 0;
    for (int i = 0; i < 10'000; ++i) {
      uint64_t tried = 0;
      taken += balancer.pick(tried, Instant{} + 1h + warm) == 1 ? 1 : 0;
    }
    return taken / 10'000.0;
  };
  EXPECT_LT(share(Duration{}), 0.12);
  EXPECT_GT(share(Duration{}), 0.01);
  double half = share(5s);
  EXPECT_GT(half, 0.25);
  EXPECT_LT(half, 0.45);
  EXPECT_NEAR(share(10s), 0.5, 0.03);
}

}  // namespace
}  // namespace portloom::upstream
