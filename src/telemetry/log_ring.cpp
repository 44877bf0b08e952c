// telemetry/log_ring.cpp
//
// Positions only grow; a byte's place is its position modulo the capacity. The worker looks at the reader's position only
// when what it last saw leaves less than half the ring.
#include "telemetry/log_ring.h"

#include <unistd.h>

#include <bit>
#include <cstring>

namespace portloom::telemetry {

LogRing::LogRing(size_t capacity)
    : mask_(std::bit_ceil(capacity) - 1), bytes_(std::make_unique_for_overwrite<char[]>(std::bit_ceil(capacity))) {}

bool LogRing::put(std::string_view line) {
  uint64_t written = written_.own();
  uint64_t half = capacity() / 2;
  bool past_half = false;
  if (written + line.size() - seen_ > half) {
    seen_ = released_.load();
    uint64_t filled = written + line.size() - seen_;
    if (filled > capacity()) {
      dropped_.add();
      return false;
    }
    past_half = filled > half && filled - line.size() <= half;
  }
  size_t place = written & mask_;
  size_t first = std::min(line.size(), capacity() - place);
  std::memcpy(bytes_.get() + place, line.data(), first);
  std::memcpy(bytes_.get(), line.data() + first, line.size() - first);
  written_.store(written + line.size());
  if (past_half) wake();
  return true;
}

void LogRing::wake() {
  if (wake_ < 0) return;
  uint64_t one = 1;
  [[maybe_unused]] ssize_t ignored = ::write(wake_, &one, sizeof one);  // fails only when the reader has been woken already
}

std::array<std::string_view, 2> LogRing::readable() const {
  uint64_t released = released_.own();
  size_t size = written_.load() - released;
  size_t place = released & mask_;
  size_t first = std::min(size, capacity() - place);
  return {std::string_view(bytes_.get() + place, first), std::string_view(bytes_.get(), size - first)};
}

void LogRing::release(size_t size) { released_.store(released_.own() + size); }

}  // namespace portloom::telemetry
