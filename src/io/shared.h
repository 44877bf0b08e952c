// io/shared.h
//
// Process-wide truth on the path of a request: the only locks there. Word is one 64-bit word advanced by CAS on a cache
// line of its own. Striped is a table whose entries are guarded by locks chosen by the key's hash; a critical section
// does not allocate, wait, do I/O or call back, so it lasts nanoseconds and spinning is right.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>

namespace portloom::io {

class alignas(64) Word {
 public:
  explicit Word(uint64_t initial = 0) : word_(initial) {}
  uint64_t load() const { return word_.load(std::memory_order_acquire); }
  // Replaces the word by step(word) atomically; returns {before, after}. `step` may run several times.
  template <class Step>
  std::pair<uint64_t, uint64_t> advance(Step step) {
    uint64_t before = word_.load(std::memory_order_relaxed);
    while (true) {
      uint64_t after = step(before);
      if (after == before) return {before, after};
      if (word_.compare_exchange_weak(before, after, std::memory_order_acq_rel, std::memory_order_relaxed)) return {before, after};
    }
  }

 private:
  std::atomic<uint64_t> word_;
};

// A bounded table from 64-bit key hashes to small values. Each stripe is a set-associative block: a new key takes an
// empty place, else the place that `T::stale(now)` gives up, else the one with the smallest `T::age()`.
// T: trivially copyable; bool stale(int64_t now) const; int64_t age() const.
template <class T, size_t ways = 16>
class Striped {
 public:
  // `entries` is rounded up to a power of two.
  explicit Striped(size_t entries) {
    size_t stripes = 1;
    while (stripes * ways < entries) stripes *= 2;
    mask_ = stripes - 1;
    stripes_ = std::make_unique<Stripe[]>(stripes);
  }
  // Runs `use(T&, bool found)` on the entry of `hash` under its lock; returns what it returns.
  template <class Use>
  auto with(uint64_t hash, int64_t now, Use use) {
    if (hash == 0) hash = 1;
    Stripe& stripe = stripes_[(hash >> 32) & mask_];
    Lock lock(stripe.locked);
    size_t chosen = 0;
    for (size_t way = 0; way < ways; ++way)
      if (stripe.keys[way] == hash) return use(stripe.values[way], true);
    for (size_t way = 0; way < ways; ++way) {
      if (stripe.keys[way] == 0 || stripe.values[way].stale(now)) {
        chosen = way;
        break;
      }
      if (stripe.values[way].age() < stripe.values[chosen].age()) chosen = way;
    }
    stripe.keys[chosen] = hash;
    stripe.values[chosen] = T{};
    return use(stripe.values[chosen], false);
  }
  // The same where the entry is there already; else nothing happens.
  template <class Use>
  void with_known(uint64_t hash, Use use) {
    if (hash == 0) hash = 1;
    Stripe& stripe = stripes_[(hash >> 32) & mask_];
    Lock lock(stripe.locked);
    for (size_t way = 0; way < ways; ++way)
      if (stripe.keys[way] == hash) return use(stripe.values[way]);
  }

 private:
  struct Lock {
    explicit Lock(std::atomic<bool>& flag) : locked(flag) {
      while (locked.exchange(true, std::memory_order_acquire))
        while (locked.load(std::memory_order_relaxed)) __builtin_ia32_pause();
    }
    ~Lock() { locked.store(false, std::memory_order_release); }
    std::atomic<bool>& locked;
  };
  struct alignas(64) Stripe {
    std::atomic<bool> locked = false;
    std::array<uint64_t, ways> keys{};
    std::array<T, ways> values{};
  };
  size_t mask_;
  std::unique_ptr<Stripe[]> stripes_;
};

// A value that few touch and seldom, under a lock of its own: the same rules for what is done there.
template <class T>
class Guarded {
 public:
  template <class Use>
  auto with(Use use) {
    while (locked_.exchange(true, std::memory_order_acquire))
      while (locked_.load(std::memory_order_relaxed)) __builtin_ia32_pause();
    struct Release {
      std::atomic<bool>& flag;
      ~Release() { flag.store(false, std::memory_order_release); }
    } release{locked_};
    return use(value_);
  }

 private:
  std::atomic<bool> locked_ = false;
  T value_{};
};

// A value that is replaced now and then, and looked at all the time: a reader keeps a copy and asks for the version, which is
// one load of a cache line that seldom changes.
template <class T>
class Published {
 public:
  // 0: nothing was set yet.
  uint64_t version() const { return version_.load(std::memory_order_acquire); }
  void set(T value) {
    value_.with([&value](T& kept) { std::swap(kept, value); });  // the old one is dropped outside the lock
    version_.fetch_add(1, std::memory_order_acq_rel);
  }
  T get() const {
    return value_.with([](const T& kept) { return kept; });
  }

 private:
  alignas(64) std::atomic<uint64_t> version_ = 0;
  mutable Guarded<T> value_;
};

}  // namespace portloom::io
