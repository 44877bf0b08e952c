// http/websocket.h
//
// WebSocketFrames: follows the frames of one direction of a WebSocket (RFC 6455 §5.2) without looking into them, so that a drain
// can put a frame of its own between two of theirs.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "http/exchange.h"

namespace portloom::http {

class WebSocketFrames {
 public:
  // Takes note of bytes that pass; returns how many: all, or with `to_end` those up to the end of the first frame that ends in them.
  size_t follow(std::string_view bytes, bool to_end);
  bool between() const { return head_size_ == 0 && left_ == 0; }
  bool closed() const { return closed_; }  // a Close frame has passed

 private:
  size_t head_due() const;
  void read_head();
  std::array<uint8_t, 14> head_{};
  uint8_t head_size_ = 0;
  uint8_t opcode_ = 0;
  bool closed_ = false;
  uint64_t left_ = 0;  // of the payload
};

// A 101 that switches to the WebSocket protocol.
bool is_websocket(const Response& response);
// Asks for that switch, in the form of HTTP/1.
bool asks_for_websocket(const Request& request);

// 16 random bytes in base64: Sec-WebSocket-Key (§4.1). And what a server proves with that it has read it (§4.2.2).
std::string websocket_key();
std::string websocket_accept(std::string_view key);

// A Close frame with 1001, "going away" (§7.4.1). What a client sends is masked (§5.3).
Bytes going_away(bool masked);

}  // namespace portloom::http
