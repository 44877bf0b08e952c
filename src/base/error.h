// base/error.h
//
// An Error states facts: what happened, whose fault it is, how far we had got. Policies decide what follows
// (retry, answer, close); `pipeline::render` turns it into an answer. Below pipeline/ failures travel as Result<T>.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

namespace portloom {

// What happened. `pipeline/problem.cpp` holds the one table code -> (HTTP status, log level, reason text).
enum class Code : uint8_t {
  internal,             // our own mistake
  bad_request,          // malformed message or framing
  unsupported_version,  // an HTTP version that we do not speak
  unsupported_coding,   // a transfer coding that we do not implement
  unsupported_expectation,
  target_too_long,    // limits.uri
  headers_too_large,  // limits.headers
  body_too_large,     // limits.body or body_limit
  request_timeout,    // the client was too slow
  unauthenticated,
  forbidden,
  not_found,
  method_not_allowed,
  misdirected,
  missing_input,  // the request lacks a value that the configuration needs
  rate_limited,
  abnormal_usage,    // a limit that is there to find misuse
  reduced_capacity,  // a limit of what can be borne for a while
  overloaded,        // a bound of ours was reached: connections, memory, queue
  refused,           // the upstream refused the connection or was not reachable
  reset,             // the connection broke
  closed,            // orderly end where more was due
  connect_timeout,
  upstream_timeout,   // no answer in time
  upstream_protocol,  // the upstream sent garbage
  no_endpoint,        // no (healthy) instance of the service
  breaker_open,       // the service has failed too often lately: it was not asked
  client_gone,
  cancelled,
  draining,
  unavailable,  // a store or another dependency of ours is away
  exhausted,    // descriptors, memory
  invalid,      // a value could not be read (configuration, text)
};

enum class Side : uint8_t { client, upstream, gateway };

// How far a request had got upstream: decides whether sending it again is safe.
enum class Progress : uint8_t { nothing, head, body };

struct Error {
  Code code = Code::internal;
  Side side = Side::gateway;
  Progress progress = Progress::nothing;
  std::string detail;  // for people; never parsed; empty means that the code says it all
};

template <class T>
using Result = std::expected<T, Error>;

inline std::unexpected<Error> failure(Code code, Side side, std::string detail = {}, Progress progress = Progress::nothing) {
  return std::unexpected<Error>(Error{code, side, progress, std::move(detail)});
}

// The snake_case name of a code, as logs and problems show it: "upstream_timeout".
std::string_view name_of(Code code);
std::string_view name_of(Side side);

}  // namespace portloom
