// http/hop_by_hop.h
//
// Takes off a head what was meant for one connection only (RFC 9110 §7.6.1), before any policy adds fields of its own. A
// peer cannot use Connection to take off fields that we or the next hop rely on.
#pragma once

#include "http/headers.h"

namespace portloom::http {

// What the removed fields said.
struct HopByHop {
  bool te_trailers = false;  // TE: trailers: the sender takes trailer fields
};

// Removes the fields that Connection names (but never protected ones: Host, Content-*, Via, Forwarded, X-Forwarded-*,
// Authorization, Cookie, traceparent, grpc-*, ...), and Connection, Keep-Alive, Proxy-Connection, TE, Transfer-Encoding,
// Proxy-Authorization, Proxy-Authenticate, HTTP2-Settings; Upgrade too unless `keep_upgrade`.
// Content-Length stays: the writer replaces it.
HopByHop strip_hop_by_hop(Headers& headers, bool keep_upgrade = false);

// Whether Connection may not remove a field of that name.
bool is_protected(Name id, std::string_view name);

}  // namespace portloom::http
