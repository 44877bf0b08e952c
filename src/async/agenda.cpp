// async/agenda.cpp
//
// The timing wheel and the loop that resumes what is ready.
#include "async/agenda.h"

#include <algorithm>
#include <bit>

namespace portloom {

void TimerWheel::insert(Timer& timer, Instant deadline) {
  uint64_t deadline_ns = static_cast<uint64_t>(deadline.time_since_epoch().count());
  uint64_t tick = (deadline_ns >> tick_shift) + 1;  // rounded up: a timer is never early
  timer.tick = std::max(tick, tick_ + 1);
  place(timer);
}

void TimerWheel::place(Timer& timer) {
  uint64_t delta = timer.tick - tick_;
  int level = delta < slots ? 0 : std::min(levels - 1, (static_cast<int>(std::bit_width(delta)) - 1) / bits);
  uint64_t reach = uint64_t{1} << (bits * levels);
  uint64_t tick = delta < reach ? timer.tick : tick_ + reach - 1;  // further away than the wheel turns: looked at again then
  uint64_t slot = (tick >> (bits * level)) & (slots - 1);
  wheel_[static_cast<size_t>(level)][slot].push_back(timer);
  occupied_[static_cast<size_t>(level)] |= uint64_t{1} << slot;
}

void TimerWheel::cascade(int level) {
  if (level == levels) return;
  uint64_t slot = (tick_ >> (bits * level)) & (slots - 1);
  if (slot == 0) cascade(level + 1);
  occupied_[static_cast<size_t>(level)] &= ~(uint64_t{1} << slot);
  List<Timer> due;
  due.take_all(wheel_[static_cast<size_t>(level)][slot]);
  while (Timer* timer = due.pop_front()) place(*timer);
}

void TimerWheel::advance(Instant now, List<ReadyNode>& ready) {
  uint64_t target = tick_of(now);
  while (tick_ < target) {
    uint64_t index = tick_ & (slots - 1);
    uint64_t later = occupied_[0] & ~((uint64_t{2} << index) - 1);
    uint64_t next = later != 0 ? (tick_ & ~(slots - 1)) + static_cast<uint64_t>(std::countr_zero(later)) : (tick_ | (slots - 1)) + 1;
    if (next > target) {
      tick_ = target;
      return;
    }
    tick_ = next;
    if ((tick_ & (slots - 1)) == 0) cascade(1);
    uint64_t slot = tick_ & (slots - 1);
    occupied_[0] &= ~(uint64_t{1} << slot);
    while (Timer* timer = wheel_[0][slot].pop_front()) ready.push_back(*timer->node);
  }
}

Instant TimerWheel::next() const {
  uint64_t earliest = UINT64_MAX;
  for (int level = 0; level < levels; ++level) {
    uint64_t occupied = occupied_[static_cast<size_t>(level)];
    if (occupied == 0) continue;
    uint64_t position = tick_ >> (bits * level);
    uint64_t rotated = std::rotr(occupied, static_cast<int>((position + 1) & (slots - 1)));
    uint64_t steps = static_cast<uint64_t>(std::countr_zero(rotated)) + 1;
    earliest = std::min(earliest, (position + steps) << (bits * level));
  }
  if (earliest == UINT64_MAX) return never;
  return Instant{Duration{static_cast<int64_t>(earliest << tick_shift)}};
}

void Agenda::run_ready(int budget) {
  while (budget-- > 0) {
    ReadyNode* node = ready_.pop_front();
    if (node == nullptr) return;
    node->handle.resume();
  }
}

}  // namespace portloom
