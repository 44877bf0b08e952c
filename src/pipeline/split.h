// pipeline/split.h
//
// Split: a canary. Sends each request to one of several services, by their shares. What `by` names stays on one side, on every
// worker, after a restart and on every gateway; a side whose share grows keeps whom it has. Lives on one worker.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/random.h"
#include "data/expression.h"
#include "pipeline/service.h"

namespace portloom::pipeline {

class Split final : public Service {
 public:
  struct Side {
    Service* to = nullptr;
    std::string name;
    double share = 0;  // all together: 1
  };
  Split(const std::vector<Side>& sides, std::vector<data::Expression> by, uint64_t seed);
  [[clang::coro_wrapper, clang::coro_disable_lifetimebound]] Task<Response> call(Request& request) override;
  // Which side a request goes to, by number; `fixed` tells whether `by` found something.
  size_t choose(const Request& request, bool& fixed);

 private:
  struct Range {
    Service* to;
    uint64_t end;  // of its part of 2^32
  };
  std::vector<Range> ranges_;
  std::vector<data::Expression> by_;
  uint64_t salt_ = 0;  // of the services' names: two splits between the same services agree
  Random random_;
};

}  // namespace portloom::pipeline
