// upstream/hash_table.h
//
// HashTable: which instance a value belongs to. The same instances give the same table on every worker and every gateway, in whatever order
// they are known; where one comes or goes, hardly any value moves that need not. Made on the control thread when instances change,
// immutable then; one for all workers.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "config/balancing.h"
#include "upstream/endpoints.h"

namespace portloom::upstream {

class HashTable {
 public:
  // Points on the ring of the instance with the smallest weight; the others have as many times more as they weigh. All together have no
  // more than `points_max`.
  static constexpr uint32_t points = 100;
  static constexpr uint32_t points_max = 1U << 20;
  // Entries of a maglev table: so many instances at most have the smaller one.
  static constexpr uint32_t entries_small = 65'537;
  static constexpr uint32_t entries_large = 655'373;
  static constexpr size_t small_max = 6'500;

  // Of instances that take requests (weight over 0); null where there is none, or `method` does not hash.
  static std::shared_ptr<const HashTable> make(config::Balance method, const std::vector<Instance>& instances);

  // The index of the instance to which a hash belongs; with `again` over 0 another, chosen by chance from the hash: where a value goes
  // while those before cannot be asked.
  uint32_t find(uint64_t hash, uint32_t again) const;
  size_t bytes() const { return entries_.size() * sizeof(uint32_t) + ring_.size() * sizeof(Point) + begins_.size() * sizeof(uint32_t); }

 private:
  struct Member {
    uint64_t hash;
    uint32_t weight;
    uint32_t index;
  };
  struct Point {
    uint32_t at;
    uint32_t index;
  };
  void make_ring(const std::vector<Member>& members);
  void make_entries(const std::vector<Member>& members);

  std::vector<uint32_t> entries_;  // maglev
  std::vector<Point> ring_;        // ring_hash: by `at`
  std::vector<uint32_t> begins_;   // the first point of each part of the ring; parts are equally long
  unsigned shift_ = 0;             // from a place on the ring to its part
};

}  // namespace portloom::upstream
