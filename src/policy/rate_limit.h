// policy/rate_limit.h
//
// What is written under `rate_limit`: one limit, or several that count together.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "config/place.h"
#include "data/shape.h"
#include "policy/build.h"
#include "policy/key.h"

namespace portloom::policy {

struct LimitConfig {
  std::string name;
  uint32_t requests = 0;
  Duration per{};

  bool operator==(const LimitConfig&) const = default;
  void visit(this auto& self, auto& field) {
    using namespace data::rules;
    field("name", self.name, required, at_most(64), valid(config::is_name, "a name of letters, digits, _ - and ."),
          "What clients and logs call it.");
    field("requests", self.requests, required, at_least(1), "How many requests a key may make per period, all at once if it likes.");
    field("per", self.per, required, at_least(Duration(1ms)), at_most(Duration(24h) * 366),
          "The period; an allowance flows back evenly over it.");
  }
};

// What a refusal says: the problem types of draft-ietf-httpapi-ratelimit-headers.
enum class LimitProblem : uint8_t { quota, abnormal_usage, reduced_capacity };
std::vector<data::Choice> choices_of(LimitProblem);

struct RateLimitConfig {
  static constexpr size_t limits_max = 8;
  std::string name;
  uint32_t requests = 0;
  Duration per{};
  std::vector<LimitConfig> limits;
  std::string key = "client.address";
  bool partition_key = false;
  LimitProblem problem = LimitProblem::quota;
  bool dry_run = false;

  void visit(this auto& self, auto& field) {
    using namespace data::rules;
    field("name", self.name, at_most(64), "What clients and logs call it; `skip` takes it too.");
    field("requests", self.requests, at_least(1), "How many requests a key may make per period, all at once if it likes.");
    field("per", self.per, at_least(Duration(1ms)), at_most(Duration(24h) * 366), "The period; an allowance flows back evenly over it.");
    field("limits", self.limits, at_least(1), at_most(limits_max),
          "Several limits in place of `requests` and `per`. A request that one of them refuses is not counted by the others.");
    field("key", self.key, expression, "What a request is counted by. Where it is missing: the client's address.");
    field("partition_key", self.partition_key,
          "Tells the client in the fields' pk which counter a request was counted by: an opaque value, another after a restart.");
    field(
        "problem", self.problem,
        "What a refusal says: quota (429), abnormal_usage (429: the limit is there to find misuse) or reduced_capacity (503: the services "
        "can bear less than usual).");
    field("dry_run", self.dry_run, "Counts, tells log and metrics, and refuses nobody.");
    field.later("store", "on_unavailable");
  }
  void check(data::Checker& checker) const;
};

// What the limits of `part` (a rate_limit, found in `states` by its path) would have left after this request, which is not counted:
// "flood: 41 of 300 left". Empty: `states` has no counters for it. Control thread.
std::string limits_left(const data::Part& part, const States& states, const pipeline::Request& request);

}  // namespace portloom::policy
