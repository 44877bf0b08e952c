// http/websocket.cpp
//
// Only heads are read: lengths decide where a frame ends.
#include "http/websocket.h"

#include <openssl/evp.h>

#include <algorithm>

#include "base/check.h"
#include "base/random.h"
#include "http/framing.h"

namespace portloom::http {
namespace {
constexpr uint8_t opcode_close = 8;
}

size_t WebSocketFrames::head_due() const {
  if (head_size_ < 2) return 2;
  size_t length = head_[1] & 0x7f;
  return 2 + (length == 126 ? 2 : length == 127 ? 8 : 0) + ((head_[1] & 0x80) != 0 ? 4 : 0);
}

void WebSocketFrames::read_head() {
  left_ = head_[1] & 0x7f;
  size_t extended = left_ == 126 ? 2 : left_ == 127 ? 8 : 0;
  if (extended != 0) left_ = 0;
  for (size_t i = 0; i < extended; ++i) left_ = left_ << 8 | head_[2 + i];
  opcode_ = head_[0] & 0x0f;
  head_size_ = 0;
}

size_t WebSocketFrames::follow(std::string_view bytes, bool to_end) {
  size_t at = 0;
  while (at < bytes.size()) {
    if (left_ == 0) {
      head_[head_size_++] = static_cast<uint8_t>(bytes[at++]);
      if (head_size_ < head_due()) continue;
      read_head();
    } else {
      size_t part = static_cast<size_t>(std::min<uint64_t>(left_, bytes.size() - at));
      left_ -= part;
      at += part;
    }
    if (left_ > 0) continue;
    if (opcode_ == opcode_close) closed_ = true;
    if (to_end) return at;
  }
  return at;
}

bool is_websocket(const Response& response) {
  return response.status == 101 && list_contains(response.headers, Name::upgrade, "websocket");
}

bool asks_for_websocket(const Request& request) { return request.upgrade && list_contains(request.headers, Name::upgrade, "websocket"); }

std::string websocket_key() {
  static constexpr char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  Random random(random_seed());
  std::string key;
  for (int i = 0; i < 21; ++i) key += digits[random.below(64)];
  return key + "AQgw"[random.below(4)] + "==";  // the last digit holds two bits
}

std::string websocket_accept(std::string_view key) {
  std::string text(key);
  text += "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  CHECK(EVP_Digest(text.data(), text.size(), digest, &size, EVP_sha1(), nullptr) == 1);
  unsigned char digits[2 * EVP_MAX_MD_SIZE];
  int count = EVP_EncodeBlock(digits, digest, static_cast<int>(size));
  return {reinterpret_cast<const char*>(digits), static_cast<size_t>(count)};
}

Bytes going_away(bool masked) {
  if (!masked) return Bytes::literal(std::string_view("\x88\x02\x03\xe9", 4));
  uint64_t key = random_seed();  // §10.3: nobody can foresee it
  char frame[8] = {'\x88', '\x82'};
  for (size_t i = 0; i < 4; ++i) frame[2 + i] = static_cast<char>(key >> (8 * i));
  frame[6] = static_cast<char>(0x03 ^ frame[2]);
  frame[7] = static_cast<char>(0xe9 ^ frame[3]);
  return Bytes::copy({frame, sizeof frame});
}

}  // namespace portloom::http
