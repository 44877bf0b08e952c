// http/exchange.h
//
// Request and Response: a head and a body, the same for every version of HTTP. Tunnel: what a connection becomes after an
// upgrade. http/ knows nothing of routes or policies; pipeline/ adds what those need.
#pragma once

#include <memory>

#include "http/body.h"
#include "http/message.h"
#include "io/socket.h"

namespace portloom::http {

struct Request : RequestHead {
  using RequestHead::RequestHead;
  Body body;
  bool upgrade = false;       // asks for a protocol switch; the Upgrade field is kept
  bool te_trailers = false;   // the sender takes trailer fields
  Instant upload_progress{};  // when a piece of a streaming body was last passed on
};

// Bytes both ways from now on. Owns the far side.
class Tunnel : public Pooled {
 public:
  virtual ~Tunnel() = default;
  // Moves bytes between `near` and the far side until both directions have ended; half-close is passed on. An idle limit
  // ends it. Counts what came from and went to `near`.
  virtual Task<void> run(io::Socket& near, uint64_t& bytes_in, uint64_t& bytes_out) = 0;
};

struct Response : ResponseHead {
  Response() = default;
  explicit Response(uint16_t code) { status = code; }
  Body body;
  std::unique_ptr<Tunnel> tunnel;
};

}  // namespace portloom::http
