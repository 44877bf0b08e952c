// Tests of Health: who is ejected and who never, for how long, how many at a time; random events of several workers against a naive one;
// and a Cluster that goes by it. In virtual time.
#include "upstream/health.h"

#include "testing/clusters.h"

namespace portloom::upstream {
namespace {

using namespace testing;  // NOLINT: fixtures
using State = Health::State;
using Reason = Health::Reason;

// Instances "0", "1", ... with a seat of each worker.
struct Ward {
  Ward(const config::Outliers& rules, size_t instances, size_t workers = 2) : health(std::make_shared<Health>(rules)) {
    for (size_t worker = 0; worker < workers; ++worker)
      for (size_t i = 0; i < instances; ++i) seats.push_back(std::make_unique<Health::Seat>(health, std::to_string(i)));
    count = instances;
  }
  Health::Seat& seat(size_t instance, size_t worker = 0) { return *seats[worker * count + instance]; }
  void fail(size_t instance, int times, bool gateway_error = true) {
    for (int i = 0; i < times; ++i) seat(instance, static_cast<size_t>(i) % (seats.size() / count)).failed(gateway_error, now);
  }
  void answer(size_t instance, int times, Duration took = 10ms) {
    for (int i = 0; i < times; ++i) seat(instance, static_cast<size_t>(i) % (seats.size() / count)).good(took);
  }
  void pass(Duration duration) {
    for (Duration step{}; step < duration; step += 100ms) {
      now += 100ms;
      look();
    }
  }
  void look() {
    health->look(now, [&](std::string_view key, const Health::Verdict& verdict) {
      said.push_back(std::string(key) + " " + std::string(name_of(verdict.state)));
    });
  }
  Health::Verdict verdict(size_t instance) { return health->verdict(std::to_string(instance)); }
  bool out(size_t instance) { return verdict(instance).state == State::ejected; }
  size_t out_count() {
    size_t sum = 0;
    for (size_t i = 0; i < count; ++i) sum += out(i) ? 1 : 0;
    return sum;
  }
  std::vector<bool> usable() {
    std::vector<const Health::Seat*> list;
    for (size_t i = 0; i < count; ++i) list.push_back(&seat(i));
    return health->usable(list);
  }
  std::shared_ptr<Health> health;
  std::vector<std::unique_ptr<Health::Seat>> seats;
  std::vector<std::string> said;
  size_t count = 0;
  Instant now = Instant{} + 1h;
};

TEST(Health, EjectsAfterSoManyGatewayErrorsInARowOverAllWorkers) {
  Ward ward({}, 4);
  ward.fail(1, 4);
  ward.answer(1, 1);  // the row is over
  ward.fail(1, 4);
  ward.fail(1, 100, false);  // a 500 is no gateway error
  EXPECT_FALSE(ward.out(1));
  uint64_t version = ward.health->version();
  ward.fail(1, 1);
  EXPECT_TRUE(ward.out(1));
  EXPECT_NE(ward.health->version(), version);
  EXPECT_EQ(ward.verdict(1).reason, Reason::consecutive);
  EXPECT_EQ(ward.usable(), (std::vector<bool>{true, false, true, true}));
  EXPECT_EQ(ward.health->ejections(Reason::consecutive), 1u);
}

TEST(Health, LetsItBackInAndEjectsItForLongerTheNextTime) {
  config::Outliers rules;
  rules.eject_for_max = 70s;
  Ward ward(rules, 2);
  for (Duration out : {Duration(30s), Duration(60s), Duration(70s)}) {
    ward.fail(0, 5);
    ASSERT_TRUE(ward.out(0));
    ward.pass(out - 100ms);
    EXPECT_TRUE(ward.out(0)) << out;
    ward.fail(0, 20);  // late ones change nothing
    ward.pass(100ms);
    EXPECT_FALSE(ward.out(0)) << out;
  }
  EXPECT_EQ(ward.said, (std::vector<std::string>{"0 ejected", "0 fit", "0 ejected", "0 fit", "0 ejected", "0 fit"}));
  ward.pass(1min);  // a while without is forgiven
  ward.fail(0, 5);
  ward.pass(30s);
  EXPECT_FALSE(ward.out(0));
}

TEST(Health, NeverEjectsMoreThanTheShare) {
  Ward ward({}, 5);
  for (size_t i = 0; i < 5; ++i) ward.fail(i, 50);
  EXPECT_EQ(ward.out_count(), 2u);  // half of five
  Ward alone({}, 1);
  alone.fail(0, 50);
  EXPECT_FALSE(alone.out(0));
}

TEST(Health, WithTooFewLeftEjectionsDoNotCount) {
  config::Outliers rules;
  rules.share.fraction = 1;
  rules.panic.fraction = 0.5;
  Ward ward(rules, 4);
  ward.fail(0, 5);
  ward.fail(1, 5);
  EXPECT_EQ(ward.usable(), (std::vector<bool>{false, false, true, true}));  // half is enough
  ward.fail(2, 5);
  EXPECT_EQ(ward.usable(), (std::vector<bool>{true, true, true, true}));
  EXPECT_EQ(ward.out_count(), 3u);
}

TEST(Health, ComparesFailureRates) {
  Ward ward({}, 4);
  ward.look();
  for (size_t i = 0; i < 4; ++i) {
    ward.fail(i, i == 3 ? 50 : 5, false);
    ward.answer(i, i == 3 ? 50 : 95);
  }
  ward.pass(10s);
  EXPECT_EQ(ward.verdict(3).reason, Reason::failure_rate);
  EXPECT_EQ(ward.out_count(), 1u);
  Ward all({}, 4);  // where all fail alike, none stands out
  all.look();
  for (size_t i = 0; i < 4; ++i) {
    all.fail(i, 60, false);
    all.answer(i, 40);
  }
  all.pass(10s);
  EXPECT_EQ(all.out_count(), 0u);
  Ward few({}, 2);
  few.look();
  few.fail(0, 19, false);
  few.answer(1, 100);
  few.pass(10s);
  EXPECT_EQ(few.out_count(), 0u);  // 19 requests say nothing
}

TEST(Health, ComparesLatencies) {
  config::Outliers rules;
  rules.latency = 5;
  Ward ward(rules, 4);
  ward.look();
  for (size_t i = 0; i < 4; ++i) ward.answer(i, 100, i == 2 ? 200ms : 10ms);
  ward.pass(10s);
  EXPECT_EQ(ward.verdict(2).reason, Reason::latency);
  EXPECT_EQ(ward.out_count(), 1u);
  Ward fast(rules, 2);
  fast.look();
  fast.answer(0, 100, 1ms);
  fast.answer(1, 100, 100us);  // ten times as fast, and nobody notices
  fast.pass(10s);
  EXPECT_EQ(fast.out_count(), 0u);
}

TEST(Health, OneThatGoesLeavesItsPlaceToOthers) {
  Ward ward({}, 4, 1);
  for (size_t i = 0; i < 4; ++i) ward.fail(i, 5);
  EXPECT_EQ(ward.out_count(), 2u);
  EXPECT_TRUE(ward.out(0));
  ward.seats[0].reset();  // the last seat there
  EXPECT_FALSE(ward.out(0));
  ward.fail(2, 5);
  EXPECT_EQ(ward.out_count(), 1u);  // of three, one
}

// The same rules for rows, times and the share, as they are told.
TEST(Health, AgreesWithANaiveOneWhateverHappens) {
  for (uint64_t seed = 0; seed < 100; ++seed) {
    Random random(seed);
    config::Outliers rules;
    rules.consecutive = static_cast<uint32_t>(1 + random.below(5));
    rules.eject_for = 1s * static_cast<int64_t>(1 + random.below(5));
    rules.eject_for_max = rules.eject_for * static_cast<int64_t>(1 + random.below(4));
    rules.share.fraction = 0.1 * static_cast<double>(random.below(11));
    rules.volume = 1'000'000;  // rows alone
    rules.every = 1h;
    size_t count = 1 + random.below(8);
    Ward ward(rules, count, 3);
    struct Naive {
      uint32_t row = 0;
      int times = 0;
      std::optional<Instant> until;
    };
    std::vector<Naive> naive(count);
    auto out = [&] { return std::ranges::count_if(naive, [](const Naive& one) { return one.until.has_value(); }); };
    for (int step = 0; step < 2000; ++step) {
      size_t i = random.below(count);
      switch (random.below(8)) {
        case 0:
          ward.now += 100ms * static_cast<int64_t>(random.below(20));
          ward.look();
          for (Naive& one : naive)
            if (one.until && *one.until <= ward.now) one.until.reset(), one.row = 0;
          break;
        case 1:
          ward.seat(i, random.below(3)).good(1ms);
          naive[i].row = 0;
          break;
        default:
          ward.seat(i, random.below(3)).failed(true, ward.now);
          if (naive[i].until || ++naive[i].row < rules.consecutive) break;
          naive[i].row = 0;
          if (static_cast<double>(out() + 1) > rules.share.fraction * static_cast<double>(count) + 1e-9) break;
          naive[i].until = ward.now + std::min<Duration>(rules.eject_for * ++naive[i].times, rules.longest());
      }
      for (size_t k = 0; k < count; ++k) ASSERT_EQ(ward.out(k), naive[k].until.has_value()) << "seed " << seed << " step " << step;
    }
  }
}

// ---- a cluster that goes by it

class HealthyClusters : public Clusters {};
INSTANTIATE_TEST_SUITE_P(Seeds, HealthyClusters, ::testing::Values(0, 1, 2, 3));

TEST_P(HealthyClusters, TheEjectedOneIsNotAskedAndThenAgain) {
  settings.balance = config::Balance::round_robin;
  settings.health = std::make_shared<Health>(config::Outliers{});
  Cluster cluster(settings, addresses(), 1);
  auto turn = [&] {
    std::array<size_t, 3> before{origins[0].count(), origins[1].count(), origins[2].count()};
    calls.clear();
    for (int i = 0; i < 3; ++i) call(cluster);
    loop.run_for(10ms);
    for (size_t i = 0; i < 3; ++i)
      for (size_t k = before[i]; k < origins[i].count(); ++k)
        origins[i][k].say(i == 1 ? "HTTP/1.1 503 No\r\nConnection: close\r\n\r\n" : "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
    loop.run_for(10ms);
    return std::array<size_t, 3>{origins[0].count() - before[0], origins[1].count() - before[1], origins[2].count() - before[2]};
  };
  for (int i = 0; i < 5; ++i) EXPECT_EQ(turn()[1], 1u);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(turn()[1], 0u);
  loop.run_for(30s);
  settings.health->look(loop.now(), [](std::string_view, const Health::Verdict&) {});
  EXPECT_EQ(turn()[1], 1u);
  calls.clear();
}

TEST_P(HealthyClusters, WhereNoneMayBeAskedTheAnswerComesAtOnce) {
  config::Outliers rules;
  rules.consecutive = 1;
  rules.share.fraction = 1;
  rules.panic.fraction = 0;
  settings.health = std::make_shared<Health>(rules);
  for (Origin& origin : origins) loop.refuse(origin.address());
  Cluster cluster(settings, addresses(), 1);
  for (int i = 0; i < 3; ++i) call(cluster);
  loop.run_for(1s);
  Call& last = call(cluster);
  loop.run_for(Duration{});
  ASSERT_TRUE(last.response && last.response->fault);
  EXPECT_EQ(last.response->status, 503);
  EXPECT_EQ(last.response->fault->code, Code::no_endpoint);
  EXPECT_EQ(last.response->fault->detail, "no healthy instances for shop");
  calls.clear();
}

TEST_P(HealthyClusters, ATimeoutCountsAndAClientThatGoesDoesNot) {
  config::Outliers rules;
  rules.consecutive = 2;
  settings.health = std::make_shared<Health>(rules);
  Cluster cluster(settings, {addresses()[0], addresses()[1]}, 1);
  auto silent = [&](Duration patience) {
    for (uint64_t i = 0; i < 2; ++i) {
      Call& one = *calls.emplace_back(std::make_unique<Call>(plan, peer, "GET"));
      one.request.tried = 0b10;
      one.request.deadline = loop.now() + 1s;
      one.scope.spawn(Call::run, &one, &cluster);
    }
    loop.run_for(patience);
    calls.clear();
  };
  silent(500ms);
  EXPECT_EQ(settings.health->verdict(cluster.endpoints()[0]->key).state, State::fit);
  silent(1s);
  EXPECT_EQ(settings.health->verdict(cluster.endpoints()[0]->key).state, State::ejected);
}

}  // namespace
}  // namespace portloom::upstream
