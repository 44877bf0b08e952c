// Tests of async/ in virtual time: tasks, timers, races, scopes, queues and gates, and what dropping each of them does.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "async/agenda.h"
#include "async/event.h"
#include "async/gate.h"
#include "async/group.h"
#include "async/queue.h"
#include "async/race.h"
#include "async/scope.h"
#include "async/task.h"

namespace portloom {
namespace {

class VirtualAgenda final : public Agenda {
 public:
  VirtualAgenda() : Agenda(Instant{}) { make_current(this); }
  ~VirtualAgenda() override { make_current(nullptr); }
  void run() { run_ready(); }
  void pass(Duration duration) {
    Instant end = now() + duration;
    run_ready();
    while (next_timer() <= end) {
      advance_to(std::max(now(), next_timer()));
      run_ready();
    }
    advance_to(end);
    run_ready();
  }
};

struct Trace {
  std::shared_ptr<std::vector<std::string>> lines = std::make_shared<std::vector<std::string>>();
  void add(std::string line) { lines->push_back(std::move(line)); }
};
struct Dropped {
  Trace trace;
  std::string name;
  ~Dropped() { trace.add("dropped " + name); }
};

Task<int> after(Duration duration, int value) {
  co_await sleep_for(duration);
  co_return value;
}
Task<int> at_once(int value) { co_return value; }
[[clang::coro_wrapper]] Task<int> passing(int value) { return ready(value); }

Task<void> note(Trace trace, Duration duration, std::string line) {
  Dropped guard{trace, line};
  co_await sleep_for(duration);
  trace.add(line);
}

class Async : public testing::Test {
 protected:
  VirtualAgenda agenda;
  Trace trace;
  Scope scope;  // dropped before the agenda
};

TEST_F(Async, AReadyTaskNeedsNoFrame) {
  Task<int> task = passing(7);
  EXPECT_TRUE(task.done());
  EXPECT_EQ(task.take(), 7);
}

TEST_F(Async, StartRunsUntilTheFirstSuspension) {
  Task<int> quick = at_once(1);
  EXPECT_FALSE(quick.done());
  EXPECT_TRUE(quick.start());
  Task<int> slow = after(1s, 2);
  EXPECT_FALSE(slow.start());
  agenda.pass(2s);
  EXPECT_TRUE(slow.done());
}

TEST_F(Async, TimersFireInOrderAndNeverEarly) {
  for (int ms : {5, 1, 70, 4100, 300000, 64, 63, 65, 128}) {
    scope.spawn(
        [](Trace out, int duration) -> Task<void> {
          Instant due = Agenda::current().now() + std::chrono::milliseconds(duration);
          co_await sleep_until(due);
          EXPECT_GE(Agenda::current().now(), due);
          EXPECT_LE(Agenda::current().now(), due + 3ms);
          out.add(std::to_string(duration));
        },
        trace, ms);
  }
  agenda.pass(400s);
  EXPECT_EQ(*trace.lines, (std::vector<std::string>{"1", "5", "63", "64", "65", "70", "128", "4100", "300000"}));
}

TEST_F(Async, BeforeGivesTheValueOrNothing) {
  scope.spawn(
      [](Trace out) -> Task<void> {
        Instant deadline = Agenda::current().now() + 1s;
        std::optional<int> in_time = co_await before(deadline, after(500ms, 1));
        out.add(in_time ? "in time" : "late");
        std::optional<int> late = co_await before(deadline, after(5s, 2));
        out.add(late ? "in time" : "late");
        std::optional<int> at_once_value = co_await before(deadline, at_once(3));
        out.add(at_once_value ? "in time" : "late");
      },
      trace);
  agenda.pass(10s);
  EXPECT_EQ(*trace.lines, (std::vector<std::string>{"in time", "late", "in time"}));
}

TEST_F(Async, UnlessIsEndedByTheEvent) {
  auto event = std::make_shared<Event>();
  scope.spawn(
      [](Trace out, std::shared_ptr<Event> gone) -> Task<void> {
        std::optional<int> value = co_await unless(*gone, after(10s, 1));
        out.add(value ? "value" : "gone");
      },
      trace, event);
  agenda.pass(1s);
  event->set();
  agenda.run();
  EXPECT_EQ(*trace.lines, std::vector<std::string>{"gone"});
}

TEST_F(Async, AllWaitsForEveryoneAndAnyForOne) {
  scope.spawn(
      [](Trace out) -> Task<void> {
        auto both = co_await all(after(1s, 1), after(2s, 2), at_once(3));
        out.add(std::to_string(std::get<0>(both) + std::get<1>(both) + std::get<2>(both)));
        auto first = co_await any(after(5s, 1), after(1s, 2));
        out.add(std::get<0>(first) ? "slow" : "fast");
      },
      trace);
  agenda.pass(2500ms);
  EXPECT_EQ(*trace.lines, std::vector<std::string>{"6"});
  agenda.pass(1s);
  EXPECT_EQ(trace.lines->back(), "fast");
}

TEST_F(Async, TwoThatFinishInOneTurnResumeAnyOnce) {
  scope.spawn(
      [](Trace out) -> Task<void> {
        auto both = co_await any(after(1s, 1), after(1s, 2));
        out.add(std::get<0>(both) ? "first" : "second");
      },
      trace);
  agenda.pass(3s);
  EXPECT_EQ(*trace.lines, std::vector<std::string>{"first"});
}

TEST_F(Async, DroppingAScopeDropsItsChildren) {
  {
    Scope inner;
    inner.spawn(note, trace, Duration{10s}, std::string("child"));
    agenda.pass(1s);
    EXPECT_EQ(inner.size(), 1u);
  }
  agenda.pass(20s);
  EXPECT_EQ(*trace.lines, std::vector<std::string>{"dropped child"});
}

TEST_F(Async, QueuePassesOnInOrderAndRefusesWhenFull) {
  auto queue = std::make_shared<Queue<int>>(2);
  EXPECT_TRUE(queue->push(1));
  EXPECT_TRUE(queue->push(2));
  EXPECT_FALSE(queue->push(3));
  scope.spawn(
      [](Trace out, std::shared_ptr<Queue<int>> from) -> Task<void> {
        while (true) {
          std::optional<int> item = co_await from->pop();
          if (!item) break;
          out.add(std::to_string(*item));
        }
        out.add("end");
      },
      trace, queue);
  agenda.run();
  queue->push(4);
  agenda.run();
  queue->close();
  agenda.run();
  EXPECT_EQ(*trace.lines, (std::vector<std::string>{"1", "2", "4", "end"}));
}

TEST_F(Async, GateAdmitsInOrderAndADroppedWaiterLosesNoPermit) {
  auto gate = std::make_shared<Gate>(1);
  auto enter = [](Trace out, std::shared_ptr<Gate> through, std::string name) -> Task<void> {
    Gate::Permit permit = co_await through->enter();
    out.add(name);
    co_await sleep_for(1s);
  };
  scope.spawn(enter, trace, gate, std::string("a"));
  auto dropped = std::make_unique<Scope>();
  dropped->spawn(enter, trace, gate, std::string("b"));
  scope.spawn(enter, trace, gate, std::string("c"));
  agenda.run();
  dropped.reset();
  agenda.pass(3s);
  EXPECT_EQ(*trace.lines, (std::vector<std::string>{"a", "c"}));
  EXPECT_EQ(gate->free(), 1u);
}

TEST_F(Async, ANamedTaskThatWasLateGoesOnAndCanBeAwaitedAgain) {
  scope.spawn(
      [](Trace out) -> Task<void> {
        Task<int> slow = after(2s, 7);
        std::optional<int> late = co_await before(Agenda::current().now() + 1s, slow);
        out.add(late ? "in time" : "late");
        co_await sleep_for(3s);  // it finishes meanwhile, and must not resume us here
        out.add(Agenda::current().now() >= Instant{4s} ? "slept" : "woken");
        out.add(std::to_string(co_await slow));
      },
      trace);
  agenda.pass(10s);
  EXPECT_EQ(*trace.lines, (std::vector<std::string>{"late", "slept", "7"}));
}

TEST_F(Async, ANamedLoserOfARaceMayFinishLater) {
  scope.spawn(
      [](Trace out) -> Task<void> {
        Task<int> slow = after(2s, 2);
        auto first = co_await any(after(1s, 1), std::move(slow));
        out.add(std::get<1>(first) ? "slow" : "fast");
        out.add(std::to_string(co_await slow));
      },
      trace);
  agenda.pass(10s);
  EXPECT_EQ(*trace.lines, (std::vector<std::string>{"fast", "2"}));
}

TEST_F(Async, ADeadlineAndAValueInOneTurnGiveTheValueOrNothingButOnlyOnce) {
  scope.spawn(
      [](Trace out) -> Task<void> {
        for (int i = 0; i < 2; ++i) {
          Instant both = Agenda::current().now() + 1s;
          std::optional<int> value = co_await before(both, after(1s, 1));
          out.add(value ? "value" : "late");
        }
      },
      trace);
  agenda.pass(5s);
  EXPECT_EQ(trace.lines->size(), 2u);
}

TEST_F(Async, WaitersDroppedAfterTheyWereChosenPassOnWhatTheyHad) {
  auto gate = std::make_shared<Gate>(1);
  auto queue = std::make_shared<Queue<int>>(4);
  Event event;
  std::optional<Gate::Permit> held;
  auto take_permit = [](std::shared_ptr<Gate> from, std::optional<Gate::Permit>* out) -> Task<void> {
    out->emplace(co_await from->enter());
  };
  scope.spawn(take_permit, gate, &held);
  agenda.run();
  auto wait_for_all = [](Trace out, std::shared_ptr<Gate> through, std::string name) -> Task<void> {
    Gate::Permit permit = co_await through->enter();
    out.add(name + " entered");
  };
  auto pop = [](Trace out, std::shared_ptr<Queue<int>> from, std::string name) -> Task<void> {
    std::optional<int> item = co_await from->pop();
    out.add(name + " got " + std::to_string(item.value_or(-1)));
  };
  auto wait = [](Trace out, Event* on) -> Task<void> {
    co_await on->wait();
    out.add("event");
  };
  auto dropped = std::make_unique<Scope>();
  dropped->spawn(wait_for_all, trace, gate, std::string("dropped"));
  dropped->spawn(pop, trace, queue, std::string("dropped"));
  dropped->spawn(wait, trace, &event);
  agenda.run();
  scope.spawn(wait_for_all, trace, gate, std::string("next"));
  scope.spawn(pop, trace, queue, std::string("next"));
  agenda.run();
  held.reset();    // chooses the waiter of `dropped`
  queue->push(5);  // and so does this
  event.set();
  dropped.reset();
  agenda.run();
  EXPECT_EQ(*trace.lines, (std::vector<std::string>{"next entered", "next got 5"}));
  EXPECT_EQ(gate->free(), 1u);
}

// Against the simplest model: every timer fires once, in [deadline, deadline + 2 ticks], and a cancelled one never.
TEST(TimerWheel, KeepsTimeOverAllLevelsWithCancelling) {
  struct Entry {
    ReadyNode node;
    Timer timer{node};
    Instant deadline;
    bool cancelled = false;
    bool fired = false;
  };
  uint64_t state = 42;
  auto random = [&state](uint64_t bound) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (state >> 33) % bound;
  };
  constexpr Duration tick{1 << 20};
  Instant now{Duration{(int64_t{1} << 44) - (int64_t{1} << 30)}};  // just before several levels turn over
  TimerWheel wheel(now);
  std::vector<std::unique_ptr<Entry>> entries;
  for (int round = 0; round < 4000; ++round) {
    auto& entry = *entries.emplace_back(std::make_unique<Entry>());
    uint64_t reach = uint64_t{1} << (random(37) + 1);  // up to two minutes, mostly short
    entry.deadline = now + Duration{static_cast<int64_t>(random(reach))};
    wheel.insert(entry.timer, entry.deadline);
    if (random(3) == 0) {
      Entry& other = *entries[random(entries.size())];
      other.cancelled |= !other.fired;
      other.timer.unlink();
    }
    if (random(2) == 0) continue;
    Instant until = now + Duration{static_cast<int64_t>(random(uint64_t{1} << (random(32) + 1)))};
    while (now < until) {
      Instant next = wheel.next();
      ASSERT_GT(next, now);
      now = std::min(next, until);
      List<ReadyNode> ready;
      wheel.advance(now, ready);
      while (ReadyNode* node = ready.pop_front())
        for (auto& fired : entries)
          if (&fired->node == node) {
            EXPECT_FALSE(fired->fired || fired->cancelled);
            EXPECT_GE(now, fired->deadline);
            EXPECT_LE(now, fired->deadline + 2 * tick);
            fired->fired = true;
          }
    }
    for (auto& entry_at : entries)
      if (!entry_at->fired && !entry_at->cancelled) ASSERT_GT(entry_at->deadline + 2 * tick, now);
  }
}

TEST_F(Async, GroupYieldsInOrderOfFinishing) {
  scope.spawn(
      [](Trace out) -> Task<void> {
        Group<int> group(3);
        group.add(after, Duration{2s}, 2);
        group.add(after, Duration{1s}, 1);
        group.add(after, Duration{3s}, 3);
        EXPECT_FALSE(group.add(after, Duration{1s}, 4));
        while (true) {
          std::optional<int> value = co_await group.next();
          if (!value) break;
          out.add(std::to_string(*value));
        }
      },
      trace);
  agenda.pass(5s);
  EXPECT_EQ(*trace.lines, (std::vector<std::string>{"1", "2", "3"}));
}

}  // namespace
}  // namespace portloom
