// testing/http2_frames.h
//
// HTTP/2 byte by byte, for what no library would say: frames and field lines are written by hand, what was heard is cut into
// frames. HPACK is used in its plainest form (RFC 7541 §6.2.2, no Huffman).
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "testing/wire.h"

namespace portloom::testing::raw {

enum Type : uint8_t { body, headers, priority, rst_stream, settings, push_promise, ping, goaway, window_update, continuation };
enum Flag : uint8_t { none = 0, end_stream = 1, ack = 1, end_headers = 4, padded = 8, with_priority = 32 };

inline std::string number(uint64_t value, int bytes) {
  std::string text;
  for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8) text += static_cast<char>(value >> shift & 255);
  return text;
}

inline std::string frame(uint8_t type, int flags, uint32_t stream, std::string_view payload = {}) {
  return number(payload.size(), 3) + static_cast<char>(type) + static_cast<char>(flags) + number(stream, 4) + std::string(payload);
}

// One setting.
inline std::string setting(uint16_t id, uint32_t value) { return number(id, 2) + number(value, 4); }

// What a client says first.
inline std::string hello(std::string_view settings_payload = {}) {
  return "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(settings, 0, 0, settings_payload);
}

// A field line that is kept in no table; the texts are shorter than 127 bytes.
inline std::string field(std::string_view name, std::string_view value) {
  return std::string(1, '\0') + static_cast<char>(name.size()) + std::string(name) + static_cast<char>(value.size()) + std::string(value);
}
using Fields = std::vector<std::pair<std::string_view, std::string_view>>;
inline std::string block(const Fields& fields) {
  std::string bytes;
  for (auto [name, value] : fields) bytes += field(name, value);
  return bytes;
}
// The pseudo-header fields of a GET, and more.
inline std::string get_block(std::string_view path = "/", const Fields& more = {}) {
  return block({{":method", "GET"}, {":scheme", "http"}, {":authority", "shop"}, {":path", path}}) + block(more);
}
inline std::string request(uint32_t stream, std::string_view path = "/") {
  return frame(headers, end_stream | end_headers, stream, get_block(path));
}

struct Heard {
  uint8_t type;
  uint8_t flags;
  uint32_t stream;
  std::string payload;
  // Of RST_STREAM and GOAWAY; -1 for others.
  int64_t error() const {
    size_t at = type == goaway ? 4 : 0;
    if ((type != goaway && type != rst_stream) || payload.size() < at + 4) return -1;
    int64_t code = 0;
    for (size_t i = at; i < at + 4; ++i) code = code << 8 | static_cast<uint8_t>(payload[i]);
    return code;
  }
};

// The whole frames of what was heard.
inline std::vector<Heard> frames_of(std::string_view heard) {
  std::vector<Heard> frames;
  auto byte = [&](size_t at) { return static_cast<uint32_t>(static_cast<uint8_t>(heard[at])); };
  while (heard.size() >= 9) {
    size_t size = byte(0) << 16 | byte(1) << 8 | byte(2);
    if (heard.size() < 9 + size) break;
    uint32_t stream = byte(5) << 24 | byte(6) << 16 | byte(7) << 8 | byte(8);
    frames.push_back({static_cast<uint8_t>(byte(3)), static_cast<uint8_t>(byte(4)), stream, std::string(heard.substr(9, size))});
    heard.remove_prefix(9 + size);
  }
  return frames;
}

// The last frame of that kind on that stream; null when there is none.
inline const Heard* last_of(const std::vector<Heard>& frames, uint8_t type, uint32_t stream) {
  const Heard* found = nullptr;
  for (const Heard& one : frames)
    if (one.type == type && one.stream == stream) found = &one;
  return found;
}

}  // namespace portloom::testing::raw
