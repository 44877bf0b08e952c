// Tests of HashTable as properties over many memberships: who is led where, how evenly, and how many move when an instance comes or goes.
#include "upstream/hash_table.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "base/random.h"

namespace portloom::upstream {
namespace {

using config::Balance;

class HashTables : public ::testing::TestWithParam<Balance> {
 protected:
  static Instances some(size_t count, uint32_t (*weight)(size_t) = [](size_t) { return 1U; }) {
    Instances made;
    for (size_t i = 0; i < count; ++i)
      made.push_back({*io::Address::parse("10.0." + std::to_string(i / 250) + "." + std::to_string(i % 250) + ":80"), weight(i), "shop"});
    return made;
  }
  std::shared_ptr<const HashTable> table(const Instances& instances) const { return HashTable::make(GetParam(), instances); }
  // By instance, of so many values.
  static std::vector<double> shares(const HashTable& of, size_t count) {
    std::vector<double> shares(count);
    Random random(7);
    for (int i = 0; i < values; ++i) shares[of.find(random.next(), 0)] += 1.0 / values;
    return shares;
  }
  // Whose instance is another one, of so many values; and of those whose instance is in both.
  struct Moved {
    double all = 0;
    double needless = 0;
  };
  static Moved moved(const Instances& before, const HashTable& old, const Instances& after, const HashTable& now) {
    Moved moved;
    Random random(11);
    for (int i = 0; i < values; ++i) {
      uint64_t value = random.next();
      const Instance& was = before[old.find(value, 0)];
      const Instance& is = after[now.find(value, 0)];
      if (was == is) continue;
      moved.all += 1.0 / values;
      bool left = std::ranges::find(after, was) == after.end();
      bool came = std::ranges::find(before, is) == before.end();
      if (!left && !came) moved.needless += 1.0 / values;
    }
    return moved;
  }
  static constexpr int values = 100'000;
};

INSTANTIATE_TEST_SUITE_P(Both, HashTables, ::testing::Values(Balance::ring_hash, Balance::maglev));

TEST_P(HashTables, OfOneThatGoesOnlyItsOwnValuesMove) {
  for (size_t count : {2U, 3U, 10U, 50U}) {
    Instances before = some(count);
    std::shared_ptr<const HashTable> old = table(before);
    for (size_t goes : {size_t{0}, count / 2, count - 1}) {
      Instances after = before;
      after.erase(after.begin() + static_cast<ptrdiff_t>(goes));
      Moved much = moved(before, *old, after, *table(after));
      double own = shares(*old, count)[goes];
      EXPECT_LE(much.needless, GetParam() == Balance::ring_hash ? 0 : 0.02) << count;
      EXPECT_LE(much.all, own + 0.025) << count;
    }
  }
}

TEST_P(HashTables, OneThatComesTakesItsShareAndNoMore) {
  Instances before = some(20);
  Instances after = some(21);
  Moved much = moved(before, *table(before), after, *table(after));
  EXPECT_LE(much.needless, GetParam() == Balance::ring_hash ? 0 : 0.02);
  EXPECT_LE(much.all, 1.5 / 21 + 0.02);
  EXPECT_GE(much.all, 0.5 / 21);
}

TEST_P(HashTables, ValuesAreSpreadEvenly) {
  for (size_t count : {2U, 10U, 100U}) {
    std::vector<double> of = shares(*table(some(count)), count);
    double even = 1.0 / static_cast<double>(count);
    double off = GetParam() == Balance::maglev ? 0.15 : 0.45;  // the rest is chance, of the values drawn here too
    EXPECT_GE(std::ranges::min(of), even * (1 - off)) << count;
    EXPECT_LE(std::ranges::max(of), even * (1 + off)) << count;
  }
}

TEST_P(HashTables, WeightsCount) {
  Instances instances = some(8, [](size_t i) { return static_cast<uint32_t>(i % 4) * 5; });  // 0, 5, 10, 15
  std::vector<double> of = shares(*table(instances), 8);
  for (size_t i = 0; i < 8; ++i) {
    double due = static_cast<double>(instances[i].weight) / 60;
    EXPECT_NEAR(of[i], due, due * (GetParam() == Balance::maglev ? 0.05 : 0.3)) << i;
  }
}

TEST_P(HashTables, TheOrderInWhichInstancesAreKnownDoesNotCount) {
  Instances one = some(30, [](size_t i) { return static_cast<uint32_t>(i % 3 + 1); });
  Instances other = one;
  std::reverse(other.begin(), other.end());
  std::shared_ptr<const HashTable> first = table(one);
  std::shared_ptr<const HashTable> second = table(other);
  Random random(3);
  for (int i = 0; i < 10'000; ++i) {
    uint64_t value = random.next();
    ASSERT_EQ(one[first->find(value, 0)], other[second->find(value, 0)]);
  }
}

TEST_P(HashTables, WhatCannotBeAskedIsReplacedByAllOthers) {
  std::shared_ptr<const HashTable> made = table(some(10));
  std::set<uint32_t> others;
  Random random(5);
  for (int i = 0; i < 10'000; ++i) {
    uint64_t value = random.next();
    if (made->find(value, 0) == 4) others.insert(made->find(value, 1));
  }
  EXPECT_GE(others.size(), 9u);
}

TEST_P(HashTables, BoundsHold) {
  EXPECT_EQ(table(Instances()), nullptr);
  EXPECT_EQ(table(some(3, [](size_t) { return 0U; })), nullptr);
  Instances wide = some(2, [](size_t i) { return i == 0 ? 1U : 1000U; });
  EXPECT_LE(table(wide)->bytes(), 20u << 20);
  std::vector<double> of = shares(*table(some(7000)), 7000);
  EXPECT_GT(std::ranges::max(of), 0);
  EXPECT_EQ(HashTable::make(Balance::random, some(3)), nullptr);
}

}  // namespace
}  // namespace portloom::upstream
