// http/writer.h
//
// Writes HTTP/1 heads: one pass, one copy per run of fields. The framing fields (Content-Length, Transfer-Encoding,
// Connection) are written from the Framing and never copied from the head, so what was received cannot contradict what is sent.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "base/bytes.h"
#include "http/framing.h"
#include "http/message.h"

namespace portloom::http {

// A buffer that grows, from the pool; ends as Bytes.
class Writer {
 public:
  explicit Writer(size_t room = 1024) : bytes_(Bytes::uninitialized(room)), out_(bytes_.writable()), end_(out_ + room) {}
  // Room for `count` bytes at the returned place; advance() says how many were used.
  char* room(size_t count) {
    if (static_cast<size_t>(end_ - out_) < count) [[unlikely]]
      grow(count);
    return out_;
  }
  void advance(size_t count) { out_ += count; }
  void text(std::string_view text) {
    if (text.empty()) return;  // perhaps of no address, which memcpy may not be given
    std::memcpy(room(text.size()), text.data(), text.size());
    out_ += text.size();
  }
  void number(uint64_t value);
  size_t size() const { return static_cast<size_t>(out_ - bytes_.data()); }
  std::string_view view() const { return {bytes_.data(), size()}; }
  // What was written; the writer is then spent.
  Bytes finish() {
    bytes_.truncate(size());
    return std::move(bytes_);
  }

 private:
  void grow(size_t count);
  Bytes bytes_;
  char* out_;
  char* end_;
};

// A field that goes out behind those of the head. Both texts must be valid (grammar.h).
struct ExtraField {
  std::string_view name;
  std::string_view value;
};
using ExtraFields = std::span<const ExtraField>;

// At most so many bytes will be written.
size_t head_bytes(const RequestHead& head, ExtraFields extra = {});
size_t head_bytes(const ResponseHead& head, ExtraFields extra = {});

// The target goes out in origin-form, CONNECT in authority-form (RFC 9112 §3.2); always as HTTP/1.1. A target with an authority
// overrides a received Host (§3.2.2), and Host goes first. Kinds: none, length, chunked; a tunnel only for CONNECT.
// Expect goes out only as framing.expect_continue; Connection, Keep-Alive, Proxy-Connection and (unless framing.upgrade) Upgrade of the
// head are not copied. `out` has room for head_bytes(); returns the end.
char* write_request_head(char* out, const RequestHead& head, const Framing& framing, ExtraFields extra = {});
void write_request_head(Writer& out, const RequestHead& head, const Framing& framing, ExtraFields extra = {});

// 1xx and 204 carry no framing fields (RFC 9112 §6.1, §6.2); Kind::none of other statuses writes Content-Length only if
// framing.declares_length.
char* write_response_head(char* out, const ResponseHead& head, const Framing& framing, ExtraFields extra = {});
void write_response_head(Writer& out, const ResponseHead& head, const Framing& framing, ExtraFields extra = {});

// The field lines alone, with the empty line that ends a trailer section; goes behind "0\r\n".
void write_trailers(Writer& out, const Headers& trailers);

}  // namespace portloom::http
