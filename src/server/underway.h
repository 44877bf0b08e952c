// server/underway.h
//
// One exchange while it is under way, as its Server finds it: for the report of what a drain cuts. In the frame of serve_exchange.
#pragma once

#include "async/list.h"
#include "http/stream.h"
#include "pipeline/exchange.h"
#include "server/server.h"

namespace portloom::server {

struct Server::Underway : Link {
  Underway(Server& server, pipeline::Exchange& whole, const Door& place, const http::ServerStream& way)
      : exchange(whole), door(place), stream(way) {
    server.underway_.push_back(*this);
  }
  pipeline::Exchange& exchange;
  const Door& door;
  const http::ServerStream& stream;
};

}  // namespace portloom::server
