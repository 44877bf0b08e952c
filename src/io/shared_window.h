// io/shared_window.h
//
// Window: how often things of several kinds happened lately, over all workers. Each worker counts in a Slice of its own, with a
// load and a store on a cache line that is its alone; whoever has to decide adds the slices up. A count belongs to an era: with the
// next one everything begins at nothing, at no cost.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <utility>

#include "base/duration.h"

namespace portloom::io {

template <size_t kinds>
class Window {
 public:
  static constexpr size_t parts = 10;  // it moves on by a tenth of its length at a time
  using Counts = std::array<uint64_t, kinds>;

  // One worker's. 16 million of a kind in one part are as many as are told.
  class alignas(64) Slice {
   private:
    friend class Window;
    struct Cell {
      std::array<std::atomic<uint64_t>, kinds> counts{};  // era, part and count in one word
    };
    std::array<Cell, parts> cells_{};
    Instant begin_{};  // of the part that is counted in, and its end; the worker's
    Instant end_{};
    uint64_t number_ = 0;
    std::atomic<bool> taken_ = true;
    Slice* next_ = nullptr;
  };

  explicit Window(Duration length) : part_(std::max<int64_t>(1, length.count() / static_cast<int64_t>(parts))) {}
  Window(const Window&) = delete;
  ~Window() {
    for (Slice* slice = first_.load(); slice != nullptr;) delete std::exchange(slice, slice->next_);
  }

  // Any thread, seldom. A slice that was given back is lent again; what was counted there still counts.
  Slice& join() {
    for (Slice* slice = first_.load(); slice != nullptr; slice = slice->next_) {
      bool taken = false;
      if (slice->taken_.compare_exchange_strong(taken, true)) return *slice;
    }
    auto* made = new Slice;
    made->next_ = first_.load();
    while (!first_.compare_exchange_weak(made->next_, made)) {
    }
    return *made;
  }
  static void leave(Slice& slice) { slice.taken_.store(false); }

  // Whose slice it is, in the order of its time.
  void add(Slice& slice, uint32_t era, size_t kind, Instant now) {
    std::atomic<uint64_t>& count = cell(slice, kind, now);
    count.store(one_more(count, era, slice.number_));
  }
  // The same where nobody decides by it: others may see it a moment later.
  void add_quietly(Slice& slice, uint32_t era, size_t kind, Instant now) {
    std::atomic<uint64_t>& count = cell(slice, kind, now);
    count.store(one_more(count, era, slice.number_), std::memory_order_relaxed);
  }
  // Of two that add() at once, at least one sees both.
  Counts sum(uint32_t era, Instant now) const {
    Counts total{};
    uint64_t number = number_of(now);
    for (const Slice* slice = first_.load(); slice != nullptr; slice = slice->next_)
      for (const auto& part : slice->cells_)
        for (size_t kind = 0; kind < kinds; ++kind) {
          uint64_t word = part.counts[kind].load();
          if (counts_in(word >> count_bits, era, number)) total[kind] += word & count_max;
        }
    return total;
  }

 private:
  static constexpr unsigned count_bits = 24;
  static constexpr unsigned number_bits = 24;
  static constexpr uint64_t count_max = (uint64_t{1} << count_bits) - 1;
  static constexpr uint64_t number_max = (uint64_t{1} << number_bits) - 1;

  uint64_t number_of(Instant now) const { return static_cast<uint64_t>(now.time_since_epoch().count() / part_); }
  static uint64_t tag(uint32_t era, uint64_t number) { return uint64_t{era & 0xffffU} << number_bits | (number & number_max); }
  // Another worker's clock may be a little ahead.
  static bool counts_in(uint64_t its_tag, uint32_t era, uint64_t number) {
    if (its_tag >> number_bits != (era & 0xffffU)) return false;
    uint64_t age = (number - its_tag) & number_max;
    return age < parts || age > number_max - parts;
  }
  std::atomic<uint64_t>& cell(Slice& slice, size_t kind, Instant now) {
    if (now < slice.begin_ || now >= slice.end_) {
      slice.number_ = number_of(now);
      slice.begin_ = Instant(Duration(static_cast<int64_t>(slice.number_) * part_));
      slice.end_ = slice.begin_ + Duration(part_);
    }
    return slice.cells_[slice.number_ % parts].counts[kind];
  }
  static uint64_t one_more(const std::atomic<uint64_t>& count, uint32_t era, uint64_t number) {
    uint64_t word = count.load(std::memory_order_relaxed);
    uint64_t now = tag(era, number);
    if (word >> count_bits != now) return now << count_bits | 1;
    return (word & count_max) == count_max ? word : word + 1;
  }

  const int64_t part_;  // nanoseconds
  std::atomic<Slice*> first_ = nullptr;
};

}  // namespace portloom::io
