// config/outliers.h
//
// When an instance of a service is left out because of what came of real requests.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>

#include "base/duration.h"
#include "config/place.h"

namespace portloom::config {

struct Outliers {
  uint32_t consecutive = 5;
  Percent failure_rate{0.3};
  std::optional<double> latency;
  uint32_t volume = 20;
  Duration every = 10s;
  Duration eject_for = 30s;
  Duration eject_for_max = 5min;
  Percent share{0.5};
  Percent panic{0.5};

  bool operator==(const Outliers&) const = default;
  void visit(this auto& self, auto& field) {
    using namespace data::rules;
    field("consecutive", self.consecutive, at_least(1), at_most(1'000'000),
          "Ejects an instance: so many gateway errors in a row (no connection, broken, too late, 502, 503, 504).");
    field("failure_rate", self.failure_rate, at_least(Percent{0.01}), at_most(Percent{1}),
          "Ejects it: of its requests so much more have failed than of those to the others, in points of percent.");
    field("latency", self.latency, at_least(1.5), at_most(1000.0),
          "Ejects it: its answers took so many times as long as those of the others. Without it: latency ejects none.");
    field("volume", self.volume, at_least(1), at_most(1'000'000), "With fewer requests since the last look, no comparison ejects it.");
    field("every", self.every, at_least(Duration(1s)), at_most(Duration(1h)), "How often instances are compared.");
    field("eject_for", self.eject_for, at_least(Duration(100ms)), at_most(Duration(24h)),
          "How long it is left out; the second time twice as long, and so on.");
    field("eject_for_max", self.eject_for_max, at_least(Duration(100ms)), at_most(Duration(24h)), "But no longer than this.");
    field("share", self.share, at_most(Percent{1}), "No more than this share of the instances is ejected at a time.");
    field("panic", self.panic, at_most(Percent{1}),
          "With a smaller share of healthy instances than this, ejections do not count: better a bad answer than a crushed instance.");
  }
  void check(data::Checker& checker) const;
  Duration longest() const { return std::max(eject_for, eject_for_max); }
};

}  // namespace portloom::config
