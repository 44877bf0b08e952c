// telemetry/dependencies.h
//
// Dependencies: what routes and compositions depend on, as a configuration says it; app/ fills it in. Availability (availability.h)
// multiplies along it what the services deliver. Plain data, made once per configuration.
#pragma once

#include <string>
#include <vector>

#include "base/duration.h"

namespace portloom::telemetry {

struct Dependencies {
  struct Call {
    std::string name;
    std::string service;                 // or
    std::string composition;             // one that stands before this one in `compositions`
    bool required = true;                // nothing stands in for it
    std::vector<std::string> stand_ins;  // services, where only they do; none: what stands in cannot fail
  };
  struct Composition {
    std::string name;
    std::vector<Call> calls;
  };
  struct Side {
    std::string service;
    double share = 1;
  };
  struct Route {
    std::string name;
    Duration latency{};       // its objective; 0: it has none
    std::string composition;  // that it leads to, or
    std::vector<Side> sides;  // the services that share its requests; neither: it depends on nobody
  };
  std::vector<Route> routes;  // by index
  std::vector<Composition> compositions;
};

}  // namespace portloom::telemetry
