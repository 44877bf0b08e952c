// telemetry/tally.h
//
// Tally: how often each (text, number) was seen, for the few that ever are: a route's statuses, a policy's verdicts. One
// worker counts, any thread reads. A new pair takes the next place; the first four come with the Tally, later ones
// are allocated; at most `pairs_max`, what is over counts as ("other", 0).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/counters.h"

namespace portloom::telemetry {

class Tally {
 public:
  static constexpr size_t pairs_max = 64;

  Tally() = default;
  Tally(const Tally&) = delete;
  Tally& operator=(const Tally&) = delete;

  // The worker.
  void add(std::string_view text, uint32_t number) {
    for (Block* block = &first_; block != nullptr; block = block->next.own()) {
      size_t used = block->used.own();
      for (size_t i = 0; i < used; ++i) {
        Pair& pair = block->pairs[i];
        if (pair.number == number && pair.text == text) return pair.count.add();
      }
    }
    add_new(text, number);
  }

  // Any thread: calls `use(text, number, count)` for each.
  template <class Use>
  void each(Use use) const {
    for (const Block* block = &first_; block != nullptr; block = block->next.load()) {
      size_t used = block->used.load();
      for (size_t i = 0; i < used; ++i) use(std::string_view(block->pairs[i].text), block->pairs[i].number, block->pairs[i].count.value());
    }
    if (other_.value() > 0) use(std::string_view("other"), 0u, other_.value());
  }

 private:
  struct Pair {
    std::string text;
    uint32_t number = 0;
    Counter count;
  };
  struct Block {
    std::array<Pair, 4> pairs;
    Published<size_t> used;  // pairs beyond it are not read
    Published<Block*> next;
    std::unique_ptr<Block> owned;
  };
  void add_new(std::string_view text, uint32_t number);

  Block first_;
  Counter other_;
};

}  // namespace portloom::telemetry
