// pipeline/verdict.h
//
// Why a route takes a request or does not, in words: what the RouteTable means, said a second time, pattern by pattern. Not on a request's
// path: `portloom explain` asks it.
#pragma once

#include <cstdint>
#include <string>

#include "pipeline/router.h"

namespace portloom::pipeline {

struct Verdict {
  // What a pattern looks at, in this order; the first that does not fit rejects. `outranked`: it takes the request, and so does a better
  // one.
  enum class Reason : uint8_t { chosen, listener, host, path, method, header, query, outranked };
  Reason reason = Reason::chosen;
  std::string text;  // "its path is /v1/orders/{id}"; empty when it is chosen
};
std::string_view name_of(Verdict::Reason reason);
// The methods of a set (bits by http::Method), as Allow lists them.
std::string methods_text(uint16_t bits);

// By itself, as if there were no other pattern. The pattern was taken by RouteTable::compile. `listener` is not told apart by name.
Verdict judge(const Pattern& pattern, const Lookup& asked);

// For two patterns that both take the request: does `a` rank before `b`, and by what ("an exact path ranks before a prefix").
struct Precedence {
  bool first = false;
  std::string why;
};
Precedence compare(const Pattern& a, const Pattern& b, const Lookup& asked);

}  // namespace portloom::pipeline
