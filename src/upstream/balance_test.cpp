// Tests of Balancer: who is chosen, how often, and who is left out. No network; time is an argument.
#include "upstream/balance.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <memory>

namespace portloom::upstream {
namespace {

using config::Balance;

struct Loads {
  Loads(Balance method, std::vector<uint32_t> weights, uint64_t seed = 1) : balancer(method, seed) {
    for (uint32_t weight : weights) loads.push_back(std::make_unique<Load>(Load{.weight = weight}));
    use();
  }
  void use() {
    std::vector<Load*> list;
    for (auto& load : loads) list.push_back(load.get());
    balancer.use(list);
  }
  size_t pick() {
    uint64_t tried = 0;
    return balancer.pick(tried, now);
  }
  // How often each is chosen, with nothing in flight.
  std::vector<size_t> counts(size_t picks) {
    std::vector<size_t> counts(loads.size());
    for (size_t i = 0; i < picks; ++i) ++counts[pick()];
    return counts;
  }
  // How many requests each has, when that many come and none ends.
  std::vector<uint32_t> filled(size_t requests) {
    for (size_t i = 0; i < requests; ++i) ++loads[pick()]->active;
    std::vector<uint32_t> active;
    for (auto& load : loads) active.push_back(load->active);
    return active;
  }
  Instant now = Instant{} + 1h;
  std::vector<std::unique_ptr<Load>> loads;
  Balancer balancer;
};

void expect_near(size_t count, size_t expected, size_t tolerance) {
  EXPECT_GE(count + tolerance, expected);
  EXPECT_LE(count, expected + tolerance);
}

constexpr std::array all = {Balance::round_robin, Balance::least_request, Balance::peak_ewma, Balance::random};

TEST(Balance, RoundRobinWithoutWeightsIsInTurn) {
  Loads loads(Balance::round_robin, {1, 1, 1});
  size_t first = loads.pick();
  for (size_t i = 1; i < 30; ++i) EXPECT_EQ(loads.pick(), (first + i) % 3);
}

TEST(Balance, WhoIsFavouredIsWhoIsPickedNext) {
  for (std::vector<uint32_t> weights : {std::vector<uint32_t>{1, 1, 1}, {3, 1, 2}}) {
    Loads loads(Balance::round_robin, weights);
    loads.loads[1]->unreachable = true;
    for (size_t i = 0; i < 50; ++i) {
      loads.loads[1]->avoided_until = i < 25 ? loads.now + 1s : loads.now;
      std::optional<size_t> favoured = loads.balancer.favours(loads.now);
      ASSERT_TRUE(favoured.has_value());
      EXPECT_EQ(loads.balancer.favours(loads.now), favoured);  // asking changes nothing
      EXPECT_EQ(loads.pick(), *favoured);
    }
  }
}

TEST(Balance, TheLeastLoadedIsFavouredAndAmongEqualsNobody) {
  Loads least(Balance::least_request, {1, 1, 1});
  EXPECT_FALSE(least.balancer.favours(least.now).has_value());
  least.loads[0]->active = least.loads[2]->active = 1;
  EXPECT_EQ(least.balancer.favours(least.now), 1u);
  least.loads[1]->active = 2;
  EXPECT_FALSE(least.balancer.favours(least.now).has_value());  // the first and the third are alike
  least.loads[0]->unreachable = true;
  least.loads[0]->avoided_until = least.now + 1s;
  EXPECT_EQ(least.balancer.favours(least.now), 2u);

  Loads soonest(Balance::peak_ewma, {1, 1});
  Balancer::measure(*soonest.loads[0], 2ms, soonest.now);
  Balancer::measure(*soonest.loads[1], 5ms, soonest.now);
  EXPECT_EQ(soonest.balancer.favours(soonest.now), 0u);
  soonest.loads[0]->active = 2;
  soonest.loads[1]->active = 0;
  EXPECT_EQ(soonest.balancer.favours(soonest.now), 1u);  // 6 ms against 5

  Loads any(Balance::random, {1, 1});
  any.loads[0]->active = 9;
  EXPECT_FALSE(any.balancer.favours(any.now).has_value());
  EXPECT_EQ(Loads(Balance::random, {1}).balancer.favours(any.now), 0u);
}

TEST(Balance, RoundRobinGivesExactlyTheWeightsAndSpreadsThem) {
  Loads loads(Balance::round_robin, {5, 1, 2});
  for (int round = 0; round < 100; ++round) {
    std::vector<size_t> order;
    for (int i = 0; i < 8; ++i) order.push_back(loads.pick());
    EXPECT_EQ(std::count(order.begin(), order.end(), 0), 5);
    EXPECT_EQ(std::count(order.begin(), order.end(), 1), 1);
    EXPECT_EQ(std::count(order.begin(), order.end(), 2), 2);
    EXPECT_EQ(std::search_n(order.begin(), order.end(), 4, size_t{0}), order.end());  // never four of the five in a row
  }
}

TEST(Balance, RoundRobinKeepsItsWeightsForLong) {
  Loads loads(Balance::round_robin, {3, 1});
  std::vector<size_t> counts = loads.counts(8'000'000);  // past the moment where the clock is set back
  EXPECT_EQ(counts[0], 6'000'000u);
}

TEST(Balance, TheOthersFollowTheWeightsWhereNothingElseSpeaks) {
  for (Balance method : {Balance::least_request, Balance::peak_ewma, Balance::random}) {
    Loads loads(method, {6, 1, 3});
    std::vector<size_t> counts = loads.counts(100'000);
    expect_near(counts[0], 60'000, 1'500);
    expect_near(counts[1], 10'000, 1'500);
    expect_near(counts[2], 30'000, 1'500);
  }
}

TEST(Balance, AThousandWeightsAddUp) {
  std::vector<uint32_t> weights;
  for (uint32_t i = 0; i < 1000; ++i) weights.push_back(i % 4 + 1);
  Loads loads(Balance::random, weights);
  std::vector<size_t> counts = loads.counts(2'500'000);  // 1,000 for each unit
  std::array<size_t, 4> by_weight{};
  for (size_t i = 0; i < 1000; ++i) by_weight[i % 4] += counts[i];
  for (size_t i = 0; i < 4; ++i) expect_near(by_weight[i], 250'000 * (i + 1), 5'000);
}

TEST(Balance, LeastRequestFillsByWeight) {
  Loads even(Balance::least_request, {1, 1, 1, 1});
  for (uint32_t active : even.filled(400)) expect_near(active, 100, 4);
  Loads loads(Balance::least_request, {3, 1});
  std::vector<uint32_t> active = loads.filled(400);
  expect_near(active[0], 300, 25);
}

TEST(Balance, PeakEwmaAvoidsTheSlowOne) {
  Loads loads(Balance::peak_ewma, {1, 1, 1, 1});
  for (size_t i = 0; i < 4; ++i) Balancer::measure(*loads.loads[i], i == 2 ? 200ms : 10ms, loads.now);
  std::vector<size_t> counts = loads.counts(1000);
  EXPECT_EQ(counts[2], 0u);
  EXPECT_GT(counts[0], 200u);
  // It is taken again when the others are twenty times as busy.
  for (size_t i : std::initializer_list<size_t>{0, 1, 3}) loads.loads[i]->active = 25;
  EXPECT_GT(loads.counts(1000)[2], 400u);
}

TEST(Balance, PeakEwmaForgetsByAndByAndAsksOnceBeforeItTrustsAgain) {
  Loads loads(Balance::peak_ewma, {1, 1});
  Balancer::measure(*loads.loads[0], 10ms, loads.now);
  Balancer::measure(*loads.loads[1], 200ms, loads.now);
  loads.loads[0]->active = 1;
  EXPECT_EQ(loads.counts(100)[1], 0u);
  loads.now += 40s;  // faded to 4 ms
  EXPECT_EQ(loads.pick(), 1u);
  loads.loads[1]->active = 1;  // and while that is on its way it is as slow as it was
  EXPECT_EQ(loads.counts(100)[1], 0u);
}

TEST(Balance, APeakCountsAtOnceAndWhatIsBetterByAndBy) {
  Load load;
  Instant now = Instant{} + 1h;
  Balancer::measure(load, 10ms, now);
  Balancer::measure(load, 300ms, now);
  EXPECT_EQ(load.latency, 300e6F);
  Balancer::measure(load, 10ms, now);
  EXPECT_EQ(load.latency, 300e6F);  // no time has passed
  Balancer::measure(load, 10ms, now + 10s);
  EXPECT_NEAR(load.latency, 10e6F + 290e6F * 0.3679F, 1e5F);
}

TEST(Balance, ANewEndpointIsAskedByOneRequestUntilItHasAnswered) {
  Loads loads(Balance::peak_ewma, {1, 1});
  Balancer::measure(*loads.loads[0], 10ms, loads.now);
  EXPECT_EQ(loads.pick(), 1u);
  loads.loads[1]->active = 1;
  EXPECT_EQ(loads.counts(50)[1], 0u);
}

TEST(Balance, EachTryGoesToAnother) {
  for (Balance method : all) {
    for (size_t count : std::initializer_list<size_t>{2, 3, 64, 200}) {
      Loads loads(method, std::vector<uint32_t>(count, 1));
      for (int round = 0; round < 50; ++round) {
        uint64_t tried = 0;
        std::vector<size_t> seen;
        for (size_t i = 0; i < std::min<size_t>(count, 5); ++i) seen.push_back(loads.balancer.pick(tried, loads.now));
        std::sort(seen.begin(), seen.end());
        EXPECT_EQ(std::unique(seen.begin(), seen.end()), seen.end());
      }
      uint64_t tried = ~uint64_t{0};
      EXPECT_LT(loads.balancer.pick(tried, loads.now), count);  // all were: then any
    }
  }
}

TEST(Balance, OneThatCannotBeReachedIsTriedOnceASecond) {
  for (Balance method : all) {
    Loads loads(method, {1, 1, 1});
    loads.loads[1]->unreachable = true;
    loads.loads[1]->avoided_until = loads.now + 1s;
    EXPECT_EQ(loads.counts(300)[1], 0u);
    loads.now += 1s;
    EXPECT_LE(loads.counts(300)[1], 1u);
    for (auto& load : loads.loads) {
      load->unreachable = true;
      load->avoided_until = loads.now + 1s;
    }
    EXPECT_LT(loads.pick(), 3u);  // none can: one is tried all the same
  }
}

TEST(Balance, TheEndpointsMayChange) {
  for (Balance method : all) {
    Loads loads(method, {4, 1});
    loads.counts(10);
    loads.loads.push_back(std::make_unique<Load>());
    loads.use();
    EXPECT_GT(loads.counts(1000)[2], 50u);
    loads.loads.erase(loads.loads.begin(), loads.loads.begin() + 2);
    loads.use();
    EXPECT_EQ(loads.counts(10)[0], 10u);
  }
}

TEST(Balance, AValueKeepsToItsEndpointAndComesBack) {
  for (Balance method : {Balance::ring_hash, Balance::maglev}) {
    Loads loads(method, {1, 1, 1, 1, 1});
    Instances instances;
    for (int i = 0; i < 5; ++i) instances.push_back({*io::Address::parse("10.0.0." + std::to_string(i) + ":80"), 1, "shop"});
    std::shared_ptr<const HashTable> table = HashTable::make(method, instances);
    auto use = [&](std::vector<uint32_t> places) {
      std::vector<Load*> list;
      for (size_t i = 0; i < 5; ++i)
        if (places[i] != Balancer::nowhere) list.push_back(loads.loads[i].get());
      loads.balancer.use(list, table, places);
    };
    auto where = [&](uint64_t hash) {
      uint64_t tried = 0;
      return loads.balancer.pick(tried, loads.now, {.hash = hash});
    };
    Random random(1);
    std::vector<uint64_t> hashes(500);
    for (uint64_t& hash : hashes) hash = random.next();
    use({0, 1, 2, 3, 4});
    std::vector<size_t> before;
    for (uint64_t hash : hashes) {
      before.push_back(where(hash));
      ++loads.loads[before.back()]->active;  // how busy it is does not count
      EXPECT_EQ(where(hash), before.back());
    }
    loads.loads[2]->unreachable = true;
    loads.loads[2]->avoided_until = loads.now + 1s;
    std::vector<size_t> meanwhile;
    for (size_t i = 0; i < hashes.size(); ++i) {
      meanwhile.push_back(where(hashes[i]));
      EXPECT_EQ(meanwhile[i] == before[i], before[i] != 2);
    }
    loads.loads[2]->unreachable = false;
    use({0, 1, Balancer::nowhere, 2, 3});  // it is not well: the same, and nobody else moves
    for (size_t i = 0; i < hashes.size(); ++i) {
      size_t at = where(hashes[i]);
      EXPECT_EQ(at < 2 ? at : at + 1, meanwhile[i]);
    }
    use({0, 1, 2, 3, 4});
    for (size_t i = 0; i < hashes.size(); ++i) EXPECT_EQ(where(hashes[i]), before[i]);
    uint64_t tried = 0;  // a request that is tried again asks another
    std::vector<size_t> asked;
    for (int i = 0; i < 5; ++i) asked.push_back(loads.balancer.pick(tried, loads.now, {.hash = hashes[0]}));
    std::ranges::sort(asked);
    EXPECT_EQ(asked, (std::vector<size_t>{0, 1, 2, 3, 4}));
    std::vector<size_t> counts(5);
    for (int i = 0; i < 1000; ++i) ++counts[loads.pick()];  // without a value: by how busy they are
    EXPECT_GT(std::ranges::count_if(counts, [](size_t count) { return count > 0; }), 1);
  }
}

TEST(Balance, WhoeverAsksForTimeIsLeftAloneForIt) {
  Loads loads(Balance::peak_ewma, {1, 1, 1});
  auto says = [&](size_t index, uint16_t status, std::string_view retry_after) {
    Stopwatch stopwatch(*loads.loads[index], loads.now);
    stopwatch.answered(status, loads.now, retry_after);
  };
  says(0, 429, "5");
  says(1, 503, "10");
  EXPECT_EQ(loads.counts(100), (std::vector<size_t>{0, 0, 100}));
  says(2, 503, "2");  // all: then whoever is there
  EXPECT_EQ(std::ranges::count(loads.counts(300), size_t{0}), 0);
  loads.now += 6s;
  says(2, 429, "100000");
  EXPECT_EQ(loads.counts(100), (std::vector<size_t>{100, 0, 0}));
  loads.now += Balancer::rest_most;
  for (auto& load : loads.loads) Balancer::measure(*load, 1ms, loads.now + 1h);
  loads.now += 1h;
  EXPECT_EQ(std::ranges::count(loads.counts(300), size_t{0}), 0);
  says(0, 200, "100");  // only of those two answers
  says(1, 503, "Fri, 31 Dec 1999 23:59:59 GMT");
  says(2, 503, "-1");
  for (auto& load : loads.loads) EXPECT_LE(load->rests_until, loads.now);
}

}  // namespace
}  // namespace portloom::upstream
