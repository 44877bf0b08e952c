// pipeline/exchange.h
//
// Exchange: one request's life on one worker, from the head that was read to the last byte sent. Pins the plan that it was
// matched with. Lives in the frame of server::serve_exchange.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
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
  size_t held = 0;  // bytes of bodies that are kept in memory for this request, at most plan->held_max

  // Keeps up to `wanted` bytes more, as long as the exchange lives. Returns how many there is room for.
  size_t hold_up_to(size_t wanted) {
    size_t granted = std::min(wanted, plan->held_max - std::min(held, plan->held_max));
    held += granted;
    return granted;
  }
  Instant now() const { return Agenda::current().now(); }
};

// A part of an exchange's held bytes that is given back earlier. It ends before the exchange.
class Held {
 public:
  explicit Held(Exchange& exchange) : exchange_(&exchange) {}
  Held(Held&& other) noexcept : exchange_(other.exchange_), bytes_(std::exchange(other.bytes_, 0)) {}
  Held& operator=(Held other) noexcept {
    std::swap(exchange_, other.exchange_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~Held() { exchange_->held -= bytes_; }
  // False: there is no room for `bytes` in all; it may have grown all the same.
  bool grow_to(size_t bytes) {
    if (bytes <= bytes_) return true;
    size_t granted = exchange_->hold_up_to(bytes - bytes_);
    bytes_ += granted;
    return bytes_ == bytes;
  }
  void shrink_to(size_t bytes) {
    exchange_->held -= bytes_ - std::min(bytes, bytes_);
    bytes_ = std::min(bytes, bytes_);
  }

 private:
  Exchange* exchange_;
  size_t bytes_ = 0;
};

}  // namespace portloom::pipeline
