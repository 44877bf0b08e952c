// upstream/hash_table.cpp
//
// ring_hash: points by chance on a circle of 2^32; a value belongs to the next one (Karger et al. 1997). maglev: each instance takes
// entries of the table in turn, in an order of its own (Eisenbud et al., NSDI 2016, §3.4); with weights it misses turns.
#include "upstream/hash_table.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <bit>
#include <utility>

namespace portloom::upstream {

namespace {

constexpr uint64_t step = 0x9e3779b97f4a7c15;

uint64_t mixed(uint64_t z) {  // splitmix64
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

uint32_t below(uint64_t hash, size_t bound) { return static_cast<uint32_t>((static_cast<unsigned __int128>(hash) * bound) >> 64); }

}  // namespace

std::shared_ptr<const HashTable> HashTable::make(config::Balance method, const std::vector<Instance>& instances) {
  if (!config::hashes(method)) return nullptr;
  std::vector<Member> members;
  for (uint32_t i = 0; i < instances.size(); ++i) {
    if (instances[i].weight == 0) continue;
    std::string key = key_of(instances[i]);
    members.push_back({XXH3_64bits(key.data(), key.size()), instances[i].weight, i});
  }
  if (members.empty()) return nullptr;
  std::ranges::sort(members, {}, &Member::hash);
  auto table = std::make_shared<HashTable>();
  if (method == config::Balance::ring_hash)
    table->make_ring(members);
  else
    table->make_entries(members);
  return table;
}

void HashTable::make_ring(const std::vector<Member>& members) {
  double least = std::ranges::min(members, {}, &Member::weight).weight;
  double sum = 0;
  for (const Member& member : members) sum += member.weight;
  double per_weight = std::min(points / least, points_max / sum);
  for (uint32_t rank = 0; rank < members.size(); ++rank) {
    const Member& member = members[rank];
    auto count = std::max<uint32_t>(1, static_cast<uint32_t>(per_weight * member.weight + 0.5));
    for (uint32_t i = 0; i < count; ++i) ring_.push_back({static_cast<uint32_t>(mixed(member.hash + step * i) >> 32), rank});
  }
  std::ranges::sort(ring_, {}, [](const Point& point) { return std::pair(point.at, point.index); });
  for (Point& point : ring_) point.index = members[point.index].index;
  unsigned bits = std::clamp<unsigned>(static_cast<unsigned>(std::bit_width(ring_.size())) - 1, 1, 20);
  shift_ = 32 - bits;
  begins_.assign((size_t{1} << bits), 0);
  uint32_t at = 0;
  for (size_t part = 0; part < begins_.size(); ++part) {
    while (at < ring_.size() && ring_[at].at >> shift_ < part) ++at;
    begins_[part] = at;
  }
}

void HashTable::make_entries(const std::vector<Member>& members) {
  uint32_t size = members.size() <= small_max ? entries_small : entries_large;
  constexpr uint32_t nobody = UINT32_MAX;
  entries_.assign(size, nobody);
  double most = std::ranges::max(members, {}, &Member::weight).weight;
  struct Turn {
    uint64_t next;
    uint64_t skip;
    double share;
    double due;
  };
  std::vector<Turn> turns;
  for (const Member& member : members)
    turns.push_back({mixed(member.hash + step) % size, mixed(member.hash + 2 * step) % (size - 1) + 1, member.weight / most, 0});
  for (uint32_t taken = 0; taken < size;) {
    for (size_t i = 0; i < turns.size() && taken < size; ++i) {
      Turn& turn = turns[i];
      turn.due += turn.share;
      if (turn.due < 1 - 1e-9) continue;
      turn.due -= 1;
      while (entries_[turn.next] != nobody) turn.next = (turn.next + turn.skip) % size;
      entries_[turn.next] = members[i].index;
      ++taken;
    }
  }
}

uint32_t HashTable::find(uint64_t hash, uint32_t again) const {
  if (again > 0) hash = mixed(hash + step * again);
  if (!entries_.empty()) return entries_[below(hash, entries_.size())];
  auto place = static_cast<uint32_t>(hash >> 32);
  uint32_t at = begins_[place >> shift_];
  while (at < ring_.size() && ring_[at].at < place) ++at;
  return ring_[at < ring_.size() ? at : 0].index;
}

}  // namespace portloom::upstream
