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
