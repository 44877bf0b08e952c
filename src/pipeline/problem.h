// pipeline/problem.h
//
// From a fault to an answer: one table code -> (HTTP status, title, log level), one function that writes problem+json
// (RFC 9457). On a public listener a stranger sees type, title, status, detail and request_id; on an internal one also
// blame, reason, service, policy, limit and the configuration line. The access log always has all of them.
#pragma once

#include <string>
#include <string_view>

#include "pipeline/exchange.h"
#include "pipeline/service.h"

namespace portloom::pipeline {

enum class Severity : uint8_t { debug, info, warning, error };

// A row of the table.
struct ProblemType {
  Code code;
  uint16_t status;
  uint8_t grpc_status;  // for gRPC callers: the number of google.rpc.Code
  Severity severity;    // at which the diagnostics log tells of it
  bool shows_detail;    // a stranger may read the detail, when the fault is the client's own
  uint8_t retry_after;  // seconds; 0: no Retry-After
  std::string_view title;
  std::string_view sentence;        // the detail for strangers
  std::string_view type_name = {};  // the name that a specification gives it; empty: the code's
  // A section of docs/errors.md.
  std::string_view type() const { return type_name.empty() ? name_of(code) : type_name; }
};
const ProblemType& problem_type(Code code);
// What a fault is answered as: the client's "reset" is client_gone, an upstream's "headers_too_large" is upstream_protocol.
Code answered_as(Code code, Side side);

// The status that a fault becomes unless the policy chose one: 400, 408, 502, 504, ...
uint16_t status_of(Code code, Side side);
// A fault response with the table's status.
Response deny(Error error);
inline Response deny(Code code, Side side, std::string detail = {}) {
  return deny(Error{code, side, Progress::nothing, std::move(detail)});
}

// Gives a fault response its problem+json body and content-type, and Retry-After where the table has it and nobody set it;
// leaves other responses alone, but for a gRPC caller's (grpc.h). The answer to HEAD gets a body too: the connection's writer leaves it
// out.
void render(Response& response, Exchange& exchange, bool internal);

}  // namespace portloom::pipeline
