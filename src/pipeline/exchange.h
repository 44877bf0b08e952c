// pipeline/exchange.h
//
// Exchange: one request's life on one worker, from the head that was read to the last byte sent. Pins the plan that it was
// matched with. Lives in the frame of server::serve_exchange.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "http/cidr.h"
#include "http/headers.h"
#include "io/address.h"
#include "io/tls.h"
#include "pipeline/plan.h"
#include "pipeline/record.h"
#include "pipeline/router.h"

namespace portloom::pipeline {

// Who is at the other end of a connection. Lives as long as the connection.
struct Peer {
  io::Address address;                 // of the connection
  http::Address ip;                    // the same, to compare with ranges
  std::string text;                    // the address without port, for logs and keys
  std::unique_ptr<io::Address> local;  // ours, that it connected to; null where nobody wants to know (Door::tells_local)
  const io::TlsFacts* tls = nullptr;   // null: it speaks plainly
  bool trusted = false;                // in the listener's trusted_proxies: its X-Forwarded-For is believed
};

// Who the caller is, once a policy has found out.
struct Identity {
  std::string consumer;  // empty: unknown
  std::string tenant;
  std::string plan;
  std::vector<std::string> groups;
};

struct Exchange {
  Exchange(Plan& live, const Peer& who) : plan(live), peer(who) {}
  Exchange(const Exchange&) = delete;

  Pinned<Plan> plan;
  const Peer& peer;
  const Route* route = nullptr;  // matched before listener policies run; null: none
  Params params;                 // what the route's path captured
  uint16_t allowed_methods = 0;  // without a route: methods (bits by http::Method) that this path has; 0: no such path
  std::string_view client;       // the believed client address, text; lives as long as the exchange
  std::string client_text;       // what `client` points to when a trusted proxy told us
  Identity identity;
  bool grpc = false;            // the caller speaks gRPC (grpc.h)
  Instant deadline = never;     // of the whole, the body included; by grpc-timeout
  http::Headers reply_headers;  // written onto whatever answer leaves
  Record record;

  Instant now() const { return Agenda::current().now(); }
};

}  // namespace portloom::pipeline
