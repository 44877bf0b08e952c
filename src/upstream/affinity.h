// upstream/affinity.h
//
// Affinity: what ties a request to one endpoint of a service, as long as that can be asked. Immutable; one per cluster.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "config/balancing.h"
#include "data/expression.h"
#include "pipeline/service.h"

namespace portloom::upstream {

class Affinity {
 public:
  Affinity() = default;
  // Texts that are no expressions were refused by load().
  explicit Affinity(const config::Balancing& written);
  // Of the first value that is there: the same on every worker and gateway, and after a restart. Nothing: the request has none.
  std::optional<uint64_t> hash(const pipeline::Request& request) const;

 private:
  std::vector<data::Expression> by_;
};

}  // namespace portloom::upstream
