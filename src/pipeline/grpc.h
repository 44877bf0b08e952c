// pipeline/grpc.h
//
// What differs for a caller that speaks gRPC over HTTP/2: failures are told as a gRPC status under HTTP 200 ("Trailers-Only"), and
// its grpc-timeout bounds the whole call. Messages, metadata and trailers pass through as they come. One worker.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "pipeline/exchange.h"
#include "pipeline/service.h"

namespace portloom::pipeline {

// Content type application/grpc, alone or with "+proto" or parameters; gRPC-Web is another protocol.
bool is_grpc(std::string_view content_type);
// Up to eight digits and one of H M S m u n; empty when it is malformed.
std::optional<Duration> parse_grpc_timeout(std::string_view text);
// In the finest unit that eight digits suffice for; never negative.
std::string format_grpc_timeout(Duration left);
// For an answer that has no grpc-status: "HTTP to gRPC Status Code Mapping" of the gRPC documentation.
uint8_t grpc_status_of(uint16_t http_status);
uint8_t grpc_status_of(const Error& error);
// Percent-encoded, as grpc-message is.
std::string grpc_message_of(std::string_view text);

// Notes on the exchange whether it is gRPC, and until when.
void open_grpc(Exchange& exchange, const Request& request);
// service.call(request) until the exchange's deadline; then a fault.
Task<Response> call_within(Service& service, Request& request);
// grpc-timeout as it is now, for the next hop.
void pass_on_deadline(Request& request);
// `response` for a gRPC caller: a fault, or an HTTP error that says no grpc-status, becomes one; a body that fails on the way, or is
// not over by the deadline, ends with a status that says so. `told`: what the caller may know of a fault.
void make_grpc(Response& response, Exchange& exchange, std::string_view told);

}  // namespace portloom::pipeline
