// Tests of Permits: exact over workers, in order on each, and nobody who waits is forgotten. Two workers in one thread, in virtual
// time, then real ones.
#include "io/permits.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "async/scope.h"
#include "base/random.h"
#include "io/loop.h"
#include "testing/sim_loop.h"

namespace portloom::io {
namespace {

using testing::SimLoop;

enum class Outcome : uint8_t { asking, entered, refused };

struct Asking {
  static Task<void> run(Asking* self, Permits::Line* line, Instant deadline, std::vector<Asking*>* order) {
    bool entered = co_await line->enter(deadline);
    self->outcome = entered ? Outcome::entered : Outcome::refused;
    order->push_back(self);
  }
  Outcome outcome = Outcome::asking;
  Scope scope;
};

// One worker's side of it.
struct Side {
  explicit Side(std::shared_ptr<Permits> permits) : line(std::move(permits)) {}
  ~Side() {
    Agenda::make_current(&loop);
    all.clear();
  }
  Asking& ask(Instant deadline = never) {
    Agenda::make_current(&loop);
    Asking& asking = *all.emplace_back(std::make_unique<Asking>());
    asking.scope.spawn(Asking::run, &asking, &line, deadline, &order);
    run();
    return asking;
  }
  void leave() {
    Agenda::make_current(&loop);
    line.leave();
    run();
  }
  void drop(Asking& asking) {
    Agenda::make_current(&loop);
    std::erase_if(all, [&asking](const auto& one) { return one.get() == &asking; });
    run();
  }
  void run(Duration duration = 1us) {
    Agenda::make_current(&loop);
    loop.run_for(duration);
  }
  SimLoop loop{0};
  Permits::Line line;
  std::vector<std::unique_ptr<Asking>> all;
  std::vector<Asking*> order;
};

TEST(Permits, AsManyAsThereAreOverAllWorkers) {
  auto permits = std::make_shared<Permits>(3, 0);
  Side a(permits), b(permits);
  EXPECT_EQ(a.ask().outcome, Outcome::entered);
  EXPECT_EQ(b.ask().outcome, Outcome::entered);
  EXPECT_EQ(b.ask().outcome, Outcome::entered);
  EXPECT_EQ(a.ask().outcome, Outcome::refused);
  EXPECT_EQ(b.ask().outcome, Outcome::refused);
  EXPECT_EQ(permits->out(), 3u);
  b.leave();
  EXPECT_EQ(a.ask().outcome, Outcome::entered);
  EXPECT_EQ(b.ask().outcome, Outcome::refused);
  for (int i = 0; i < 3; ++i) a.leave();
  EXPECT_EQ(permits->out(), 0u);
}

TEST(Permits, WhoWaitsIsServedInOrder) {
  auto permits = std::make_shared<Permits>(1, 3);
  Side a(permits);
  a.ask();
  Asking& first = a.ask();
  Asking& second = a.ask();
  Asking& third = a.ask();
  EXPECT_EQ(permits->waiting(), 3u);
  EXPECT_EQ(a.ask().outcome, Outcome::refused);  // the line is full
  EXPECT_FALSE(a.line.try_enter());
  a.order.clear();
  for (int i = 0; i < 3; ++i) a.leave();
  EXPECT_EQ(a.order, (std::vector<Asking*>{&first, &second, &third}));
  EXPECT_EQ(permits->waiting(), 0u);
  a.leave();
  EXPECT_EQ(permits->out(), 0u);
}

TEST(Permits, OneThatComesBackWakesAnotherWorker) {
  auto permits = std::make_shared<Permits>(1, 8);
  Side a(permits), b(permits), c(permits);
  a.ask();
  Asking& at_b = b.ask();
  Asking& at_c = c.ask();
  a.leave();
  EXPECT_FALSE(b.line.try_enter());  // the wake is on its way: nobody passes those who wait here
  EXPECT_FALSE(c.line.try_enter());
  b.run();
  c.run();
  EXPECT_NE(at_b.outcome == Outcome::entered, at_c.outcome == Outcome::entered);
  bool b_first = at_b.outcome == Outcome::entered;
  (b_first ? b : c).leave();
  b.run();
  c.run();
  EXPECT_EQ(at_b.outcome, Outcome::entered);
  EXPECT_EQ(at_c.outcome, Outcome::entered);
  (b_first ? c : b).leave();
  EXPECT_EQ(permits->out(), 0u);
  EXPECT_EQ(permits->waiting(), 0u);
}

TEST(Permits, AWakeThatFindsNobodyIsPassedOn) {
  auto permits = std::make_shared<Permits>(1, 8);
  Side a(permits), b(permits), c(permits);
  a.ask();
  Asking& at_b = b.ask();
  Asking& at_c = c.ask();
  a.leave();
  b.drop(at_b);  // the wake may be on its way to it
  c.run();
  b.run();
  c.run();
  EXPECT_EQ(at_c.outcome, Outcome::entered);
  EXPECT_EQ(permits->waiting(), 0u);
  c.leave();
}

TEST(Permits, WaitingEndsAtTheDeadline) {
  auto permits = std::make_shared<Permits>(1, 8);
  Side a(permits);
  a.ask();
  Asking& late = a.ask(a.loop.now() + 50ms);
  Asking& patient = a.ask();
  a.run(40ms);
  EXPECT_EQ(late.outcome, Outcome::asking);
  a.run(20ms);
  EXPECT_EQ(late.outcome, Outcome::refused);
  EXPECT_EQ(permits->waiting(), 1u);
  a.leave();
  EXPECT_EQ(patient.outcome, Outcome::entered);
  a.leave();
}

TEST(Permits, OneThatIsDroppedPassesOnWhatItWasGranted) {
  auto permits = std::make_shared<Permits>(1, 8);
  Side a(permits);
  a.ask();
  Asking& chosen = a.ask();
  Asking& next = a.ask();
  Agenda::make_current(&a.loop);
  a.line.leave();                 // grants it
  EXPECT_EQ(permits->out(), 1u);  // it went from hand to hand
  a.drop(chosen);                 // before it was resumed
  EXPECT_EQ(next.outcome, Outcome::entered);
  EXPECT_EQ(permits->out(), 1u);
  a.leave();
  EXPECT_EQ(permits->out(), 0u);
}

TEST(Permits, ALineThatGoesLeavesNothingBehind) {
  auto permits = std::make_shared<Permits>(1, 8);
  Side a(permits);
  a.ask();
  {
    Side b(permits);
    Asking& waiting = b.ask();
    b.drop(waiting);
  }
  EXPECT_EQ(permits->waiting(), 0u);
  a.leave();
  EXPECT_EQ(permits->out(), 0u);
}

// Three workers that enter, wait, give up and leave at random: never more than there are, and in the end all are back.
TEST(Permits, AtRandom) {
  for (uint64_t seed = 0; seed < 200; ++seed) {
    Random random(seed);
    auto permits = std::make_shared<Permits>(static_cast<uint32_t>(1 + random.below(4)), static_cast<uint32_t>(random.below(6)));
    uint32_t bound = permits->out() + 4;
    std::array<std::unique_ptr<Side>, 3> sides;
    for (auto& side : sides) side = std::make_unique<Side>(permits);
    std::array<size_t, 3> gone{};
    auto held = [&](size_t i) {
      auto entered = [](const auto& one) { return one->outcome == Outcome::entered; };
      return static_cast<size_t>(std::count_if(sides[i]->all.begin(), sides[i]->all.end(), entered)) - gone[i];
    };
    for (int step = 0; step < 300; ++step) {
      size_t i = random.below(3);
      Side& side = *sides[i];
      switch (random.below(4)) {
        case 0: side.ask(side.loop.now() + 5ms); break;
        case 1:
          if (held(i) > 0) {
            ++gone[i];
            side.leave();
          }
          break;
        case 2: side.run(2ms); break;
        default: side.run();
      }
      ASSERT_LE(permits->out(), bound);
      ASSERT_EQ(held(0) + held(1) + held(2), permits->out());
    }
    for (size_t i = 0; i < 3; ++i)
      for (; held(i) > 0; sides[i]->leave()) ++gone[i];
    for (int round = 0; round < 50; ++round)
      for (size_t i = 0; i < 3; ++i) {
        sides[i]->run(1ms);
        for (; held(i) > 0; sides[i]->leave()) ++gone[i];
      }
    EXPECT_EQ(permits->out(), 0u) << "seed " << seed;
    EXPECT_EQ(permits->waiting(), 0u) << "seed " << seed;
  }
}

// Real workers: every request gets its place in the end, and never are more inside than may be.
struct Crowd {
  std::shared_ptr<Permits> permits = std::make_shared<Permits>(4, 1000);
  std::atomic<int> inside = 0;
  std::atomic<int> most = 0;
  std::atomic<int> served = 0;
};

Task<void> visit(Crowd* crowd, Permits::Line* line, int* left) {
  for (int i = 0; i < 200; ++i) {
    bool entered = co_await line->enter(never);
    if (!entered) break;
    int now = ++crowd->inside;
    int most = crowd->most.load();
    while (now > most && !crowd->most.compare_exchange_weak(most, now)) {
    }
    co_await sleep_for(0ms);
    --crowd->inside;
    ++crowd->served;
    line->leave();
  }
  --*left;
}

TEST(Permits, ByRealWorkers) {
  Crowd crowd;
  std::vector<std::thread> workers;
  std::vector<std::unique_ptr<Loop>> loops;  // outlive all threads, as those of workers do
  for (int i = 0; i < 3; ++i) loops.push_back(std::move(*make_loop(Engine::epoll)));
  for (int i = 0; i < 3; ++i)
    workers.emplace_back([&crowd, loop = loops[static_cast<size_t>(i)].get()] {
      Agenda::make_current(loop);
      int left = 8;
      {
        Permits::Line line(crowd.permits);
        Scope scope;
        for (int k = 0; k < 8; ++k) scope.spawn(visit, &crowd, &line, &left);
        while (left > 0) loop->turn(1s);
      }
      Agenda::make_current(nullptr);
    });
  for (std::thread& worker : workers) worker.join();
  EXPECT_EQ(crowd.served.load(), 3 * 8 * 200);
  EXPECT_LE(crowd.most.load(), 4);
  EXPECT_EQ(crowd.permits->out(), 0u);
  EXPECT_EQ(crowd.permits->waiting(), 0u);
}

}  // namespace
}  // namespace portloom::io
