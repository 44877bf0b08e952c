// upstream/srv_records.h
//
// The SRV records of a DNS answer (RFC 2782), and how their weights become those of endpoints. Pure functions; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/duration.h"

namespace portloom::upstream {

struct SrvTarget {
  uint16_t priority = 0;  // the lowest is asked first
  std::string host;       // in lower case
  uint16_t port = 0;
  uint16_t weight = 0;
  auto operator<=>(const SrvTarget&) const = default;
};

struct SrvTargets {
  std::vector<SrvTarget> list;  // sorted, without doubles; at most Lookup::addresses_max
  Duration ttl{0};              // the shortest on the way
};

// Every SRV record of the answer section of a whole DNS message, whoever's they are: a name server followed aliases. One whose target
// is "." says that there is no such service, and is left out, as one with port 0 is. Empty: it is no such message.
std::optional<SrvTargets> parse_srv(std::span<const unsigned char> message);

// An endpoint's weight, 1 to 1000, of a target with that weight and so many addresses, where the largest weight beside it is `most`.
// All are alike where nobody has any; a target with none beside others that have gets least (RFC 2782 wants "a very small chance").
uint32_t weight_of(const SrvTarget& target, uint16_t most, size_t addresses);

}  // namespace portloom::upstream
