// histogram.h
//
// Latencies in nanoseconds, in buckets that grow with the value: 128 per power of two, so a percentile is within 1 % of the
// true one at any magnitude, in fixed memory.

#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace bench {

class Histogram {
 public:
  void add(uint64_t nanoseconds) {
    ++buckets_[bucket_of(nanoseconds)];
    ++count_;
    max_ = std::max(max_, nanoseconds);
  }

  uint64_t max() const { return max_; }

  // The middle of the bucket that holds the value at this fraction (0.99) of all; 0 when nothing was added.
  double percentile(double fraction) const {
    const auto wanted = static_cast<uint64_t>(fraction * static_cast<double>(count_));
    uint64_t seen = 0;
    for (size_t i = 0; i < buckets_.size(); ++i) {
      seen += buckets_[i];
      if (seen > wanted) return middle_of(i);
    }
    return static_cast<double>(max_);
  }

 private:
  static constexpr unsigned kBits = 7;
  static constexpr size_t kPerOctave = 1U << kBits;

  // Values below kPerOctave have a bucket each; above, the highest kBits+1 bits choose it.
  static size_t bucket_of(uint64_t value) {
    const unsigned shift = std::max(static_cast<unsigned>(std::bit_width(value)), kBits + 1) - (kBits + 1);
    return (size_t{shift} << kBits) + static_cast<size_t>(value >> shift);
  }
  static double middle_of(size_t bucket) {
    if (bucket < 2 * kPerOctave) return static_cast<double>(bucket);
    const size_t shift = (bucket >> kBits) - 1;
    const uint64_t low = uint64_t{kPerOctave + (bucket & (kPerOctave - 1))} << shift;
    return static_cast<double>(low) + static_cast<double>(uint64_t{1} << shift) / 2;
  }

  std::array<uint64_t, (64 - kBits + 1) * kPerOctave> buckets_{};
  uint64_t count_ = 0;
  uint64_t max_ = 0;
};

}  // namespace bench
