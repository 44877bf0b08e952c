// pipeline/problem.cpp
//
// The one table code -> (HTTP status, gRPC status, severity, words), and problem details as RFC 9457 has them. docs/errors.md
// has a section per code; the test compares the two.
#include "pipeline/problem.h"

#include <algorithm>
#include <array>

#include "base/bytes.h"
#include "base/check.h"
#include "data/json.h"
#include "http/headers.h"
#include "pipeline/grpc.h"

namespace portloom::pipeline {

namespace {

using enum Severity;
constexpr bool shown = true;
constexpr bool kept = false;

constexpr uint8_t grpc_cancelled = 1, grpc_invalid_argument = 3, grpc_deadline_exceeded = 4, grpc_permission_denied = 7,
                  grpc_resource_exhausted = 8, grpc_unimplemented = 12, grpc_internal = 13, grpc_unavailable = 14,
                  grpc_unauthenticated = 16;

// In the order of Code. Statuses without a comment: RFC 9110 §15.
constexpr std::array types = {
    ProblemType{Code::internal, 500, grpc_internal, error, kept, 0, "Internal error", "The gateway failed. The request was not at fault."},
    ProblemType{Code::bad_request, 400, grpc_invalid_argument, info, shown, 0, "Malformed request", "The request is not well-formed HTTP."},
    ProblemType{Code::unsupported_version, 505, grpc_unimplemented, info, shown, 0, "HTTP version not supported",
                "The request's HTTP version is not spoken here."},
    ProblemType{Code::unsupported_coding, 501, grpc_unimplemented, info, shown, 0, "Transfer coding not supported",  // RFC 9112 §6.1
                "The request's transfer coding is not implemented here."},
    ProblemType{Code::unsupported_expectation, 417, grpc_invalid_argument, info, shown, 0, "Expectation not supported",
                "The only expectation understood here is 100-continue."},
    ProblemType{Code::target_too_long, 414, grpc_resource_exhausted, info, kept, 0, "URI too long",
                "The request target is longer than allowed."},
    ProblemType{Code::headers_too_large, 431, grpc_resource_exhausted, info, kept, 0, "Header fields too large",  // RFC 6585 §5
                "The request's header fields are larger than allowed."},
    ProblemType{Code::body_too_large, 413, grpc_resource_exhausted, info, kept, 0, "Content too large",
                "The request's content is larger than allowed."},
    ProblemType{Code::request_timeout, 408, grpc_deadline_exceeded, info, kept, 0, "Request timeout",
                "The request did not arrive in time."},
    ProblemType{Code::unauthenticated, 401, grpc_unauthenticated, info, shown, 0, "Not authenticated",
                "The request needs valid credentials."},
    ProblemType{Code::forbidden, 403, grpc_permission_denied, info, shown, 0, "Forbidden", "The caller may not do this."},
    ProblemType{Code::not_found, 404, grpc_unimplemented, info, shown, 0, "Not found", "There is nothing at this host and path."},
    ProblemType{Code::method_not_allowed, 405, grpc_unimplemented, info, shown, 0, "Method not allowed",
                "This path does not take the request's method; Allow lists those it takes."},
    ProblemType{Code::misdirected, 421, grpc_unavailable, info, shown, 0, "Misdirected request",
                "This connection does not serve the request's host."},
    ProblemType{Code::missing_input, 400, grpc_invalid_argument, info, shown, 0, "Missing input",
                "The request lacks a value that is needed to serve it."},
    ProblemType{Code::rate_limited, 429, grpc_resource_exhausted, info, kept, 0, "Too many requests",  // RFC 6585 §4
                "The caller has used up its allowance for now.", "quota-exceeded"},  // draft-ietf-httpapi-ratelimit-headers
    ProblemType{Code::abnormal_usage, 429, grpc_resource_exhausted, info, kept, 0, "Abnormal usage",
                "The caller's requests are unlike those of other callers.", "abnormal-usage-detected"},  // of the same draft
    ProblemType{Code::reduced_capacity, 503, grpc_unavailable, warning, kept, 1, "Temporarily reduced capacity",
                "Fewer requests than usual are taken on for a while.", "temporary-reduced-capacity"},  // of the same draft
    ProblemType{Code::overloaded, 503, grpc_unavailable, warning, kept, 1, "Overloaded",
                "There is more work than can be taken on right now."},
    ProblemType{Code::refused, 502, grpc_unavailable, warning, kept, 0, "Service not reachable", "The service could not be reached."},
    ProblemType{Code::reset, 502, grpc_unavailable, warning, kept, 0, "Connection broken", "The connection to the service broke."},
    ProblemType{Code::closed, 502, grpc_unavailable, warning, kept, 0, "Connection closed",
                "The service closed the connection before its answer was complete."},
    ProblemType{Code::connect_timeout, 504, grpc_unavailable, warning, kept, 0, "Connect timeout",
                "The service did not take a connection in time."},
    ProblemType{Code::upstream_timeout, 504, grpc_deadline_exceeded, warning, kept, 0, "Service timeout",
                "The service did not answer in time."},
    ProblemType{Code::upstream_protocol, 502, grpc_internal, warning, kept, 0, "Unusable answer",
                "The service's answer could not be used."},
    ProblemType{Code::no_endpoint, 503, grpc_unavailable, warning, kept, 0, "Service unavailable",
                "No instance of the service is available."},
    ProblemType{Code::breaker_open, 503, grpc_unavailable, info, kept, 1, "Circuit breaker open",
                "The service has failed too often lately and is given time to recover."},
    ProblemType{Code::client_gone, 499, grpc_cancelled, debug, kept, 0, "Client gone",  // not registered; only in logs
                "The client went away before the answer was complete."},
    ProblemType{Code::cancelled, 503, grpc_cancelled, info, kept, 0, "Cancelled", "The request was given up before it was answered."},
    ProblemType{Code::draining, 503, grpc_unavailable, info, kept, 1, "Shutting down", "This instance is shutting down."},
    ProblemType{Code::unavailable, 503, grpc_unavailable, error, kept, 0, "Dependency unavailable",
                "Something that the gateway needs is not available."},
    ProblemType{Code::exhausted, 503, grpc_unavailable, error, kept, 1, "Out of resources", "The gateway has run out of a resource."},
    ProblemType{Code::invalid, 500, grpc_internal, error, kept, 0, "Unreadable value", "A value could not be read."},
};
static_assert(types.size() == static_cast<size_t>(Code::invalid) + 1);
static_assert([] {
  for (size_t i = 0; i < types.size(); ++i)
    if (types[i].code != static_cast<Code>(i)) return false;
  return true;
}());

// What is known beside the error, for those who run the gateway.
struct Circumstances {
  std::string_view service;
  std::string_view policy;
  std::string_view limit;
  std::string_view config;
  std::string_view failed_services;    // comma-separated call names
  std::string_view violated_policies;  // comma-separated names of limits
};

void write_unless_empty(data::JsonWriter& json, std::string_view name, std::string_view text) {
  if (!text.empty()) json.member(name, text);
}

void write_list(data::JsonWriter& json, std::string_view name, std::string_view list) {
  if (list.empty()) return;
  json.key(name).begin_array();
  while (true) {
    size_t comma = list.find(',');
    json.value(list.substr(0, comma));
    if (comma == std::string_view::npos) break;
    list.remove_prefix(comma + 1);
  }
  json.end_array();
}

// What the caller may know: everything on an internal listener; else what is wrong with its own request.
std::string_view told_of(const Error& error, bool internal) {
  const ProblemType& type = problem_type(answered_as(error.code, error.side));
  bool tell = !error.detail.empty() && (internal || (error.side == Side::client && type.shows_detail));
  return tell ? std::string_view(error.detail) : type.sentence;
}

std::string text_of(uint16_t status, const Error& error, std::string_view request_id, bool internal, const Circumstances& known) {
  const ProblemType& type = problem_type(answered_as(error.code, error.side));
  std::string text;
  data::JsonWriter json(text);
  json.begin_object();
  json.key("type").value("errors.md#" + std::string(type.type()));  // a URI reference (RFC 9457 §3.1.1)
  json.member("title", type.title).member("status", status);
  json.member("detail", told_of(error, internal));
  write_unless_empty(json, "request_id", request_id);
  if (internal) {
    json.member("blame", name_of(error.side)).member("reason", name_of(error.code));
    write_unless_empty(json, "service", known.service);
    write_unless_empty(json, "policy", known.policy);
    write_unless_empty(json, "limit", known.limit);
    write_unless_empty(json, "config", known.config);
  }
  write_list(json, "violated-policies", known.violated_policies);
  write_list(json, "failedServices", known.failed_services);
  json.end_object();
  return text;
}

}  // namespace

const ProblemType& problem_type(Code code) {
  auto row = static_cast<size_t>(code);
  CHECK(row < types.size());
  return types[row];
}

Code answered_as(Code code, Side side) {
  if (side == Side::gateway) return code;
  bool client = side == Side::client;
  switch (code) {
    case Code::reset:
    case Code::closed:
    case Code::cancelled: return client ? Code::client_gone : code;
    case Code::invalid: return client ? Code::bad_request : Code::upstream_protocol;
    // RFC 9110 §15.5: a 4xx says that the client erred. It did not when the message at fault was the upstream's.
    case Code::bad_request:
    case Code::unsupported_version:
    case Code::unsupported_coding:
    case Code::headers_too_large:
    case Code::body_too_large: return client ? code : Code::upstream_protocol;
    case Code::request_timeout: return client ? code : Code::upstream_timeout;
    default: return code;
  }
}

uint16_t status_of(Code code, Side side) { return problem_type(answered_as(code, side)).status; }

Response deny(Error error) {
  uint16_t status = status_of(error.code, error.side);
  return fault_response(status, std::move(error));
}

void render(Response& response, Exchange& exchange, bool internal) {
  if (exchange.grpc) {
    std::string_view told = response.fault ? told_of(*response.fault, internal) : std::string_view{};
    return make_grpc(response, exchange, told);
  }
  if (!response.fault) return;
  const Error& error = *response.fault;
  const Record& record = exchange.record;
  std::string_view route_config = exchange.route != nullptr ? std::string_view(exchange.route->config) : std::string_view{};
  Circumstances known{.service = record.service(),
                      .policy = record.policy,
                      .limit = record.limit,
                      .config = record.config.empty() ? route_config : record.config,
                      .failed_services = record.failed_services,
                      .violated_policies = record.violated_policies};
  response.body = http::Body(Bytes::copy(text_of(response.status, error, record.id(), internal, known)));
  response.headers.set(http::Name::content_type, "application/problem+json");
  uint8_t retry_after = problem_type(answered_as(error.code, error.side)).retry_after;
  if (retry_after != 0 && !response.headers.contains(http::Name::retry_after))
    response.headers.add(http::Name::retry_after, std::to_string(retry_after));
}

}  // namespace portloom::pipeline
