// http/forwarding.h
//
// Who is really asking, and what we tell the next hop about it: X-Forwarded-*, Forwarded (RFC 7239), Via and Max-Forwards. What an
// untrusted peer says about itself is replaced, never appended to.
#pragma once

#include <string_view>

#include "base/error.h"
#include "http/cidr.h"
#include "http/message.h"

namespace portloom::http {

struct Forwarding {
  Address peer;             // the other end of the connection
  std::string_view scheme;  // of the listener: "http" or "https"
  std::string_view host;    // as the client asked for it
  bool trusted = false;     // the peer is in the trusted list: its values are kept and appended to
  bool x_forwarded = true;  // write X-Forwarded-For, -Proto, -Host
  bool forwarded = false;   // write Forwarded; else a trusted one passes and an untrusted one is removed
};

// X-Real-IP and X-Forwarded-Port of an untrusted peer are removed.
void write_forwarding(Headers& headers, const Forwarding& facts);

// Appends "1.1 name" to Via, in one field (RFC 9110 §7.6.3). `minor` is that of the received message; major 2 for HTTP/2.
void write_via(Headers& headers, std::string_view name, int major, int minor);
// Whether Via names `name` already: the message came round.
bool via_contains(const Headers& headers, std::string_view name);

// The client to believe: from the connection's peer leftwards through X-Forwarded-For (else Forwarded's for=), the first address
// that is not trusted; with all trusted, the leftmost. Something unreadable ends the walk at the last hop that was read.
Address believed_client(const Headers& headers, const Address& peer, const CidrSet& trusted);

// Max-Forwards of TRACE and OPTIONS (RFC 9110 §7.6.2): counts down. True when it was 0 and the request is to be answered here.
// bad_request when it is no number. Other methods are left alone.
Result<bool> count_down_max_forwards(RequestHead& head);

}  // namespace portloom::http
