// telemetry/history.h
//
// History: what a few counts grew by within the last five minutes and the last hour, from looks at their totals. Control thread.
// Bounded: 92 samples of each count, 32 bits each (a count that grows by 2^32 within an hour would be told wrongly).
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/duration.h"

namespace portloom::telemetry {

// A sliding window; it moves by steps, so it is up to one step longer than its name says.
struct Window {
  std::string_view name;
  Duration length;
  Duration step;
  constexpr size_t samples() const { return static_cast<size_t>(length / step) + 1; }
};
inline constexpr std::array<Window, 2> windows = {{{"5m", 5min, 10s}, {"1h", 1h, 1min}}};

template <size_t width>
class History {
 public:
  using Counts = std::array<uint64_t, width>;

  // Totals never fall; those that do belong to somebody new, who begins at 0. Of what came between two looks that are more than a step
  // apart nobody knows when: it counts as the later one's.
  void look(const Counts& totals, Instant now) {
    if (!std::ranges::equal(totals, totals_, std::greater_equal<>())) *this = History();
    short_.look(totals_, totals, now);
    long_.look(totals_, totals, now);
    totals_ = totals;
  }
  // Of windows[which].
  Counts within(size_t which) const { return which == 0 ? short_.grown(totals_) : long_.grown(totals_); }

 private:
  template <size_t which>
  struct Ring {
    static constexpr size_t size = windows[which].samples();
    std::array<std::array<uint32_t, width>, size> samples{};  // by step: the totals as it began
    int64_t step = -1;                                        // the last one; -1: none yet

    void look(const Counts& before, const Counts& totals, Instant now) {
      int64_t current = now.time_since_epoch() / windows[which].step;
      if (step < 0) step = current;
      if (current - step > static_cast<int64_t>(size)) step = current - static_cast<int64_t>(size);
      while (step < current) {
        ++step;
        put(step == current ? totals : before);
      }
    }
    void put(const Counts& totals) {
      std::array<uint32_t, width>& sample = samples[static_cast<size_t>(step) % size];
      for (size_t i = 0; i < width; ++i) sample[i] = static_cast<uint32_t>(totals[i]);
    }
    Counts grown(const Counts& totals) const {
      const std::array<uint32_t, width>& oldest = samples[static_cast<size_t>(step + 1) % size];
      Counts counts;
      for (size_t i = 0; i < width; ++i) counts[i] = static_cast<uint32_t>(totals[i]) - oldest[i];
      return counts;
    }
  };

  Counts totals_{};
  Ring<0> short_;
  Ring<1> long_;
};

}  // namespace portloom::telemetry
