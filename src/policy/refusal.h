// policy/refusal.h
//
// Refusal: what a policy that answers itself leaves in the record, so that the log, the metrics and the problem say who it
// was, which limit, and where that is written. Lives in the policy, which the exchange pins: the record keeps views.
#pragma once

#include <string>
#include <string_view>

#include "pipeline/exchange.h"
#include "pipeline/problem.h"
#include "policy/build.h"

namespace portloom::policy {

class Refusal {
 public:
  // `kind`: a literal. `config`: "FILE:LINE", or empty for a default that nobody wrote.
  Refusal(std::string_view kind, std::string config, std::string limit = {})
      : kind_(kind), config_(std::move(config)), limit_(std::move(limit)) {}

  void note(pipeline::Record& record) const { note(record, limit_); }
  void note(pipeline::Record& record, std::string_view limit) const {
    record.policy = kind_;
    record.limit = limit;
    record.config = config_;
  }
  // A failure of the table's status, noted.
  pipeline::Response answer(const pipeline::Request& request, Code code, Side side = Side::client, std::string detail = {}) const {
    note(request.exchange.record);
    return pipeline::deny(code, side, std::move(detail));
  }
  // The request goes on after all: another attempt was made.
  static void forget(pipeline::Record& record) {
    record.policy = record.limit = record.config = {};
    record.violated_policies.clear();
  }

 private:
  std::string_view kind_;
  std::string config_;
  std::string limit_;
};

}  // namespace portloom::policy
