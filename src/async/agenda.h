// async/agenda.h
//
// What a worker has to do next: the ready list (coroutines to resume in this turn) and the timer wheel. io::Loop is an
// Agenda and drives it; SimLoop drives one in virtual time. One per thread; nothing here is shared.
#pragma once

#include <array>
#include <coroutine>
#include <cstdint>

#include "async/list.h"
#include "base/duration.h"

namespace portloom {

// A place in the ready list. Lives in an awaiter; unlinks when the awaiter is dropped.
struct ReadyNode : Link {
  std::coroutine_handle<> handle;
};

// Wakes `node` (by appending it to the ready list) once its deadline has passed. Lives in an awaiter.
struct Timer : Link {
  explicit Timer(ReadyNode& wakes) : node(&wakes) {}
  ReadyNode* node;
  uint64_t tick = 0;
};

// A hierarchical timing wheel (Varghese & Lauck): insert and cancel cost a few instructions, at about 1 ms resolution.
// A timer never fires early; it fires within one tick of its deadline.
class TimerWheel {
 public:
  explicit TimerWheel(Instant start) : tick_(tick_of(start)) {}
  void insert(Timer& timer, Instant deadline);
  // Appends the nodes of all timers due at `now` to `ready`.
  void advance(Instant now, List<ReadyNode>& ready);
  // When to look again at the latest; `never` when no timer is set.
  Instant next() const;

 private:
  static constexpr int levels = 6;
  static constexpr int bits = 6;
  static constexpr uint64_t slots = 1u << bits;
  static constexpr int tick_shift = 20;  // 2^20 ns = 1.05 ms
  static uint64_t tick_of(Instant instant) { return static_cast<uint64_t>(instant.time_since_epoch().count()) >> tick_shift; }
  void place(Timer& timer);
  void cascade(int level);

  uint64_t tick_;
  std::array<uint64_t, levels> occupied_{};  // a bit may be stale (its slot emptied by cancelling), never missing
  std::array<std::array<List<Timer>, slots>, levels> wheel_;
};

class Agenda {
 public:
  explicit Agenda(Instant start) : now_(start), timers_(start) {}
  Agenda(const Agenda&) = delete;
  Agenda& operator=(const Agenda&) = delete;
  virtual ~Agenda() = default;

  // The agenda of this thread. One of the project's two thread-locals.
  static Agenda& current() { return *current_; }
  static void make_current(Agenda* agenda) { current_ = agenda; }

  // The time at the start of this turn: constant within it, so that asking costs nothing.
  Instant now() const { return now_; }
  // The wall clock at (about) the start of this turn, read once per turn that asks.
  WallTime wall_now() {
    if (wall_read_at_ != now_) {
      wall_read_at_ = now_;
      wall_ = std::chrono::time_point_cast<Duration>(std::chrono::system_clock::now());
    }
    return wall_;
  }
  void make_ready(ReadyNode& node) { ready_.push_back(node); }
  void set(Timer& timer, Instant deadline) {
    if (deadline != never) timers_.insert(timer, deadline);
  }
  bool idle() const { return ready_.empty(); }
  Instant next_timer() const { return timers_.next(); }

 protected:
  // Resumes what is ready, including what becomes ready meanwhile, up to `budget` resumptions.
  void run_ready(int budget = 4096);
  void advance_to(Instant now) {
    now_ = now;
    timers_.advance(now, ready_);
  }
  void set_now(Instant now) { now_ = now; }

 private:
  static inline constinit thread_local Agenda* current_ = nullptr;
  Instant now_;
  Instant wall_read_at_ = Instant::min();
  WallTime wall_{};
  List<ReadyNode> ready_;
  TimerWheel timers_;
};

// co_await sleep_until(t): resumes in the first turn at or after `t`.
class [[nodiscard]] SleepAwaiter {
 public:
  explicit SleepAwaiter(Instant deadline) : deadline_(deadline), timer_(node_) {}
  bool await_ready() const { return deadline_ <= Agenda::current().now(); }
  void await_suspend(std::coroutine_handle<> awaiting) {
    node_.handle = awaiting;
    Agenda::current().set(timer_, deadline_);
  }
  void await_resume() const {}

 private:
  Instant deadline_;
  ReadyNode node_;
  Timer timer_;
};
inline SleepAwaiter sleep_until(Instant deadline) { return SleepAwaiter(deadline); }
inline SleepAwaiter sleep_for(Duration duration) { return SleepAwaiter(Agenda::current().now() + duration); }

// co_await yield(): lets the others run; for loops that may never suspend otherwise.
class [[nodiscard]] YieldAwaiter {
 public:
  bool await_ready() const { return false; }
  void await_suspend(std::coroutine_handle<> awaiting) {
    node_.handle = awaiting;
    Agenda::current().make_ready(node_);
  }
  void await_resume() const {}

 private:
  ReadyNode node_;
};
inline YieldAwaiter yield() { return {}; }

}  // namespace portloom
