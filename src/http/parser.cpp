// http/parser.cpp
//
// A line is looked for with memchr and read as soon as it is whole, so a head in pieces is scanned once and a fault is
// found in the line that has it.
#include "http/parser.h"

#include <cstring>

#include "http/grammar.h"

namespace portloom::http {

namespace {

constexpr size_t method_max = 64;
constexpr size_t reason_max = 1024;
constexpr size_t version_size = 8;  // "HTTP/1.1"

enum class Version : uint8_t { http10, http11, unsupported, malformed };

// RFC 9112 §2.3; case-sensitive.
Version version_of(std::string_view text) {
  if (text == "HTTP/1.1") return Version::http11;
  if (text == "HTTP/1.0") return Version::http10;
  bool formed = text.size() == version_size && text.starts_with("HTTP/") && is_digit(text[5]) && text[6] == '.' && is_digit(text[7]);
  return formed ? Version::unsupported : Version::malformed;
}

}  // namespace

bool parse_field_line(std::string_view line, Headers& headers, bool request, const char*& fault) {
  size_t end = 0;
  while (end < line.size() && is_token_char(line[end])) ++end;
  size_t colon = end;
  if (end == 0) {
    bool indented = !line.empty() && (line[0] == ' ' || line[0] == '\t');
    fault = indented ? "a field line begins with whitespace" : "a field name is missing or malformed";  // RFC 9112 §2.2, §5.2
    return false;
  }
  if (!request)  // RFC 9112 §5.1: removed from responses, refused in requests
    while (colon < line.size() && (line[colon] == ' ' || line[colon] == '\t')) ++colon;
  if (colon == line.size() || line[colon] != ':') {
    fault = "a field name is malformed";
    return false;
  }
  std::string_view name = line.substr(0, end);
  std::string_view value = trim(line.substr(colon + 1));
  if (!is_field_value(value)) {
    fault = "a field value has a control character";  // RFC 9110 §5.5; a bare CR is one (RFC 9112 §2.2)
    return false;
  }
  headers.add_validated(name_of_field(name), name, value);
  return true;
}

void HeadParser::reset() {
  position_ = scanned_ = field_bytes_ = 0;
  start_done_ = skipped_empty_ = partial_ = started_ = false;
}

HeadParser::State HeadParser::fail(Code code, Side side, const char* detail) {
  error_ = Error{side == Side::upstream ? Code::upstream_protocol : code, side, Progress::nothing, detail};
  return State::failed;
}

HeadParser::Line HeadParser::next_line(std::string_view input, std::string_view& line) {
  const void* found = scanned_ < input.size() ? std::memchr(input.data() + scanned_, '\n', input.size() - scanned_) : nullptr;
  if (found == nullptr) {
    scanned_ = input.size();
    return Line::none;
  }
  auto end = static_cast<size_t>(static_cast<const char*>(found) - input.data());
  if (end == position_ || input[end - 1] != '\r') return Line::bad;  // RFC 9112 §2.2 allows to accept a bare LF; we do not
  line = input.substr(position_, end - 1 - position_);
  position_ = scanned_ = end + 1;
  return Line::some;
}

// The start line is not whole yet: refuses what cannot become one, and what would become too long.
HeadParser::State HeadParser::wait_for_start(std::string_view input, bool request) {
  std::string_view rest = input.substr(position_);
  partial_ = !rest.empty();
  if (!request) {
    std::string_view version = "HTTP/";
    size_t compared = std::min(rest.size(), version.size());
    if (rest.substr(0, compared) != version.substr(0, compared)) return fail({}, Side::upstream, "the answer is not HTTP/1");
    if (rest.size() > version_size + 5 + reason_max) return fail({}, Side::upstream, "the status line is too long");
    return State::incomplete;
  }
  if (rest == "\r" && !skipped_empty_) return State::incomplete;
  size_t space = rest.find(' ');
  std::string_view method = rest.substr(0, space);
  if (!rest.empty() && (!is_token(method) || method.size() > method_max))
    return fail(Code::bad_request, Side::client, "the method is malformed");
  if (space != std::string_view::npos && rest.size() - space - 1 > limits_.uri + version_size + 2)
    return fail(Code::target_too_long, Side::client, "limits.uri");
  return State::incomplete;
}

bool HeadParser::request_line(std::string_view line, RequestHead& head) {
  auto refuse = [this](Code code, const char* detail) {
    fail(code, Side::client, detail);
    return false;
  };
  // RFC 9112 §3: single spaces; whoever is lenient here can be smuggled past.
  size_t space = line.find(' ');
  std::string_view method = line.substr(0, space);
  if (!is_token(method) || method.size() > method_max || space == std::string_view::npos)
    return refuse(Code::bad_request, "the method is malformed");
  std::string_view rest = line.substr(space + 1);
  if (rest.size() < version_size + 2 || rest[rest.size() - version_size - 1] != ' ') {
    bool too_long = rest.size() > limits_.uri + version_size + 1;
    return refuse(too_long ? Code::target_too_long : Code::bad_request, too_long ? "limits.uri" : "the request line is malformed");
  }
  std::string_view target = rest.substr(0, rest.size() - version_size - 1);
  if (target.size() > limits_.uri) return refuse(Code::target_too_long, "limits.uri");  // RFC 9110 §15.5.15
  switch (version_of(rest.substr(target.size() + 1))) {
    case Version::http11: head.minor = 1; break;
    case Version::http10: head.minor = 0; break;
    case Version::unsupported: return refuse(Code::unsupported_version, "HTTP/1.0, HTTP/1.1 and HTTP/2 are spoken here");
    case Version::malformed: return refuse(Code::bad_request, "the request line is malformed");
  }
  if (!head.assign(method, target)) return refuse(Code::bad_request, "the request target is malformed");
  return true;
}

bool HeadParser::status_line(std::string_view line, ResponseHead& head) {
  auto refuse = [this](const char* detail) {
    fail({}, Side::upstream, detail);
    return false;
  };
  // RFC 9112 §4. The space behind the code is not optional there, but is left out by many.
  if (line.size() < version_size + 4 || line[version_size] != ' ') return refuse("the status line is malformed");
  switch (version_of(line.substr(0, version_size))) {
    case Version::http11: head.minor = 1; break;
    case Version::http10: head.minor = 0; break;
    case Version::unsupported: return refuse("an HTTP version that is not 1.0 or 1.1");
    case Version::malformed: return refuse("the status line is malformed");
  }
  std::string_view code = line.substr(version_size + 1, 3);
  if (code[0] < '1' || !is_digit(code[0]) || !is_digit(code[1]) || !is_digit(code[2])) return refuse("the status code is malformed");
  head.status = static_cast<uint16_t>((code[0] - '0') * 100 + (code[1] - '0') * 10 + (code[2] - '0'));
  std::string_view reason = line.substr(version_size + 4);
  if (reason.empty()) return true;
  if (reason[0] != ' ' || !is_field_value(reason)) return refuse("the status line is malformed");
  if (reason.size() > reason_max) return refuse("the status line is too long");
  reason.remove_prefix(1);
  std::string_view usual = reason_phrase(head.status);
  head.reason = reason == usual ? Bytes::literal(usual) : Bytes::copy(reason);
  return true;
}

HeadParser::State HeadParser::parse_fields(std::string_view input, Headers& headers, size_t& consumed, bool request) {
  Side side = request ? Side::client : Side::upstream;
  std::string_view line;
  while (true) {
    switch (next_line(input, line)) {
      case Line::bad: return fail(Code::bad_request, side, "a line ends without CR");
      case Line::none:
        // Behind the last field two bytes may still come.
        if (field_bytes_ + (input.size() - position_) > limits_.headers + 2) return fail(Code::headers_too_large, side, "limits.headers");
        return State::incomplete;
      case Line::some: break;
    }
    if (line.empty()) {
      consumed = position_;
      reset();
      return State::complete;
    }
    field_bytes_ += line.size() + 2;
    if (field_bytes_ > limits_.headers) return fail(Code::headers_too_large, side, "limits.headers");  // RFC 6585 §5
    if (headers.size() >= limits_.header_count) return fail(Code::headers_too_large, side, "limits.header_count");
    const char* fault = nullptr;
    if (!parse_field_line(line, headers, request, fault)) return fail(Code::bad_request, side, fault);
  }
}

HeadParser::State HeadParser::parse_request(std::string_view input, RequestHead& head, size_t& consumed) {
  consumed = 0;
  if (!std::exchange(started_, true)) head.headers.clear();
  while (!start_done_) {
    std::string_view line;
    switch (next_line(input, line)) {
      case Line::bad: return fail(Code::bad_request, Side::client, "a line ends without CR");
      case Line::none: return wait_for_start(input, true);
      case Line::some: break;
    }
    if (line.empty() && !skipped_empty_) {  // RFC 9112 §2.2: at least one empty line before a request line is ignored
      skipped_empty_ = true;
      continue;
    }
    if (!request_line(line, head)) return State::failed;
    start_done_ = true;
  }
  return parse_fields(input, head.headers, consumed, true);
}

HeadParser::State HeadParser::parse_response(std::string_view input, ResponseHead& head, size_t& consumed) {
  consumed = 0;
  if (!std::exchange(started_, true)) {
    head.headers.clear();
    head.reason = {};
  }
  if (!start_done_) {
    std::string_view line;
    switch (next_line(input, line)) {
      case Line::bad: return fail({}, Side::upstream, "a line ends without CR");
      case Line::none: return wait_for_start(input, false);
      case Line::some: break;
    }
    if (!status_line(line, head)) return State::failed;
    start_done_ = true;
  }
  return parse_fields(input, head.headers, consumed, false);
}

}  // namespace portloom::http
