// policy/waiting.h
//
// What both kinds of `concurrency` do with a request that finds no place free.
#pragma once

#include <algorithm>

#include "io/permits.h"
#include "pipeline/exchange.h"

namespace portloom::policy {

// Waits `most` at most, and no longer than the request's deadline; 0: not at all. True: it has a place. What it took is the call's queue
// time. Both outlive it.
inline Task<bool> wait_in_line(io::Permits::Line* line, pipeline::Request* request, Duration most) {
  if (most == Duration{}) co_return false;
  Instant begun = request->exchange.now();
  bool entered = co_await line->enter(std::min(begun + most, request->deadline));
  request->call.queue += request->exchange.now() - begun;
  co_return entered;
}

}  // namespace portloom::policy
