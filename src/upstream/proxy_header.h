// upstream/proxy_header.h
//
// What is said in front of a connection that is made for one client alone, so that the service learns whose it is.
#pragma once

#include <string>

#include "io/proxy_protocol.h"
#include "pipeline/exchange.h"

namespace portloom::upstream {

// The source is the client that we believe in: with its port if it is our own peer, with port 0 if a trusted proxy named it. The
// destination is the address of ours that it connected to. A client that came over a Unix socket has none: UNKNOWN or LOCAL is said.
std::string proxy_header(io::ProxyVersion version, const pipeline::Exchange& exchange);

}  // namespace portloom::upstream
