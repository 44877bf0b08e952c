// http/parser.h
//
// HeadParser: reads one HTTP/1 head after another out of a buffer, line by line, remembering how far it got; most heads
// arrive whole. Strict RFC 9112: CRLF only, no folding, no bare CR, no control characters. Owned by one connection.
#pragma once

#include <cstddef>
#include <string_view>

#include "base/error.h"
#include "http/message.h"

namespace portloom::http {

struct Limits {
  size_t headers = 64 * 1024;  // bytes of all field lines of a head: 431
  size_t uri = 8 * 1024;       // bytes of a request target: 414 (RFC 9112 §3 asks for at least 8000 octets of request line)
  size_t header_count = 256;   // fields of a head: 431
};

class HeadParser {
 public:
  enum class State : uint8_t {
    incomplete,  // call again with the same bytes and more behind them
    complete,    // `consumed` bytes were the head; the parser is ready for the next one
    failed,      // see error(); the connection cannot be read further
  };

  explicit HeadParser(Limits limits = {}) : limits_(limits) {}

  // `input` always begins where the head begins, and must hold what earlier calls for this head were given (it may have
  // moved). `head` must be the same object until the state is not `incomplete`; it is cleared by the first call.
  // Errors of a request blame the client: bad_request, target_too_long, headers_too_large, unsupported_version.
  State parse_request(std::string_view input, RequestHead& head, size_t& consumed);
  // Errors of a response blame the upstream: always upstream_protocol.
  State parse_response(std::string_view input, ResponseHead& head, size_t& consumed);

  const Error& error() const { return error_; }
  // True once a byte of a head was seen: whether a close now cuts a message.
  bool begun() const { return start_done_ || partial_; }
  // Forgets a head that was begun.
  void reset();

 private:
  enum class Line : uint8_t { none, some, bad };
  Line next_line(std::string_view input, std::string_view& line);
  State parse_fields(std::string_view input, Headers& headers, size_t& consumed, bool request);
  State wait_for_start(std::string_view input, bool request);
  bool request_line(std::string_view line, RequestHead& head);
  bool status_line(std::string_view line, ResponseHead& head);
  State fail(Code code, Side side, const char* detail);

  Limits limits_;
  size_t position_ = 0;  // where the next line begins
  size_t scanned_ = 0;   // no LF before this
  size_t field_bytes_ = 0;
  bool started_ = false;  // a first call was made for this head
  bool start_done_ = false;
  bool skipped_empty_ = false;
  bool partial_ = false;
  Error error_;
};

// One field line without its CRLF, appended to `headers`. False, with a reason in `fault`, when it is malformed. In a response
// whitespace before the colon is cut off, in a request it is refused (RFC 9112 §5.1). Trailers use the request's rules.
bool parse_field_line(std::string_view line, Headers& headers, bool request, const char*& fault);

}  // namespace portloom::http
