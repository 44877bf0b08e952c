// policy/gradient.cpp
//
// After the gradient algorithms of Netflix's concurrency-limits and Envoy's adaptive concurrency, with two differences: windows hold only
// requests made under the limit in force, and the measurement halves the limit in place of bringing it down to its least.
#include "policy/gradient.h"

#include <algorithm>
#include <cmath>

namespace portloom::policy {

uint32_t Gradient::learn(Instant begun, Instant now, bool answered, uint32_t active) {
  return facts_.with([&](Facts& facts) {
    if (facts.begun == Instant{}) facts.begun = facts.measured = begun;
    auto took = static_cast<double>(std::max<int64_t>((now - begun).count(), 1000));
    facts.active_most = std::max(facts.active_most, active);
    // A failure that comes soon says nothing of the load.
    if (begun >= facts.begun && (answered || took > facts.unloaded)) {
      facts.sum += took;
      ++facts.answers;
    }
    uint32_t enough = now - facts.begun >= window_most ? answers_least / 4 : answers_least;
    if (now - facts.begun >= window && facts.answers >= enough) close(facts, now);
    return static_cast<uint32_t>(std::lround(facts.limit));
  });
}

void Gradient::close(Facts& facts, Instant now) const {
  double mean = facts.sum / facts.answers;
  if (facts.kept > 0) {
    facts.limit = std::exchange(facts.kept, 0);
    facts.unloaded = mean;
    facts.measured = now;
  } else {
    facts.unloaded = facts.unloaded == 0 ? mean : std::min(facts.unloaded, mean);
    double gradient = std::clamp(tolerance * facts.unloaded / mean, steepest, 1.0);
    double next = facts.limit * gradient + std::sqrt(facts.limit);
    if (facts.active_most < facts.limit / 2) next = std::min(next, facts.limit);
    if (next < facts.limit) next = (facts.limit + next) / 2;
    facts.limit = std::clamp<double>(next, rules_.least, rules_.most);
    bool low = facts.limit < rules_.least + 0.5 && gradient < 1;
    if (now - facts.measured >= (low ? measure_again : measure_every)) {
      facts.kept = facts.limit;
      facts.limit = std::max<double>(rules_.least, facts.limit / 2);
    }
  }
  facts.sum = 0;
  facts.answers = facts.active_most = 0;
  facts.begun = now;
}

uint32_t Gradient::limit() const {
  return facts_.with([](const Facts& facts) { return static_cast<uint32_t>(std::lround(facts.limit)); });
}

Duration Gradient::unloaded() const {
  return facts_.with([](const Facts& facts) { return Duration(static_cast<int64_t>(facts.unloaded)); });
}

}  // namespace portloom::policy
