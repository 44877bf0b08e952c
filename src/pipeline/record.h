// pipeline/record.h
//
// Record: the account of one exchange, written once, when the last byte is gone. Access log, metrics and traces read it and
// nothing else. Texts are views: what they point to lives until the record is written (the request line is held by `line`).
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/duration.h"
#include "base/error.h"

namespace portloom::pipeline {

struct Record {
  // What became of a call, for whoever asks how much a service delivers: `excused` speaks for nobody and against nobody (4xx, a client
  // that left, a bound of ours).
  enum class Verdict : uint8_t { unknown, delivered, failed, excused };
  // One call to a service; a request has one, a composition several.
  struct Call {
    std::string_view service;   // the plan's
    std::string_view endpoint;  // "10.0.0.1:8080"
    Bytes endpoint_text;        // what `endpoint` points to, where the endpoint may go before the record is written
    uint32_t attempts = 0;
    bool answered = false;     // a response head came
    bool degraded = false;     // a composition has answered it, without the results of some of its own calls
    Verdict verdict{};         // of a call that a composition has made
    std::string_view ran;      // the composition that it went to; empty: to a service
    std::string_view part;     // as which call it was made by a composition; empty: by none, or in place of a call that had failed
    std::string_view part_of;  // and the composition's name
    Duration queue{0};
    Duration connect{0};
    Duration first_byte{0};
  };
  static constexpr size_t calls_max = 64;

  WallTime time{};  // when the head had been read
  Instant begun{};
  std::array<char, 64> request_id{};
  uint8_t request_id_size = 0;
  Bytes line;       // keeps method and path alive
  Bytes host_text;  // and the host
  std::string_view client;
  std::string_view method;
  std::string_view host;
  std::string_view path;  // as asked, with the query
  std::string_view protocol = "HTTP/1.1";
  std::string_view listener;
  std::string_view route;      // its name; empty when none matched
  uint32_t route_index = ~0u;  // into the snapshot's table
  uint16_t listener_index = 0;
  uint16_t status = 0;    // 0: the client went before an answer began; logged as 499
  bool complete = false;  // the last byte was handed to the kernel
  std::optional<Error> fault;
  std::string_view limit;           // which limit refused it
  std::string_view policy;          // which policy answered
  std::string_view config;          // FILE:LINE where that policy is written
  std::string_view dry_run;         // the limit that would have refused it, did its policy not only count
  std::string_view dry_run_policy;  // and that policy
  std::string violated_policies;    // comma-separated names of the limits that refused it, for the client
  uint64_t bytes_in = 0;            // of bodies
  uint64_t bytes_out = 0;
  Duration duration{0};
  bool degraded = false;
  std::string failed_services;      // comma-separated call names
  std::string_view failed_service;  // the plan's: whose failure a composition's was; empty: none was
  std::string consumer;
  std::string tenant;
  std::array<char, 32> trace{};                 // the trace that the request belongs to; see trace_id()
  Call call;                                    // the request's own
  std::vector<std::unique_ptr<Call>> subcalls;  // at most calls_max

  std::string_view id() const { return {request_id.data(), request_id_size}; }
  // Whom the request went to, or whose failure is told of; empty: nobody's.
  std::string_view service() const { return call.service.empty() ? failed_service : call.service; }
  // Empty: none was read.
  std::string_view trace_id() const { return {trace.data(), trace[0] == 0 ? 0 : trace.size()}; }
};

}  // namespace portloom::pipeline
