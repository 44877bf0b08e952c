// telemetry/tally.cpp
//
// A pair seen for the first time: its place is filled before readers are told of it.
#include "telemetry/tally.h"

namespace portloom::telemetry {

void Tally::add_new(std::string_view text, uint32_t number) {
  size_t pairs = 0;
  Block* block = &first_;
  while (true) {
    size_t used = block->used.own();
    if (used < block->pairs.size()) break;
    pairs += used;
    if (pairs >= pairs_max) return other_.add();
    if (block->owned == nullptr) {
      block->owned = std::make_unique<Block>();
      block->next.store(block->owned.get());
    }
    block = block->owned.get();
  }
  size_t used = block->used.own();
  Pair& pair = block->pairs[used];
  pair.text = text;
  pair.number = number;
  pair.count.add();
  block->used.store(used + 1);
}

}  // namespace portloom::telemetry
