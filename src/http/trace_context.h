// http/trace_context.h
//
// W3C Trace Context, level 1 (https://www.w3.org/TR/trace-context/): which trace a request belongs to. What is valid goes on as it
// came, tracestate with it; where there is none, or one that cannot be read, a trace is begun.
#pragma once

#include <array>
#include <optional>
#include <string_view>

#include "base/random.h"
#include "http/headers.h"

namespace portloom::http {

struct TraceParent {
  std::array<char, 32> trace_id{};  // lower-case hexadecimal, as are both
  std::array<char, 16> parent_id{};
  bool sampled = false;
  std::string_view trace() const { return {trace_id.data(), trace_id.size()}; }
};

// Nothing where it is not valid (§3.2). A version above 00 is read as far as 00 goes (§4.3).
std::optional<TraceParent> parse_traceparent(std::string_view text);

// What the request belongs to from now on. `sampled`: whether a trace that begins here asks services to record it. Without a
// valid traceparent, or with two, tracestate goes too (§3.4). Allocates nothing but the header's line.
TraceParent continue_trace(Headers& headers, Random& random, bool sampled);

}  // namespace portloom::http
