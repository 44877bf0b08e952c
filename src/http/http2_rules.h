// http/http2_rules.h
//
// What RFC 9113 §8 asks of a request's fields, as questions about texts. nghttp2's own checks are off on the server's side: all
// that it could do is reset the stream, and a client is better told what is wrong.
#pragma once

#include <optional>
#include <string_view>

#include "http/headers.h"

namespace portloom::http {

// A field as HPACK yields it, pseudo-header fields left out. `fault`: what is wrong with it, a literal; empty when nothing is.
struct Http2Field {
  Name id = Name::other;
  std::string_view fault;
};
Http2Field check_field(std::string_view name, std::string_view value);

// Which pseudo-header fields of a request are there.
struct Http2Pseudo {
  bool method = false;
  bool scheme = false;
  bool authority = false;
  bool path = false;
  bool protocol = false;  // RFC 8441
};
// What is wrong with the set of them, empty when nothing is. `connects`: the method is CONNECT.
std::string_view fault_of(const Http2Pseudo& there, bool connects);

// The Priority field (RFC 9218 §4); what it does not say has its default. Nothing when it cannot be read.
struct Priority {
  int urgency = 3;  // 0 goes first, 7 last
  bool incremental = false;
};
std::optional<Priority> parse_priority(std::string_view value);

}  // namespace portloom::http
