// http/exchange.h
//
// Request and Response: a head and a body, the same for every version of HTTP. An upgrade has one form here, that of HTTP/1
// (Upgrade in a GET, answered by 101): HTTP/2 turns its extended CONNECT (RFC 8441) into it and back.
// http/ knows nothing of routes or policies; pipeline/ adds what those need.
#pragma once

#include <memory>

#include "http/body.h"
#include "http/message.h"
#include "http/tunnel.h"

namespace portloom::http {

struct Request : RequestHead {
  using RequestHead::RequestHead;
  Body body;
  bool upgrade = false;       // asks for a protocol switch; the Upgrade field is kept
  bool te_trailers = false;   // the sender takes trailer fields
  Instant upload_progress{};  // when a piece of a streaming body was last passed on
};

struct Response : ResponseHead {
  Response() = default;
  explicit Response(uint16_t code) { status = code; }
  Body body;
  std::unique_ptr<ByteStream> tunnel;  // bytes both ways from now on: the far side
};

}  // namespace portloom::http
