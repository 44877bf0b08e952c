// base/counters.h
//
// Numbers that one thread counts and any thread reads. The writer loads, adds and stores: no locked instruction, no
// shared cache line that it does not own. Also the two ways in which telemetry hands things to another thread: Published
// (one word, one writer) and Guarded (a value behind a lock, for what is rare: never on the path of a request).
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <utility>

#include "base/duration.h"

namespace portloom {

// Only the owning thread adds; wraps at 2^64. A gauge adds a negative number too: read it with as_signed().
class Counter {
 public:
  Counter() = default;
  Counter(const Counter&) = delete;
  Counter& operator=(const Counter&) = delete;
  void add(uint64_t count = 1) { value_.store(value_.load(std::memory_order_relaxed) + count, std::memory_order_relaxed); }
  void add_signed(int64_t change) { add(static_cast<uint64_t>(change)); }
  // Any thread.
  uint64_t value() const { return value_.load(std::memory_order_relaxed); }
  int64_t as_signed() const { return static_cast<int64_t>(value()); }

 private:
  std::atomic<uint64_t> value_ = 0;
};

// One word with one writer: what was written before store() is seen by whoever saw the word.
template <class T>
class Published {
 public:
  Published() = default;
  explicit Published(T initial) : value_(initial) {}
  Published(const Published&) = delete;
  Published& operator=(const Published&) = delete;
  void store(T value) { value_.store(value, std::memory_order_release); }
  T load() const { return value_.load(std::memory_order_acquire); }
  // For the writer, which knows what it wrote.
  T own() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<T> value_{};
};

template <class T>
class Guarded {
 public:
  // Runs `use(T&)` under the lock; returns what it returns.
  template <class Use>
  auto with(Use use) {
    std::lock_guard lock(mutex_);
    return use(value_);
  }
  template <class Use>
  auto with(Use use) const {
    std::lock_guard lock(mutex_);
    return use(std::as_const(value_));
  }

 private:
  mutable std::mutex mutex_;
  T value_;
};

// How long things took, in fixed buckets from 0.5 ms to 60 s. One thread records, any thread reads.
class Histogram {
 public:
  // Upper bounds, inclusive, as Prometheus counts; one more bucket takes what is over the last.
  static constexpr std::array<Duration, 16> bounds = {500us, 1ms,   2500us, 5ms,    10ms, 25ms, 50ms, 100ms,
                                                      250ms, 500ms, 1s,     2500ms, 5s,   10s,  30s,  60s};
  // The same in seconds, as the page writes them.
  static constexpr std::array<const char*, 16> labels = {"0.0005", "0.001", "0.0025", "0.005", "0.01", "0.025", "0.05", "0.1",
                                                         "0.25",   "0.5",   "1",      "2.5",   "5",    "10",    "30",   "60"};

  void record(Duration duration) {
    buckets_[bucket_of(duration)].add();
    nanoseconds_.add(static_cast<uint64_t>(duration.count() < 0 ? 0 : duration.count()));
  }
  static size_t bucket_of(Duration duration) {
    size_t bucket = 0;
    while (bucket < bounds.size() && duration > bounds[bucket]) ++bucket;
    return bucket;
  }

  // What several histograms counted, together.
  struct Total {
    std::array<uint64_t, bounds.size() + 1> buckets{};  // each for itself, not cumulative
    uint64_t count = 0;
    uint64_t nanoseconds = 0;
  };
  // Any thread. The count is the buckets' sum, so that a page agrees with itself while a worker is counting.
  void add_to(Total& total) const;

 private:
  std::array<Counter, bounds.size() + 1> buckets_;
  Counter nanoseconds_;
};

}  // namespace portloom
