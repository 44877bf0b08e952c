// base/counters.cpp
//
// Summing histograms of several threads.
#include "base/counters.h"

namespace portloom {

void Histogram::add_to(Total& total) const {
  for (size_t i = 0; i < buckets_.size(); ++i) {
    uint64_t count = buckets_[i].value();
    total.buckets[i] += count;
    total.count += count;
  }
  total.nanoseconds += nanoseconds_.value();
}

}  // namespace portloom
