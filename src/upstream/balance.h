// upstream/balance.h
//
// Balancer: which endpoint a request goes to. What it knows of one is its Load: requests in flight, weight, whether it can be
// reached, how fast it answers. One per cluster and worker; a pick touches two endpoints, however many there are; with a hash one.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "base/duration.h"
#include "base/random.h"
#include "config/balancing.h"
#include "upstream/hash_table.h"

namespace portloom::upstream {

struct Load {
  uint32_t active = 0;       // requests in flight, this worker
  uint32_t weight = 1;       // from 1 on
  bool unreachable = false;  // the last connection did not come about
  Instant avoided_until{};   // while unreachable; then one request tries it
  float latency = 0;         // nanoseconds until the answer's head, by peak EWMA; 0: none has come yet
  Instant measured{};        // when `latency` was
  Instant rests_until{};     // it asked for that (429 or 503 with Retry-After); peak_ewma leaves it alone where it can
  Instant warm_since{};      // it came then, and gets its share by and by (slow start)
};

class Balancer {
 public:
  static constexpr Duration avoided_for = 1s;  // so often an endpoint that could not be reached is tried again
  static constexpr Duration penalty = 1s;      // a failure, 429 or 503 counts as an answer after so long
  static constexpr Duration rest_most = 30s;   // however long Retry-After says

  // `slow_start`: how long a load is warm before it gets its full share; 0: it gets that at once.
  Balancer(config::Balance method, uint64_t seed, Duration slow_start = Duration{0})
      : method_(method), random_(seed), slow_start_(slow_start) {}

  // From now on these, by index; they outlive the balancer or the next use(). With a table: `places` says the index here of each of its
  // instances, or `nowhere`.
  static constexpr uint32_t nowhere = UINT32_MAX;
  void use(std::vector<Load*> loads, std::shared_ptr<const HashTable> table = nullptr, std::vector<uint32_t> places = {});
  // The index of one, weighted: not one in `tried` (bit index % 64), and one that could be reached lately, where there is one.
  // Adds it to `tried`. There is at least one endpoint. Where it can be asked, the one that is wished for; then, with a table, the one
  // that a value belongs to, or where it goes meanwhile.
  struct Wish {
    std::optional<size_t> index{};   // it has been there before
    std::optional<uint64_t> hash{};  // of a value
  };
  size_t pick(uint64_t& tried, Instant now) { return pick(tried, now, Wish()); }
  size_t pick(uint64_t& tried, Instant now, const Wish& wish);
  // There is one that is not in `tried` and could be reached lately: what pick() gives then.
  bool has_other(uint64_t tried, Instant now) const;
  // Which one is favoured just now: with round_robin the next in turn, else the least loaded, which pick() takes whenever it draws it.
  // Nothing: it is left to chance, several being alike, or to a value (ring_hash, maglev), or none could be reached lately. Changes
  // nothing.
  std::optional<size_t> favours(Instant now) const;

  // What a call took until the answer's head, or until it failed.
  static void measure(Load& load, Duration took, Instant now);

 private:
  struct Turn {
    double due;  // in rounds
    uint32_t index;
    bool operator>(const Turn& other) const { return due != other.due ? due > other.due : index > other.index; }
  };
  size_t choose(uint64_t tried, Instant now);
  size_t draw(uint64_t tried, Instant now);
  std::optional<size_t> by_hash(uint64_t hash, uint64_t tried, Instant now) const;
  bool sits_out(const Load& load, Instant now);
  bool rests(const Load& load, Instant now) const { return method_ == config::Balance::peak_ewma && now < load.rests_until; }
  size_t next_in_turn();
  std::optional<size_t> whose_turn(Instant now) const;
  size_t sample();
  bool fits(size_t index, uint64_t tried, Instant now) const;
  float cost(const Load& load, Instant now) const;
  void make_turns();
  void make_shares();

  config::Balance method_;
  Random random_;
  Duration slow_start_;
  std::vector<Load*> loads_;
  bool weighted_ = false;      // weights differ
  size_t next_ = 0;            // round_robin without weights
  std::vector<Turn> turns_;    // round_robin with weights: a heap, the earliest first
  std::vector<float> shares_;  // the others with weights: Walker's alias table
  std::vector<uint32_t> aliases_;
  std::shared_ptr<const HashTable> table_;  // null: nobody chooses by hash
  std::vector<uint32_t> places_;
};

// Measures one call; made when the endpoint has been picked. A call that is dropped without an answer took at least so long.
class Stopwatch {
 public:
  Stopwatch(Load& load, Instant begun) : load_(&load), begun_(begun) {}
  Stopwatch(const Stopwatch&) = delete;
  ~Stopwatch();
  // `retry_after`: what the answer says under that name; empty: nothing.
  void answered(uint16_t status, Instant now, std::string_view retry_after = {});
  // Not by the client's doing, nor ours.
  void failed(Instant now);
  // The next one, for the same call; what came before it is measured.
  void begin(Load& load, Instant now);

 private:
  Load* load_;
  Instant begun_;
  bool running_ = true;
};

}  // namespace portloom::upstream
