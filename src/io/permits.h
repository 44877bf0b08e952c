// io/permits.h
//
// Permits: at most so many are out at once over all workers, exactly; who finds none may wait. One word counts both. Each worker
// has a Line, in which its own waiters stand in order of arrival: a permit that comes back goes to the line of the worker that
// gives it, else one other worker with waiters is woken by its mailbox. While one is free and somebody waits, a wake is on its way.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "async/agenda.h"
#include "async/task.h"
#include "io/mailbox.h"
#include "io/shared.h"

namespace portloom::io {

class Permits {
 public:
  Permits(uint32_t out_max, uint32_t waiting_max) : out_max_(out_max), waiting_max_(waiting_max) {}
  // So many may be out from now on. Where that is less than are, those that come back are given to nobody.
  void resize(uint32_t out_max);
  uint32_t out() const { return out_of(word_.load()); }
  uint32_t waiting() const { return waiting_of(word_.load()); }

  class Line;

 private:
  struct Waiting : Link {
    ReadyNode node;
    bool granted = false;
  };
  struct Queue;
  struct Entry {
    std::shared_ptr<Queue> queue;
    Mailbox* mailbox;
    bool waits;
  };
  enum class Joined : uint8_t { entered, waits, full };

  static uint32_t out_of(uint64_t word) { return static_cast<uint32_t>(word); }
  static uint32_t waiting_of(uint64_t word) { return static_cast<uint32_t>(word >> 32); }
  static constexpr uint64_t one_waiting = uint64_t{1} << 32;
  bool take();                     // one that is free
  bool take_for_waiting();         // the same, for one that waits
  Joined join(bool may_overtake);  // takes one that is free, if it may, else waits
  // One comes back: to somebody who waits (true), or to nobody.
  bool pass_on();
  void give_back();
  void wake_one(const Queue* but);

  uint32_t out_max() const { return static_cast<uint32_t>(out_max_.load()); }

  Word out_max_;
  const uint32_t waiting_max_;
  Word word_;                          // how many are out, and above them how many wait
  Guarded<std::vector<Entry>> lines_;  // those where somebody has waited
};

// One worker's place to ask at. Made and used there; nobody waits in it any more when it goes.
class Permits::Line {
 public:
  explicit Line(std::shared_ptr<Permits> permits);
  Line(const Line&) = delete;
  ~Line();

  // Without waiting, and never past those who wait here.
  bool try_enter();
  // True: one is the caller's, who calls leave() in the end. False: too many wait, or `deadline` has passed.
  Task<bool> enter(Instant deadline);
  void leave();
  const Permits& permits() const { return *permits_; }

 private:
  class Turn;
  static Task<bool> stand(Line* self);
  void announce();

  std::shared_ptr<Permits> permits_;
  std::shared_ptr<Queue> queue_;
};

}  // namespace portloom::io
