// base/error.cpp
//
// Names of error codes and sides, as they appear in logs, problems and metrics.
#include "base/error.h"

namespace portloom {

std::string_view name_of(Code code) {
  switch (code) {
    case Code::internal: return "internal";
    case Code::bad_request: return "bad_request";
    case Code::unsupported_version: return "unsupported_version";
    case Code::unsupported_coding: return "unsupported_coding";
    case Code::unsupported_expectation: return "unsupported_expectation";
    case Code::target_too_long: return "target_too_long";
    case Code::headers_too_large: return "headers_too_large";
    case Code::body_too_large: return "body_too_large";
    case Code::request_timeout: return "request_timeout";
    case Code::unauthenticated: return "unauthenticated";
    case Code::forbidden: return "forbidden";
    case Code::not_found: return "not_found";
    case Code::method_not_allowed: return "method_not_allowed";
    case Code::misdirected: return "misdirected";
    case Code::missing_input: return "missing_input";
    case Code::rate_limited: return "rate_limited";
    case Code::abnormal_usage: return "abnormal_usage";
    case Code::reduced_capacity: return "reduced_capacity";
    case Code::overloaded: return "overloaded";
    case Code::refused: return "refused";
    case Code::reset: return "reset";
    case Code::closed: return "closed";
    case Code::connect_timeout: return "connect_timeout";
    case Code::upstream_timeout: return "upstream_timeout";
    case Code::upstream_protocol: return "upstream_protocol";
    case Code::no_endpoint: return "no_endpoint";
    case Code::breaker_open: return "breaker_open";
    case Code::client_gone: return "client_gone";
    case Code::cancelled: return "cancelled";
    case Code::draining: return "draining";
    case Code::unavailable: return "unavailable";
    case Code::exhausted: return "exhausted";
    case Code::invalid: return "invalid";
  }
  return "internal";
}

std::string_view name_of(Side side) {
  switch (side) {
    case Side::client: return "client";
    case Side::upstream: return "upstream";
    case Side::gateway: return "gateway";
  }
  return "gateway";
}

}  // namespace portloom
