// Tests of Registry: leases, versions, bounds, and what a stopped process does to them. The time is handed in.
#include "discovery/registry.h"

#include <gtest/gtest.h>

namespace portloom::discovery {
namespace {

using Refusal = Registry::Refusal;

Instance instance(std::string_view id, std::string_view address = "10.0.0.1:80") {
  Instance one;
  one.id = id;
  one.address = *io::Address::parse(address);
  return one;
}

struct Leases : ::testing::Test {
  Leases() { use({}); }
  void use(Registry::Limits limits) {
    registry = std::make_unique<Registry>(limits, 100, 1);
    registry->on_change = [this](const Registry::Service& service) {
      told.push_back(service.name + "@" + std::to_string(service.version) + ":" + std::to_string(service.entries.size()));
    };
  }
  std::string enter(std::string_view service, Instance one, Duration ttl = 10s, std::string_view token = {}) {
    Registry::Outcome<Registry::Lease> lease = registry->enter(service, std::move(one), ttl, token, now);
    if (!lease) refused = lease.error();
    return lease ? lease->token : std::string();
  }
  bool beat(std::string_view service, std::string_view id, std::string_view token) {
    Registry::Outcome<Duration> ttl = registry->beat(service, id, token, now);
    if (!ttl) refused = ttl.error();
    return ttl.has_value();
  }
  // As a loop does it: turns when something is due, and twice a second.
  void pass(Duration duration) {
    Instant end = now + duration;
    while (true) {
      registry->turn(now);
      if (now == end) return;
      now = std::min({end, now + 500ms, std::max(registry->due(), now + 1us)});
    }
  }
  size_t count(std::string_view service) const {
    const Registry::Service* found = registry->find(service);
    return found == nullptr ? 0 : found->entries.size();
  }
  std::unique_ptr<Registry> registry;
  Registry::Refused refused{};
  std::vector<std::string> told;
  Instant now = Instant{} + 1h;
};

TEST_F(Leases, AnInstanceIsThereForAsLongAsItsLeaseIsRenewed) {
  std::string token = enter("orders", instance("a"));
  EXPECT_EQ(token.size(), 32u);
  pass(9s);
  EXPECT_TRUE(beat("orders", "a", token));
  pass(9999ms);
  EXPECT_EQ(count("orders"), 1u);
  pass(1ms);
  EXPECT_EQ(count("orders"), 0u);
  EXPECT_EQ(registry->counts().expired, 1u);
  EXPECT_FALSE(beat("orders", "a", token));
  EXPECT_EQ(refused.why, Refusal::unknown);
  EXPECT_EQ(told, (std::vector<std::string>{"orders@101:1", "orders@102:0"}));
}

TEST_F(Leases, ALeaseThatHasEndedIsRefusedEvenBeforeAnybodyLooked) {
  std::string token = enter("orders", instance("a"), 2s);
  now += 2s;
  EXPECT_FALSE(beat("orders", "a", token));
  EXPECT_EQ(count("orders"), 0u);
}

TEST_F(Leases, AForgedLeaseIsRefused) {
  std::string token = enter("orders", instance("a"));
  EXPECT_FALSE(beat("orders", "a", std::string(32, '0')));
  EXPECT_EQ(refused.why, Refusal::not_yours);
  EXPECT_FALSE(beat("orders", "a", ""));
  EXPECT_FALSE(beat("orders", "a", token.substr(1)));
  EXPECT_FALSE(registry->drain("orders", "a", "forged", now));
  EXPECT_FALSE(registry->leave("orders", "a", "forged", now));
  EXPECT_EQ(registry->counts().refused, 5u);
  EXPECT_TRUE(registry->leave("orders", "a", token, now));
  EXPECT_EQ(count("orders"), 0u);
}

TEST_F(Leases, AnIdThatIsTakenIsRefusedUnlessItIsTheSamePlaceOrTheSameLease) {
  std::string token = enter("orders", instance("a"));
  EXPECT_EQ(enter("orders", instance("a", "10.0.0.2:80")), "");
  EXPECT_EQ(refused.why, Refusal::taken);
  std::string again = enter("orders", instance("a"));  // started again where it was
  EXPECT_NE(again, "");
  EXPECT_NE(again, token);
  EXPECT_FALSE(beat("orders", "a", token));
  std::string moved = enter("orders", instance("a", "10.0.0.2:80"), 10s, again);
  EXPECT_NE(moved, "");
  EXPECT_EQ(registry->find("orders")->entries.find("a")->second.instance.address.text(), "10.0.0.2:80");
  EXPECT_EQ(registry->instances(), 1u);
}

TEST_F(Leases, WhatChangesInOneTurnIsToldOnce) {
  std::string token = enter("orders", instance("a"));
  enter("orders", instance("b", "10.0.0.2:80"));
  enter("users", instance("a"));
  EXPECT_TRUE(told.empty());
  pass(0s);
  EXPECT_EQ(told, (std::vector<std::string>{"orders@101:2", "users@102:1"}));
  EXPECT_TRUE(beat("orders", "a", token));
  token = enter("orders", instance("a"));  // as it was: no news
  pass(1s);
  EXPECT_EQ(told.size(), 2u);
  EXPECT_TRUE(registry->drain("orders", "a", token, now));
  EXPECT_TRUE(registry->drain("orders", "a", token, now));
  pass(1s);
  EXPECT_EQ(told.back(), "orders@103:2");
  EXPECT_TRUE(registry->find("orders")->entries.find("a")->second.instance.draining);
}

TEST_F(Leases, VersionsTellWhatHasChangedSince) {
  enter("a", instance("1"));
  enter("b", instance("1"));
  pass(1ms);
  uint64_t before = registry->version();
  enter("a", instance("2", "10.0.0.2:80"));
  pass(1ms);
  std::vector<std::string> since;
  registry->each_since(before, [&](const Registry::Service& service) {
    since.push_back(service.name);
    return true;
  });
  EXPECT_EQ(since, std::vector<std::string>{"a"});
  EXPECT_TRUE(registry->knows(before));
  EXPECT_FALSE(registry->knows(99));                       // of an earlier life
  EXPECT_FALSE(registry->knows(registry->version() + 1));  // of none
}

TEST_F(Leases, ALongStopOfTheProcessEndsNoLease) {
  std::string token = enter("orders", instance("a"), 2s);
  pass(1s);
  now += 1min;  // stopped, or the machine slept
  EXPECT_TRUE(beat("orders", "a", token));
  enter("orders", instance("b", "10.0.0.2:80"), 2s);
  pass(1s);
  now += 1min;
  pass(1999ms);
  EXPECT_EQ(count("orders"), 2u);
  pass(1ms);
  EXPECT_EQ(count("orders"), 0u);
}

TEST_F(Leases, ManyRenewalsDoNotMakeALeaseEndEarly) {
  for (int i = 0; i < 100; ++i) enter("orders", instance("a"), i % 2 == 0 ? 1min : 2s);
  std::string token = enter("orders", instance("a"), 20s);
  pass(19s);
  EXPECT_EQ(count("orders"), 1u);
  pass(1s);
  EXPECT_EQ(count("orders"), 0u);
}

TEST_F(Leases, NamesAndIdsAreLettersAndDigits) {
  EXPECT_EQ(enter("or/ders", instance("a")), "");
  EXPECT_EQ(refused.why, Refusal::invalid);
  EXPECT_EQ(enter("orders", instance("a b")), "");
  EXPECT_EQ(enter("orders", instance("")), "");
  EXPECT_EQ(enter("", instance("a")), "");
  EXPECT_EQ(enter("orders", instance(std::string(129, 'a'))), "");
  EXPECT_EQ(registry->instances(), 0u);
}

TEST_F(Leases, EveryNumberIsBounded) {
  use({.names = 2, .instances = 4, .instances_of_a_name = 2});
  std::string token = enter("a", instance("1"));
  EXPECT_NE(enter("a", instance("2")), "");
  EXPECT_EQ(enter("a", instance("3")), "");
  EXPECT_EQ(refused.why, Refusal::full);
  EXPECT_NE(enter("a", instance("1")), "");  // who is there may come again
  EXPECT_NE(enter("b", instance("1")), "");
  EXPECT_EQ(enter("c", instance("1")), "");
  EXPECT_NE(enter("b", instance("2")), "");
  EXPECT_EQ(registry->instances(), 4u);
}

TEST_F(Leases, ANameWithoutInstancesGivesWayAndItsWatchersBeginAnew) {
  use({.names = 2, .instances = 10, .instances_of_a_name = 10});
  std::string token = enter("a", instance("1"));
  enter("b", instance("1"), 1min);
  pass(1ms);
  uint64_t seen = registry->version();
  ASSERT_TRUE(registry->leave("a", "1", token, now));
  EXPECT_EQ(enter("c", instance("1")), "");  // nobody was told of the end of a yet
  pass(1ms);
  EXPECT_NE(enter("c", instance("1")), "");
  EXPECT_FALSE(registry->knows(seen));
  EXPECT_EQ(registry->find("a"), nullptr);
}

TEST_F(Leases, AHundredThousandInstancesOfOneName) {
  std::vector<std::string> tokens;
  auto id = [](int i) { return "i" + std::to_string(i); };
  for (int i = 0; i < 100'000; ++i) {
    Instance one = instance(id(i));
    one.address = one.address.with_port(static_cast<uint16_t>(1 + i % 60'000));
    tokens.push_back(enter("big", std::move(one), 30s));
    if (i % 100 == 0) pass(100us);
  }
  EXPECT_EQ(count("big"), 100'000u);
  EXPECT_EQ(enter("big", instance("more")), "");
  pass(200ms);
  EXPECT_LT(told.size(), 20u);  // not after each: telling costs what the service's size is
  pass(20s);
  for (int i = 0; i < 100'000; i += 2) EXPECT_TRUE(beat("big", id(i), tokens[static_cast<size_t>(i)]));
  pass(15s);
  EXPECT_EQ(count("big"), 50'000u);
}

TEST_F(Leases, RestoredOnesHaveTheTimeToBeRenewed) {
  for (int i = 0; i < 100; ++i) registry->restore("orders", instance("i" + std::to_string(i)), "lease" + std::to_string(i), 10s, now);
  pass(9999ms);
  EXPECT_EQ(count("orders"), 100u);
  EXPECT_TRUE(beat("orders", "i7", "lease7"));
  pass(5s);
  EXPECT_GT(count("orders"), 20u);  // they do not all end at once
  EXPECT_LT(count("orders"), 80u);
  pass(4999ms);
  EXPECT_EQ(count("orders"), 1u);
}

}  // namespace
}  // namespace portloom::discovery
