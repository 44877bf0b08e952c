// testing/http2_turn.h
//
// One turn of a peer that nghttp2 plays: what has come is heard, what it has to say is said.
#pragma once

#include <nghttp2/nghttp2.h>

#include <cstdint>
#include <string>

#include "testing/wire.h"

namespace portloom::testing {

inline void take_turn(nghttp2_session* session, Wire& wire) {
  std::string heard = wire.take();
  if (!heard.empty()) nghttp2_session_mem_recv(session, reinterpret_cast<const uint8_t*>(heard.data()), heard.size());
  const uint8_t* data = nullptr;
  ssize_t size = 0;
  while ((size = nghttp2_session_mem_send(session, &data)) > 0) wire.say({reinterpret_cast<const char*>(data), static_cast<size_t>(size)});
}

}  // namespace portloom::testing
