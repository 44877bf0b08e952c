// http/framing.h
//
// Framing: what a head says about its body and its connection, under the rules of RFC 9112 §6 and §9 that smuggling lives on.
// Whatever two readers could understand differently is refused here. Pure functions.
#pragma once

#include <cstdint>

#include "base/error.h"
#include "http/message.h"

namespace portloom::http {

struct Framing {
  enum class Kind : uint8_t { none, length, chunked, until_close, tunnel };
  Kind kind = Kind::none;
  uint64_t length = 0;               // of Kind::length; else what a HEAD or 304 answer declares
  bool declares_length = false;      // Kind::none of a HEAD or 304 answer that carries Content-Length
  bool keep_alive = true;            // the connection may be used again after this message
  bool announce_keep_alive = false;  // the peer speaks HTTP/1.0 and must be told (RFC 9112 §9.3)
  bool expect_continue = false;      // the client waits for 100 before it sends the body
  bool upgrade = false;              // Connection names "upgrade" and an Upgrade field is there
};

// Refuses: no or more than one Host in HTTP/1.1 or an invalid one, Transfer-Encoding together with Content-Length or in
// HTTP/1.0, a last coding that is not chunked, other codings (unsupported_coding), Content-Length that is no number or a
// list of different ones, a body on CONNECT, an Expect that we do not know (unsupported_expectation). All blame the client.
Result<Framing> request_framing(const RequestHead& head);
// The same without the rules for Host.
Result<Framing> request_body_framing(const RequestHead& head);

// `request_method` decides for HEAD and CONNECT. Every error is upstream_protocol. A tunnel comes from 101 and from 2xx to
// CONNECT; whether an upgrade had been asked for is the caller's to check.
Result<Framing> response_framing(const ResponseHead& head, Method request_method);

// Whether a list field of tokens names `token` (case-insensitive).
bool list_contains(const Headers& headers, Name name, std::string_view token);

}  // namespace portloom::http
