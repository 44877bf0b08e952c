// telemetry/log_ring.h
//
// LogRing: whole lines from one worker to the log's thread, through a bounded ring of bytes. The worker puts, the thread
// reads and releases; neither waits. A full ring takes nothing: the line is dropped and counted.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "base/counters.h"

namespace portloom::telemetry {

class LogRing {
 public:
  // `capacity` is rounded up to a power of two.
  explicit LogRing(size_t capacity);
  LogRing(const LogRing&) = delete;
  LogRing& operator=(const LogRing&) = delete;

  // The worker. False when there is no room: the line is counted as dropped.
  bool put(std::string_view line);
  // Where to write (any eventfd) when the ring passes half; -1: nobody is told. Set before the first put.
  void wake_through(int descriptor) { wake_ = descriptor; }

  // The reader: what is there now, in order; the second part is empty unless the bytes wrap around.
  std::array<std::string_view, 2> readable() const;
  // The reader has done with the first `size` bytes.
  void release(size_t size);

  // Any thread.
  uint64_t dropped() const { return dropped_.value(); }
  size_t capacity() const { return mask_ + 1; }

 private:
  void wake();

  size_t mask_;
  std::unique_ptr<char[]> bytes_;
  int wake_ = -1;
  alignas(64) Published<uint64_t> written_;  // the worker's cache line
  uint64_t seen_ = 0;                        // what the worker last knew of released_
  Counter dropped_;
  alignas(64) Published<uint64_t> released_;  // the reader's
};

}  // namespace portloom::telemetry
