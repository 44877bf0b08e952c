// Tests of Circuit: every transition, in virtual time; random events of several workers against a naive one; and threads.
#include "upstream/circuit.h"

#include <gtest/gtest.h>

#include <deque>
#include <thread>

#include "base/random.h"

namespace portloom::upstream {
namespace {

using State = Circuit::State;
using Outcome = Circuit::Outcome;
using Ticket = Circuit::Ticket;

struct Bed {
  explicit Bed(const config::Breaker& rules, size_t workers = 2) : circuit(std::make_shared<Circuit>(rules)) {
    for (size_t i = 0; i < workers; ++i) seats.push_back(std::make_unique<Circuit::Seat>(circuit));
  }
  bool ask(Outcome outcome, size_t worker = 0) {
    Circuit::Entry entry = circuit->enter(*seats[worker], now);
    if (entry.admitted) circuit->leave(*seats[worker], entry.ticket, outcome, now);
    return entry.admitted;
  }
  std::optional<Ticket> begin(size_t worker = 0) {
    Circuit::Entry entry = circuit->enter(*seats[worker], now);
    return entry.admitted ? std::optional(entry.ticket) : std::nullopt;
  }
  void end(const std::optional<Ticket>& ticket, Outcome outcome, size_t worker = 0) {
    ASSERT_TRUE(ticket);
    circuit->leave(*seats[worker], *ticket, outcome, now);
  }
  State state() { return circuit->view(now).state; }
  std::shared_ptr<Circuit> circuit;
  std::vector<std::unique_ptr<Circuit::Seat>> seats;
  Instant now = Instant{} + 1h;
};

config::Breaker in_a_row(uint32_t failures) {
  config::Breaker rules;
  rules.failures = failures;
  rules.open_for = 5s;
  return rules;
}

TEST(Circuit, OpensAfterSoManyFailuresInARowOverAllWorkers) {
  Bed bed(in_a_row(5));
  for (size_t i = 0; i < 4; ++i) EXPECT_TRUE(bed.ask(Outcome::failed, i % 2));
  EXPECT_EQ(bed.state(), State::closed);
  EXPECT_TRUE(bed.ask(Outcome::good, 1));  // the row is over
  for (size_t i = 0; i < 4; ++i) EXPECT_TRUE(bed.ask(Outcome::failed, i % 2));
  EXPECT_TRUE(bed.ask(Outcome::nothing));  // one of which nobody knows is no part of it
  EXPECT_EQ(bed.state(), State::closed);
  EXPECT_TRUE(bed.ask(Outcome::failed, 1));
  EXPECT_EQ(bed.state(), State::open);
  EXPECT_FALSE(bed.ask(Outcome::good, 0));
  EXPECT_FALSE(bed.ask(Outcome::good, 1));
  EXPECT_EQ(bed.circuit->view(bed.now).refused, 2u);
  EXPECT_EQ(bed.circuit->view(bed.now).reason, Circuit::Reason::failures);
}

TEST(Circuit, IsHalfOpenWhenItsTimeIsOverAndClosesWhenAllProbesWentWell) {
  Bed bed(in_a_row(1));
  bed.ask(Outcome::failed);
  bed.now += 5s - 1ms;
  EXPECT_FALSE(bed.begin());
  EXPECT_EQ(bed.circuit->enter(*bed.seats[0], bed.now).wait, Duration(1ms));
  bed.now += 1ms;
  std::vector<std::optional<Ticket>> probes;
  for (size_t i = 0; i < 3; ++i) probes.push_back(bed.begin(i % 2));
  EXPECT_EQ(bed.state(), State::half_open);
  EXPECT_FALSE(bed.begin());  // three are on their way
  bed.end(probes[0], Outcome::good);
  EXPECT_FALSE(bed.begin());  // and three in all
  bed.end(probes[1], Outcome::good, 1);
  EXPECT_EQ(bed.state(), State::half_open);
  bed.end(probes[2], Outcome::good);
  EXPECT_EQ(bed.state(), State::closed);
  EXPECT_EQ(bed.circuit->view(bed.now).failures_in_a_row, 0u);
  EXPECT_TRUE(bed.begin());
}

TEST(Circuit, AProbeThatFailsOrIsSlowOpensItAgainWithAFreshTimerThatGrows) {
  config::Breaker rules = in_a_row(1);
  rules.open_for_max = 15s;
  Bed bed(rules);
  bed.ask(Outcome::failed);
  for (Duration open_for : {Duration(5s), Duration(10s), Duration(15s), Duration(15s)}) {
    bed.now += open_for - 1ms;
    EXPECT_FALSE(bed.begin()) << open_for;
    bed.now += 1ms;
    std::optional<Ticket> good = bed.begin();
    std::optional<Ticket> bad = bed.begin();
    bed.end(good, Outcome::good);
    bed.end(bad, open_for == Duration(10s) ? Outcome::slow : Outcome::failed);
    EXPECT_EQ(bed.state(), State::open);
    EXPECT_EQ(bed.circuit->view(bed.now).reason, Circuit::Reason::probe);
  }
}

TEST(Circuit, ALostProbeLetsAnotherThroughAndIsStillHeard) {
  config::Breaker rules = in_a_row(1);
  rules.probes = 1;
  Bed bed(rules);
  bed.ask(Outcome::failed);
  bed.now += 5s;
  std::optional<Ticket> gone = bed.begin();
  bed.end(gone, Outcome::nothing);  // its client went: the place is free at once
  std::optional<Ticket> hangs = bed.begin();
  EXPECT_TRUE(hangs);
  EXPECT_FALSE(bed.begin());
  bed.now += 5s;  // the lease
  std::optional<Ticket> second = bed.begin();
  EXPECT_TRUE(second);
  bed.end(hangs, Outcome::failed);  // late
  EXPECT_EQ(bed.state(), State::open);
  bed.end(second, Outcome::good);  // says nothing any more
  EXPECT_EQ(bed.state(), State::open);
}

TEST(Circuit, WhatBeganBeforeATransitionSaysNothingAfterIt) {
  config::Breaker rules = in_a_row(2);
  rules.ramp = Duration{0};
  Bed bed(rules);
  std::vector<std::optional<Ticket>> old;
  for (int i = 0; i < 10; ++i) old.push_back(bed.begin());
  bed.ask(Outcome::failed);
  bed.ask(Outcome::failed);
  EXPECT_EQ(bed.state(), State::open);
  bed.now += 5s;
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(bed.ask(Outcome::good));
  EXPECT_EQ(bed.state(), State::closed);
  for (auto& ticket : old) bed.end(ticket, Outcome::failed);
  EXPECT_EQ(bed.state(), State::closed);
  EXPECT_EQ(bed.circuit->view(bed.now).requests, 0u);
}

TEST(Circuit, OpensByTheShareOfFailuresOnceThereAreEnoughRequests) {
  config::Breaker rules;  // 50 % of at least 20 within 10 s
  Bed bed(rules);
  for (size_t i = 0; i < 19; ++i) bed.ask(Outcome::failed, i % 2);
  EXPECT_EQ(bed.state(), State::closed);
  bed.ask(Outcome::failed, 1);
  EXPECT_EQ(bed.state(), State::open);
  EXPECT_EQ(bed.circuit->view(bed.now).reason, Circuit::Reason::failure_rate);

  Bed other(rules);
  for (size_t i = 0; i < 30; ++i) other.ask(i % 3 == 0 ? Outcome::failed : Outcome::good, i % 2);
  EXPECT_EQ(other.state(), State::closed);
  for (size_t i = 0; i < 9; ++i) other.ask(Outcome::failed);  // 19 of 39
  EXPECT_EQ(other.state(), State::closed);
  other.ask(Outcome::failed);
  EXPECT_EQ(other.state(), State::open);
}

TEST(Circuit, TheWindowForgets) {
  Bed bed(config::Breaker{});
  for (size_t i = 0; i < 19; ++i) bed.ask(Outcome::failed);
  bed.now += 10s;
  bed.ask(Outcome::failed);
  EXPECT_EQ(bed.state(), State::closed);
  EXPECT_EQ(bed.circuit->view(bed.now).requests, 1u);
}

TEST(Circuit, OpensByTheShareOfSlowOnes) {
  config::Breaker rules;
  rules.slow = 1s;
  Bed bed(rules);
  for (size_t i = 0; i < 25; ++i) bed.ask(i < 5 ? Outcome::good : Outcome::slow, i % 2);
  EXPECT_EQ(bed.state(), State::open);  // 20 of 25
  EXPECT_EQ(bed.circuit->view(bed.now).reason, Circuit::Reason::slow_rate);
}

TEST(Circuit, RampsAfterItHasClosedAndIsThenWellAgain) {
  config::Breaker rules = in_a_row(3);
  rules.probes = 2;
  Bed bed(rules);
  auto open = [&] {
    for (int i = 0; i < 3; ++i) bed.ask(Outcome::failed);
  };
  open();
  bed.now += 5s;
  bed.ask(Outcome::good);
  bed.ask(Outcome::good);
  EXPECT_EQ(bed.state(), State::closed);
  EXPECT_TRUE(bed.circuit->view(bed.now).ramping);
  std::deque<std::optional<Ticket>> flying;
  flying.push_back(bed.begin());
  flying.push_back(bed.begin(1));
  EXPECT_FALSE(bed.begin());  // two at once, as many as there were probes
  bed.end(flying.front(), Outcome::good);
  flying.pop_front();
  flying.push_back(bed.begin());
  flying.push_back(bed.begin());
  EXPECT_FALSE(bed.begin());  // three
  open();                     // whoever asks is refused: nothing changes
  EXPECT_EQ(bed.state(), State::closed);
  for (auto& one : flying) bed.end(one, Outcome::failed);
  EXPECT_EQ(bed.state(), State::open);  // before it was well: longer
  EXPECT_EQ(bed.circuit->view(bed.now).until - bed.now, Duration(10s));
  bed.now += 10s;
  bed.ask(Outcome::good);
  bed.ask(Outcome::good);
  bed.now += 10s;  // the ramp is over
  for (int i = 0; i < 20; ++i) flying.push_back(bed.begin());
  EXPECT_FALSE(bed.circuit->view(bed.now).ramping);
  open();
  EXPECT_EQ(bed.circuit->view(bed.now).until - bed.now, Duration(5s));
}

TEST(Circuit, AnOperatorHoldsItOpenOrClosed) {
  Bed bed(in_a_row(1));
  bed.circuit->hold(Circuit::Hold::open, bed.now);
  bed.now += 1h;
  bed.circuit->look(bed.now);
  EXPECT_FALSE(bed.ask(Outcome::good));
  EXPECT_TRUE(bed.circuit->view(bed.now).held);
  bed.circuit->hold(Circuit::Hold::closed, bed.now);
  for (int i = 0; i < 50; ++i) EXPECT_TRUE(bed.ask(Outcome::failed));
  EXPECT_EQ(bed.state(), State::closed);
  bed.circuit->hold(Circuit::Hold::none, bed.now);
  EXPECT_TRUE(bed.ask(Outcome::failed));
  EXPECT_EQ(bed.state(), State::open);
  bed.circuit->hold(Circuit::Hold::none, bed.now);  // begins anew
  EXPECT_TRUE(bed.ask(Outcome::good));
}

TEST(Circuit, TellsOfItsTransitions) {
  Bed bed(in_a_row(1));
  uint64_t seen = 0;
  EXPECT_TRUE(bed.circuit->news(seen).empty());
  bed.ask(Outcome::failed);
  bed.now += 5s;
  bed.circuit->look(bed.now);
  std::vector<Circuit::Transition> news = bed.circuit->news(seen);
  ASSERT_EQ(news.size(), 2u);
  EXPECT_EQ(news[0].to, State::open);
  EXPECT_EQ(news[0].open_for, Duration(5s));
  EXPECT_EQ(news[1].to, State::half_open);
  EXPECT_TRUE(bed.circuit->news(seen).empty());
  for (int i = 0; i < 30; ++i) bed.circuit->hold(i % 2 == 0 ? Circuit::Hold::open : Circuit::Hold::closed, bed.now);
  EXPECT_EQ(bed.circuit->news(seen).size(), 8u);  // the last ones
  EXPECT_EQ(seen, 32u);
}

// ---- against a naive one

// The same rules, written as they are told: one list of what has happened, looked through each time.
class Naive {
 public:
  struct Pass {
    int number = 0;
    uint64_t era = 0;
    char way = 'c';  // counted, ramp, probe
    Instant lease{};
  };
  explicit Naive(const config::Breaker& of) : rules(of) {}

  std::optional<Pass> enter(Instant now) {
    if (state == State::open && now < until) return std::nullopt;
    if (state == State::open) state = State::half_open, ++era, leases.clear(), good = 0;
    if (state == State::half_open) {
      std::erase_if(leases, [&](const Pass& one) { return one.lease <= now; });
      if (leases.size() + good >= rules.probes) return std::nullopt;
      leases.push_back({++passes, era, 'p', now + rules.open_for});
      return leases.back();
    }
    if (ramping && now >= ramp_end) ramping = false, openings = 0;
    if (!ramping) return Pass{++passes, era, 'c', {}};
    if (flying >= flying_max) return std::nullopt;
    ++flying;
    return Pass{++passes, era, 'r', {}};
  }
  void leave(const Pass& pass, Outcome outcome, Instant now) {
    if (pass.era != era) return;
    if (pass.way == 'p') {
      std::erase_if(leases, [&](const Pass& one) { return one.number == pass.number; });
      if (outcome == Outcome::failed || outcome == Outcome::slow) return open(now);
      if (outcome == Outcome::good && ++good >= rules.probes) close(now);
      return;
    }
    if (pass.way == 'r') {
      --flying;
      if (outcome == Outcome::good) ++flying_max;
    }
    if (outcome == Outcome::nothing) return;
    events.push_back({part(now), outcome});
    row = outcome == Outcome::failed ? row + 1 : 0;
    if (outcome == Outcome::good) return;
    if (outcome == Outcome::failed && rules.failures && row >= *rules.failures) return open(now);
    double all = 0, failed = 0, slow = 0;
    for (const auto& [when, what] : events) {
      if (part(now) - when >= 10) continue;
      all += 1;
      failed += what == Outcome::failed ? 1 : 0;
      slow += what == Outcome::slow ? 1 : 0;
    }
    if (all < rules.volume) return;
    if (failed / all >= rules.failure_rate.fraction || (rules.slow && slow / all >= rules.slow_rate.fraction)) open(now);
  }
  void open(Instant now) {
    bool recovering = state == State::half_open || (ramping && now < ramp_end);
    openings = recovering ? openings + 1 : 1;
    Duration open_for = rules.open_for;
    for (int i = 1; i < openings; ++i) open_for = std::min(open_for * 2, rules.longest());
    state = State::open, until = now + open_for, ramping = false, begin_anew();
  }
  void close(Instant now) {
    state = State::closed, ramping = rules.ramp > Duration{}, ramp_end = now + rules.ramp, flying = 0, flying_max = rules.probes;
    if (!ramping) openings = 0;
    begin_anew();
  }
  void begin_anew() { ++era, events.clear(), row = 0; }
  int64_t part(Instant now) const { return now.time_since_epoch() / (rules.window / 10); }

  config::Breaker rules;
  State state = State::closed;
  std::vector<std::pair<int64_t, Outcome>> events;
  std::vector<Pass> leases;
  uint64_t era = 0;
  uint32_t row = 0, good = 0, flying = 0, flying_max = 0;
  int openings = 0, passes = 0;
  bool ramping = false;
  Instant until{}, ramp_end{};
};

config::Breaker any_rules(Random& random) {
  config::Breaker rules;
  if (random.below(2) == 0) rules.failures = static_cast<uint32_t>(1 + random.below(6));
  rules.failure_rate.fraction = 0.2 + 0.1 * static_cast<double>(random.below(8));
  if (random.below(2) == 0) rules.slow = 1s;
  rules.slow_rate.fraction = 0.3 + 0.1 * static_cast<double>(random.below(7));
  rules.window = 1s * static_cast<int64_t>(1 + random.below(10));
  rules.volume = static_cast<uint32_t>(1 + random.below(30));
  rules.open_for = 100ms * static_cast<int64_t>(1 + random.below(30));
  rules.open_for_max = rules.open_for * static_cast<int64_t>(1 + random.below(8));
  rules.probes = static_cast<uint32_t>(1 + random.below(5));
  rules.ramp = 1s * static_cast<int64_t>(random.below(6));
  return rules;
}

TEST(Circuit, AgreesWithANaiveOneWhateverHappens) {
  std::array<size_t, 3> seen{};
  for (uint64_t seed = 0; seed < 200; ++seed) {
    Random random(seed);
    config::Breaker rules = any_rules(random);
    constexpr size_t workers = 3;
    Bed bed(rules, workers);
    Naive naive(rules);
    struct Flying {
      Ticket ticket;
      Naive::Pass pass;
      size_t worker;
    };
    std::vector<Flying> flying;
    uint64_t failing = random.below(100);
    for (int step = 0; step < 3000; ++step) {
      size_t worker = random.below(workers);
      if (random.below(200) == 0) failing = random.below(100);
      uint64_t what = random.below(10);
      if (what < 5) {
        std::optional<Ticket> ticket = bed.begin(worker);
        std::optional<Naive::Pass> pass = naive.enter(bed.now);
        ASSERT_EQ(ticket.has_value(), pass.has_value()) << "seed " << seed << " step " << step;
        if (ticket) flying.push_back({*ticket, *pass, worker});
      } else if (what < 9 && !flying.empty()) {
        size_t which = random.below(flying.size());
        Flying one = flying[which];
        flying.erase(flying.begin() + static_cast<ptrdiff_t>(which));
        Outcome outcome = random.below(100) < failing ? (random.below(3) == 0 ? Outcome::slow : Outcome::failed)
                          : random.below(10) == 0     ? Outcome::nothing
                                                      : Outcome::good;
        bed.end(one.ticket, outcome, one.worker);
        naive.leave(one.pass, outcome, bed.now);
      } else if (what == 9) {
        bed.now += 1ms * static_cast<int64_t>(random.below(random.below(20) == 0 ? 5000 : 50));
      }
      ASSERT_EQ(bed.state(), naive.state) << "seed " << seed << " step " << step;
      ++seen[static_cast<size_t>(bed.state())];
    }
    EXPECT_EQ(bed.circuit->view(bed.now).failures_in_a_row, naive.state == State::closed ? naive.row : 0);
  }
  for (size_t steps : seen) EXPECT_GT(steps, 1000u);
}

// ---- all workers at once

TEST(Circuit, ThreadsOpenItExactlyOnceAndNoFailureIsLost) {
  constexpr int rounds = 200;
  constexpr size_t workers = 4;
  constexpr uint32_t each = 50;
  for (int round = 0; round < rounds; ++round) {
    config::Breaker rules = in_a_row(workers * each);
    rules.volume = 1'000'000;
    Bed bed(rules, workers);
    std::vector<std::jthread> threads;
    for (size_t worker = 0; worker < workers; ++worker)
      threads.emplace_back([&bed, worker] {
        for (uint32_t i = 0; i < each; ++i) bed.ask(Outcome::failed, worker);
      });
    threads.clear();
    ASSERT_EQ(bed.state(), State::open);
    ASSERT_EQ(bed.circuit->view(bed.now).transitions[static_cast<size_t>(State::open)], 1u);
  }
}

TEST(Circuit, ThreadsFailingTogetherAreSeenByAtLeastOne) {
  for (int round = 0; round < 200; ++round) {
    config::Breaker rules;
    rules.volume = 40;
    rules.failure_rate.fraction = 1;
    Bed bed(rules, 4);
    std::vector<std::jthread> threads;
    for (size_t worker = 0; worker < 4; ++worker)
      threads.emplace_back([&bed, worker] {
        for (int i = 0; i < 10; ++i) bed.ask(Outcome::failed, worker);
      });
    threads.clear();
    ASSERT_EQ(bed.state(), State::open) << round;
  }
}

TEST(Circuit, ThreadsGetNoMoreProbesThanThereAre) {
  for (int round = 0; round < 200; ++round) {
    config::Breaker rules = in_a_row(1);
    rules.probes = 3;
    Bed bed(rules, 4);
    bed.ask(Outcome::failed);
    bed.now += 5s;
    std::array<int, 4> admitted{};
    std::vector<std::jthread> threads;
    for (size_t worker = 0; worker < 4; ++worker)
      threads.emplace_back([&, worker] {
        for (int i = 0; i < 5; ++i) admitted[worker] += bed.begin(worker).has_value() ? 1 : 0;
      });
    threads.clear();
    ASSERT_EQ(admitted[0] + admitted[1] + admitted[2] + admitted[3], 3);
  }
}

}  // namespace
}  // namespace portloom::upstream
