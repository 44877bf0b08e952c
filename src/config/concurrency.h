// config/concurrency.h
//
// How many requests a service has at once, as a user writes it.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/duration.h"
#include "config/place.h"

namespace portloom::config {

enum class ConcurrencyLimit : uint8_t { adaptive };
inline std::vector<data::Choice> choices_of(ConcurrencyLimit) { return {{"adaptive", ConcurrencyLimit::adaptive}}; }

struct Concurrency {
  ConcurrencyLimit limit = ConcurrencyLimit::adaptive;
  uint32_t least = 4;
  uint32_t first = 20;
  uint32_t most = 1000;
  uint32_t queue = 64;
  Duration wait = 50ms;

  bool operator==(const Concurrency&) const = default;
  void visit(this auto& self, auto& field) {
    using namespace data::rules;
    field("limit", self.limit, short_form, "How many may be at work at once: found out from how long answers take (adaptive).");
    field("least", self.least, at_least(1), at_most(1'000'000), "It is never less than this.");
    field("first", self.first, at_least(1), at_most(1'000'000), "It begins with this.");
    field("most", self.most, at_least(1), at_most(1'000'000), "And it is never more than this.");
    field("queue", self.queue, at_most(100'000), "How many more may wait for a place; 0: none.");
    field("wait", self.wait, at_least(Duration(1ms)), at_most(Duration(10s)), "How long they may wait at most; then 503.");
  }
  void check(data::Checker& checker) const {
    if (least > most) checker.error("least", "`least` is more than `most`");
  }
  uint32_t begins() const { return std::clamp(first, least, std::max(least, most)); }
};

}  // namespace portloom::config
