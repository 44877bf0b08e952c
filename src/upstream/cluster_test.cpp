// Tests of upstream: choosing, leasing and bounding, without a server in front, in virtual time.
#include "testing/clusters.h"

namespace portloom::upstream {
namespace {

using namespace testing;  // NOLINT: fixtures

INSTANTIATE_TEST_SUITE_P(Seeds, Clusters, ::testing::Values(0, 1, 2, 3));

TEST_P(Clusters, RoundRobinTakesEachInTurn) {
  settings.balance = config::Balance::round_robin;
  Cluster cluster(settings, addresses(), 1);
  for (int i = 0; i < 6; ++i) call(cluster);
  loop.run_for(10ms);
  for (Origin& origin : origins) EXPECT_EQ(origin.count(), 2u);
  EXPECT_EQ(active(cluster), 6u);
  calls.clear();
  EXPECT_EQ(active(cluster), 0u);
}

TEST_P(Clusters, LeastRequestSpreads) {
  settings.balance = config::Balance::least_request;
  Cluster cluster(settings, addresses(), GetParam());
  for (int i = 0; i < 90; ++i) call(cluster);
  loop.run_for(10ms);
  for (Origin& origin : origins) {
    EXPECT_GE(origin.count(), 20u);
    EXPECT_LE(origin.count(), 40u);
  }
  calls.clear();
}

TEST_P(Clusters, TriedOnesAreAskedLast) {
  for (config::Balance balance : {config::Balance::round_robin, config::Balance::least_request}) {
    settings.balance = balance;
    Cluster cluster(settings, addresses(), GetParam());
    size_t before = origins[2].count();
    for (int i = 0; i < 8; ++i) calls.emplace_back(std::make_unique<Call>(plan, peer, "GET"))->request.tried = 0b011;
    for (auto& one : calls) one->scope.spawn(Call::run, one.get(), &cluster);
    loop.run_for(10ms);
    EXPECT_EQ(origins[2].count(), before + 8);
    calls.clear();
  }
}

TEST_P(Clusters, WhoeverAnsweredHasBeenTried) {
  for (config::Balance balance : {config::Balance::round_robin, config::Balance::least_request, config::Balance::peak_ewma}) {
    settings.balance = balance;
    Cluster cluster(settings, addresses(), GetParam());
    Call& one = *calls.emplace_back(std::make_unique<Call>(plan, peer, "GET"));
    std::vector<size_t> before;
    for (Origin& origin : origins) before.push_back(origin.count());
    for (int attempt = 0; attempt < 3; ++attempt) {
      one.response.reset();
      one.scope.spawn(Call::run, &one, &cluster);
      loop.run_for(10ms);
      for (size_t i = 0; i < origins.size(); ++i)
        if (origins[i].count() > before[i]) origins[i][before[i]].say("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n");
      ASSERT_TRUE(loop.run_until([&] { return one.response.has_value(); }));
      EXPECT_EQ(one.response->status, 503);
    }
    for (size_t i = 0; i < origins.size(); ++i) EXPECT_EQ(origins[i].count(), before[i] + 1);
    calls.clear();
  }
}

TEST_P(Clusters, PeakEwmaLearnsFromAnswersFailuresAndSilence) {
  Cluster cluster(settings, addresses(), GetParam());
  for (uint64_t i = 0; i < 3; ++i) {  // one at each
    calls.emplace_back(std::make_unique<Call>(plan, peer, "GET"))->request.tried = 0b111 & ~(uint64_t{1} << i);
    calls.back()->scope.spawn(Call::run, calls.back().get(), &cluster);
  }
  loop.run_for(20ms);
  for (Origin& origin : origins) ASSERT_EQ(origin.count(), 1u);
  origins[0][0].say(answer);
  loop.run_for(10ms);
  origins[1][0].reset();
  loop.run_for(500ms);
  calls.clear();  // the third never answered
  loop.run_for(1ms);
  EXPECT_NEAR(cluster.endpoints()[0]->latency, 20e6, 2e6);
  EXPECT_GE(cluster.endpoints()[1]->latency, 1e9F);  // it counts as slow, though it failed fast
  EXPECT_GE(cluster.endpoints()[2]->latency, 500e6F);
}

TEST_P(Clusters, ALookSaysWhoIsFavouredAndWhy) {
  Cluster cluster(settings, addresses(), GetParam());
  for (uint64_t i = 0; i < 2; ++i) {  // one at the first, one at the second
    calls.emplace_back(std::make_unique<Call>(plan, peer, "GET"))->request.tried = 0b111 & ~(uint64_t{1} << i);
    calls.back()->scope.spawn(Call::run, calls.back().get(), &cluster);
  }
  loop.run_for(20ms);
  origins[0][0].say(answer);
  loop.run_for(10ms);
  std::vector<Sight> sights = cluster.look();
  ASSERT_EQ(sights.size(), 3u);
  EXPECT_EQ(sights[0].endpoint, cluster.endpoints()[0]->text);
  EXPECT_NEAR(static_cast<double>(sights[0].latency.count()), 20e6, 2e6);
  EXPECT_NEAR(static_cast<double>(sights[0].measured_ago.count()), 10e6, 2e6);
  EXPECT_EQ(sights[1].active, 1u);
  EXPECT_EQ(sights[2].latency, Duration{0});
  EXPECT_TRUE(sights[2].favoured);  // nobody has asked it yet
  EXPECT_FALSE(sights[0].favoured || sights[1].favoured);
  EXPECT_EQ(active(cluster), 1u);
  calls.clear();
}

TEST_P(Clusters, WhereNobodyAnswersAnotherIsAsked) {
  for (config::Balance balance : {config::Balance::round_robin, config::Balance::least_request, config::Balance::peak_ewma}) {
    settings.balance = balance;
    Cluster cluster(settings, addresses(), GetParam());
    size_t before = origins[2].count();
    loop.refuse(origins[0].address());
    loop.blackhole(origins[1].address());
    for (int i = 0; i < 8; ++i) call(cluster, "POST");
    loop.run_for(settings.connect_timeout + 10ms);
    EXPECT_EQ(origins[2].count(), before + 8);
    EXPECT_EQ(active(cluster), 8u);
    uint32_t attempts = 0;
    for (auto& one : calls) attempts += one->request.call.attempts;
    EXPECT_GT(attempts, 8u);
    call(cluster);  // the others are known to be away
    loop.run_for(10ms);
    EXPECT_EQ(origins[2].count(), before + 9);
    EXPECT_EQ(calls.back()->request.call.attempts, 1u);
    calls.clear();
  }
}

TEST_P(Clusters, WhereNobodyAnswersAtAllEachIsAskedOnce) {
  Cluster cluster(settings, addresses(), GetParam());
  for (Origin& origin : origins) loop.refuse(origin.address());
  auto attempts = [&] {
    Call& one = call(cluster);
    EXPECT_TRUE(loop.run_until([&] { return one.response.has_value(); }));
    EXPECT_EQ(one.response->status, 502);
    EXPECT_EQ(name_of(one.response->fault->code), name_of(Code::refused));
    EXPECT_EQ(std::popcount(one.request.tried), static_cast<int>(one.request.call.attempts));
    return one.request.call.attempts;
  };
  EXPECT_EQ(attempts(), 3u);
  EXPECT_EQ(attempts(), 1u);  // a moment later all are known to be away
  EXPECT_EQ(active(cluster), 0u);
}

TEST_P(Clusters, AFewEndpointsAreAskedNotAll) {
  std::vector<Target> many;
  for (int i = 0; i < 20; ++i) {
    io::Address address = *io::Address::parse("10.9.0." + std::to_string(i + 1) + ":80");
    loop.refuse(address);
    many.emplace_back(address);
  }
  Cluster cluster(settings, many, GetParam());
  Call& one = call(cluster);
  ASSERT_TRUE(loop.run_until([&] { return one.response.has_value(); }));
  EXPECT_EQ(one.response->status, 502);
  EXPECT_EQ(one.request.call.attempts, static_cast<uint32_t>(Cluster::missed_max));
}

TEST_P(Clusters, AnEndpointThatDiesTakesNoRequestWithIt) {
  settings.balance = config::Balance::round_robin;
  Cluster cluster(settings, {origins[0].address(), origins[1].address()}, GetParam());
  for (int i = 0; i < 8; ++i) call(cluster);
  loop.run_for(10ms);
  for (size_t i = 0; i < 2; ++i)
    for (size_t k = 0; k < 4; ++k) origins[i][k].say(answer);
  loop.run_for(10ms);
  calls.clear();
  for (int i = 0; i < 8; ++i) call(cluster);
  loop.run_for(10ms);
  loop.refuse(origins[0].address());
  for (size_t k = 0; k < 4; ++k) origins[0][k].reset();
  loop.run_for(10ms);
  ASSERT_EQ(origins[1].count(), 8u);
  for (size_t k = 0; k < 8; ++k) origins[1][k].say(answer);
  loop.run_for(10ms);
  for (auto& one : calls) {
    ASSERT_TRUE(one->response);
    EXPECT_EQ(one->response->status, 200);
  }
  calls.clear();
  EXPECT_EQ(active(cluster), 0u);
}

TEST_P(Clusters, PlacesCountFromTheConnectOn) {
  settings.connections_max = 1;
  loop.network.latency = 5ms;
  Cluster cluster(settings, {origins[0].address()}, 1);
  Call& first = call(cluster);
  Call& second = call(cluster);
  loop.run_for(1s);
  EXPECT_FALSE(first.response);
  ASSERT_TRUE(second.response);
  EXPECT_EQ(second.response->status, 503);
  EXPECT_EQ(origins[0].count(), 1u);
  EXPECT_EQ(active(cluster), 1u);
  calls.erase(calls.begin());  // dropped while it waits for its answer
  EXPECT_EQ(active(cluster), 0u);
  loop.run_for(1s);
  EXPECT_TRUE(origins[0][0].over());
  Call& third = call(cluster);
  ASSERT_TRUE(loop.run_until([&] { return origins[0].count() == 2 && origins[0][1].has("\r\n\r\n"); }));
  origins[0][1].say(answer);
  ASSERT_TRUE(loop.run_until([&] { return third.response.has_value(); }));
  EXPECT_EQ(third.response->status, 200);
  calls.clear();
}

TEST_P(Clusters, DropWhileConnectingGivesThePlaceBack) {
  Cluster cluster(settings, {origins[0].address()}, 1);
  loop.blackhole(origins[0].address());
  call(cluster);
  loop.run_for(100ms);
  EXPECT_EQ(active(cluster), 1u);
  calls.clear();
  EXPECT_EQ(active(cluster), 0u);
}

TEST_P(Clusters, ResponseThatIsDroppedHalfReadClosesItsConnection) {
  Cluster cluster(settings, {origins[0].address()}, 1);
  Call& one = call(cluster);
  ASSERT_TRUE(loop.run_until([&] { return origins[0].count() == 1 && origins[0][0].has("\r\n\r\n"); }));
  origins[0][0].say("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
  ASSERT_TRUE(loop.run_until([&] { return one.response.has_value(); }));
  EXPECT_EQ(active(cluster), 1u);
  std::optional<Response> moved(std::move(*one.response));  // the body goes along, the lease with it
  one.response.reset();
  EXPECT_EQ(active(cluster), 1u);
  *moved = Response(204);
  EXPECT_EQ(active(cluster), 0u);
  loop.run_for(1ms);
  EXPECT_TRUE(origins[0][0].over());
  EXPECT_TRUE(cluster.endpoints()[0]->idle.empty());
}

TEST_P(Clusters, ManyStaleConnectionsEndInAFreshOne) {
  settings.balance = config::Balance::round_robin;
  Cluster cluster(settings, {origins[0].address()}, 1);
  for (int i = 0; i < 4; ++i) call(cluster);
  ASSERT_TRUE(loop.run_until([&] { return origins[0].count() == 4 && origins[0][3].has("\r\n\r\n"); }));
  loop.run_for(1ms);
  for (size_t i = 0; i < 4; ++i) origins[0][i].say(answer);
  loop.run_for(1ms);
  calls.clear();
  EXPECT_EQ(cluster.endpoints()[0]->idle.size(), 4u);
  loop.network.latency = 5ms;
  for (size_t i = 0; i < 4; ++i) origins[0][i].half_close();
  Call& one = call(cluster);
  ASSERT_TRUE(loop.run_until([&] { return origins[0].count() == 5 && origins[0][4].has("\r\n\r\n"); }));
  origins[0][4].say(answer);
  ASSERT_TRUE(loop.run_until([&] { return one.response.has_value(); }));
  EXPECT_EQ(one.response->status, 200);
  calls.clear();
  EXPECT_EQ(active(cluster), 0u);
}

TEST_P(Clusters, NoEndpointsIs503) {
  Cluster cluster(settings, std::vector<Target>{}, 1);
  Call& one = call(cluster);
  loop.run_for(1ms);
  ASSERT_TRUE(one.response);
  EXPECT_EQ(one.response->status, 503);
}

}  // namespace
}  // namespace portloom::upstream
