// compose/stale.cpp
//
// A list in order of use, and an index into it whose keys point into the list.
#include "compose/stale.h"

#include <utility>

namespace portloom::compose {

void StaleStore::drop(std::list<Kept>::iterator one) {
  bytes_ -= one->bytes();
  by_question_.erase(one->question);
  order_.erase(one);
}

void StaleStore::keep(std::string question, const Bytes& answer, Instant now) {
  auto found = by_question_.find(question);
  if (found != by_question_.end()) drop(found->second);
  // A copy: a slice of a read buffer would keep all of that alive.
  Kept kept{std::move(question), Bytes::copy(answer.view()), now};
  if (kept.bytes() > bytes_max / 4) return;
  bytes_ += kept.bytes();
  order_.push_front(std::move(kept));
  by_question_.emplace(order_.front().question, order_.begin());
  while (bytes_ > bytes_max || order_.size() > entries_max) drop(std::prev(order_.end()));
}

const StaleStore::Kept* StaleStore::find(std::string_view question, Duration age, Instant now) {
  auto found = by_question_.find(question);
  if (found == by_question_.end() || now - found->second->at > age) return nullptr;
  order_.splice(order_.begin(), order_, found->second);
  return &order_.front();
}

}  // namespace portloom::compose
