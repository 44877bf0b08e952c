// config/balancing.h
//
// Which endpoint of a service a request goes to, as a user writes it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "config/place.h"

namespace portloom::config {

enum class Balance : uint8_t { peak_ewma, least_request, round_robin, random, ring_hash, maglev };
inline std::vector<data::Choice> choices_of(Balance) {
  return {{"peak_ewma", Balance::peak_ewma}, {"least_request", Balance::least_request}, {"round_robin", Balance::round_robin},
          {"random", Balance::random},       {"ring_hash", Balance::ring_hash},         {"maglev", Balance::maglev}};
}
// What a request carries decides, and not how busy an endpoint is.
inline bool hashes(Balance balance) { return balance == Balance::ring_hash || balance == Balance::maglev; }

struct Balancing {
  Balance algorithm = Balance::peak_ewma;
  std::vector<std::string> by;

  void visit(this auto& self, auto& field) {
    using namespace data::rules;
    field("algorithm", self.algorithm, short_form,
          "How an endpoint is chosen: of two at random the one that answers sooner, counting who waits there (peak_ewma), or the one with "
          "fewer requests (least_request); in turn (round_robin); at random; by what `by` names, the same one for the same value "
          "(ring_hash, maglev).");
    field("by", self.by, expression, at_most(8),
          "With ring_hash and maglev: what keeps to one endpoint, the first of these that is there. Without it: client.address. A request "
          "without a value goes as with peak_ewma.");
  }
  void check(data::Checker& checker) const {
    if (!by.empty() && !hashes(algorithm)) checker.error("by", "only ring_hash and maglev choose by a value", "write algorithm: maglev");
  }
};

}  // namespace portloom::config
