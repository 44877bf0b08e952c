// policy/gradient.h
//
// Gradient: how many requests a service can bear at once, found out from how long its answers take. Process-wide; any worker.
#pragma once

#include <cstdint>

#include "base/duration.h"
#include "config/concurrency.h"
#include "io/shared.h"

namespace portloom::policy {

// Answers are gathered in windows of 100 ms and 16 answers or more; only requests that began in the window count, so that every one was
// made under the limit that it speaks of. Their mean is compared with `unloaded`, the smallest mean of late:
//   gradient = unloaded × 1.25 ÷ mean, within 0.5 and 1;  limit ← limit × gradient + √limit, half of the way where that is less
// A limit of which less than half was used does not grow. Every 30 s, and 5 s after it has come down to `least`, the limit is halved for
// one window, whose mean becomes `unloaded`: a service may become slower for good.
class Gradient {
 public:
  static constexpr double tolerance = 1.25;
  static constexpr double steepest = 0.5;
  static constexpr Duration window = 100ms;
  static constexpr uint32_t answers_least = 16;
  static constexpr Duration window_most = 2s;  // then a quarter of the answers will do
  static constexpr Duration measure_every = 30s;
  static constexpr Duration measure_again = 5s;

  explicit Gradient(const config::Concurrency& rules) : rules_(rules) {
    facts_.with([&](Facts& facts) { facts.limit = rules.begins(); });
  }
  // A request that began then has its answer's head, or was given up; `answered`: by the service, and well. `active` were at work. Gives
  // the limit from now on.
  uint32_t learn(Instant begun, Instant now, bool answered, uint32_t active);
  // The same; nothing was learnt.
  uint32_t limit() const;
  // How long an answer takes that waits for nobody; 0: nobody knows yet.
  Duration unloaded() const;

 private:
  struct Facts {
    double limit = 0;
    double unloaded = 0;  // nanoseconds
    double sum = 0;       // of this window
    uint32_t answers = 0;
    uint32_t active_most = 0;
    Instant begun{};     // the window
    Instant measured{};  // `unloaded`
    double kept = 0;     // while it is measured: the limit before; else 0
  };
  void close(Facts& facts, Instant now) const;

  const config::Concurrency rules_;
  mutable io::Guarded<Facts> facts_;
};

}  // namespace portloom::policy
