// config/breaker.h
//
// A service's circuit breaker as a user writes it: what opens it, and how it finds out that the service is well again.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>

#include "base/duration.h"
#include "config/place.h"

namespace portloom::config {

struct Breaker {
  std::optional<uint32_t> failures;
  Percent failure_rate{0.5};
  std::optional<Duration> slow;
  Percent slow_rate{0.8};
  Duration window = 10s;
  uint32_t volume = 20;
  Duration open_for = 5s;
  Duration open_for_max = 60s;
  uint32_t probes = 3;
  Duration ramp = 10s;
  bool count_429 = false;

  bool operator==(const Breaker&) const = default;
  void visit(this auto& self, auto& field) {
    using namespace data::rules;
    field("failures", self.failures, at_least(1), at_most(100'000), "Opens it: so many failures in a row. Without it: the rates alone.");
    field("failure_rate", self.failure_rate, at_least(Percent{0.01}), at_most(Percent{1}),
          "Opens it: this share of failures among the requests of the last `window`.");
    field("slow", self.slow, at_least(Duration(1ms)), "A request is slow when its answer does not begin within this. Without it: none is.");
    field("slow_rate", self.slow_rate, at_least(Percent{0.01}), at_most(Percent{1}),
          "Opens it: this share of slow ones among the requests of the last `window`.");
    field("window", self.window, at_least(Duration(1s)), at_most(Duration(1h)), "What the rates look back at.");
    field("volume", self.volume, at_least(1), at_most(1'000'000), "With fewer requests in the window, no rate opens it.");
    field("open_for", self.open_for, at_least(Duration(10ms)), at_most(Duration(24h)),
          "How long it stays open: requests are refused at once, and the service is left alone.");
    field("open_for_max", self.open_for_max, at_least(Duration(10ms)), at_most(Duration(24h)),
          "`open_for` doubles each time that it opens again before it has recovered, up to this.");
    field("probes", self.probes, at_least(1), at_most(1000),
          "Then so many requests are let through. All have to go well for it to close; one that does not opens it again.");
    field("ramp", self.ramp, at_most(Duration(1h)),
          "After it has closed: so long the number of requests at once is bounded, from `probes` on and by one more with each that goes "
          "well. 0s: it is not.");
    field("count_429", self.count_429, "Whether 429 is a failure. Any other 4xx never is.");
  }
  void check(data::Checker& checker) const;
  // What `open_for` grows to.
  Duration longest() const { return std::max(open_for, open_for_max); }
};

}  // namespace portloom::config
