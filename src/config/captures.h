// config/captures.h
//
// The names that a route's path gives to parts of itself: what a bare name in an expression may be.
#pragma once

#include <set>
#include <string>

#include "config/route.h"

namespace portloom::config {

struct Captures {
  std::set<std::string, std::less<>> some;  // of at least one of the paths
  std::set<std::string, std::less<>> all;   // of every one
  bool of_one_route = false;
  std::string list() const;  // "{id}, {rest}"
};

// `{name}` segments, `{rest}` of a prefix (and of a route without a path), groups of a regex. The match was checked.
Captures captures_of(const Match& match);

}  // namespace portloom::config
