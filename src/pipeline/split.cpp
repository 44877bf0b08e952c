// pipeline/split.cpp
//
// A point in [0, 2^32) from the key's hash, or drawn; the sides lie side by side on that line.
#include "pipeline/split.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <cmath>

#include "pipeline/inputs.h"

namespace portloom::pipeline {

namespace {
constexpr double line = 4294967296.0;  // 2^32
}

Split::Split(const std::vector<Side>& sides, std::vector<data::Expression> by, uint64_t seed) : by_(std::move(by)), random_(seed) {
  double sum = 0;
  std::string names;
  for (const Side& side : sides) {
    sum += side.share;
    ranges_.push_back({side.to, static_cast<uint64_t>(std::llround(sum * line))});
    names.append(side.name).append(1, '\n');
  }
  ranges_.back().end = uint64_t{1} << 32;  // shares that were rounded
  salt_ = XXH3_64bits(names.data(), names.size());
}

size_t Split::choose(const Request& request, bool& fixed) {
  uint64_t point = 0;
  fixed = false;
  for (const data::Expression& expression : by_) {
    std::optional<Input> input = find_input(expression, request);
    if (!input || input->text.empty()) continue;
    point = XXH3_64bits_withSeed(input->text.data(), input->text.size(), salt_) >> 32;
    fixed = true;
    break;
  }
  if (!fixed) point = random_.next() >> 32;
  size_t side = 0;
  while (point >= ranges_[side].end) ++side;
  return side;
}

[[clang::coro_wrapper, clang::coro_disable_lifetimebound]] Task<Response> Split::call(Request& request) {
  bool fixed = false;
  return ranges_[choose(request, fixed)].to->call(request);
}

}  // namespace portloom::pipeline
