// compose/stale.cpp
//
// A list in order of use, and an index into it, under a lock that covers no allocation: what is new is made before, what goes is
// let go of afterwards.
#include "compose/stale.h"

#include <utility>

namespace portloom::compose {

// True when the question is known: it has the new answer then, and `kept` the old one.
bool StaleStore::Shard::replace(std::string_view question, Kept& kept) {
  auto found = by_question.find(question);
  if (found == by_question.end()) return false;
  Order::iterator entry = found->second;
  bytes += kept.answer->size();
  bytes -= entry->kept.answer->size();
  std::swap(entry->kept, kept);
  order.splice(order.begin(), order, entry);
  return true;
}

// Takes the only entry of `fresh`, whose index node is `place`.
void StaleStore::Shard::add(Order& fresh, Index::node_type& place) {
  bytes += fresh.front().bytes();
  order.splice(order.begin(), fresh);
  by_question.insert(std::move(place));
}

// Moves some of those unused for longest to `gone` while there is too much.
void StaleStore::Shard::shrink(Order& gone, std::array<Index::node_type, 4>& places) {
  for (Index::node_type& place : places) {
    if (!is_full()) return;
    Order::iterator last = std::prev(order.end());
    bytes -= last->bytes();
    place = by_question.extract(last->question);
    gone.splice(gone.end(), order, last);
  }
}

void StaleStore::keep(std::string question, std::string_view answer, Instant now) {
  if (question.size() + answer.size() > bytes_max / shards) return;
  io::Guarded<Shard>& guarded = shard_of(question);
  Kept kept{std::make_shared<const std::string>(answer), now};
  bool full = false;
  bool known = guarded.with([&](Shard& shard) {
    bool replaced = shard.replace(question, kept);
    full = shard.is_full();
    return replaced;
  });
  if (!known) {
    Order fresh;
    fresh.push_front(Entry{std::move(question), std::move(kept)});
    Index index;
    index.emplace(fresh.front().question, fresh.begin());
    Index::node_type place = index.extract(index.begin());
    guarded.with([&](Shard& shard) {
      // Another worker may have been told meanwhile.
      if (!shard.replace(fresh.front().question, fresh.front().kept)) shard.add(fresh, place);
      full = shard.is_full();
    });
  }
  while (full) {
    Order gone;
    std::array<Index::node_type, 4> places;
    full = guarded.with([&](Shard& shard) {
      shard.shrink(gone, places);
      return shard.is_full();
    });
  }
}

std::optional<StaleStore::Kept> StaleStore::find(std::string_view question, Duration age, Instant now) {
  return shard_of(question).with([&](Shard& shard) -> std::optional<Kept> {
    auto found = shard.by_question.find(question);
    if (found == shard.by_question.end() || now - found->second->kept.at > age) return std::nullopt;
    shard.order.splice(shard.order.begin(), shard.order, found->second);
    return found->second->kept;
  });
}

size_t StaleStore::size() {
  size_t sum = 0;
  for (io::Guarded<Shard>& guarded : shards_) sum += guarded.with([](Shard& shard) { return shard.order.size(); });
  return sum;
}

size_t StaleStore::bytes() {
  size_t sum = 0;
  for (io::Guarded<Shard>& guarded : shards_) sum += guarded.with([](Shard& shard) { return shard.bytes; });
  return sum;
}

}  // namespace portloom::compose
