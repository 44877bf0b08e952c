// http/writer.cpp
//
// Lines that lie side by side in the head's block are copied as one run.
#include "http/writer.h"

#include <algorithm>
#include <charconv>
#include <cstring>

#include "http/grammar.h"

namespace portloom::http {

namespace {

constexpr size_t framing_bytes = 128;  // the longest: Content-Length with 20 digits, Connection and Expect

char* put(char* out, std::string_view text) {
  if (!text.empty()) std::memcpy(out, text.data(), text.size());
  return out + text.size();
}
char* put_number(char* out, uint64_t number) { return std::to_chars(out, out + 20, number).ptr; }

// Written by us from the Framing, never copied.
constexpr NameSet framing_fields{Name::content_length, Name::transfer_encoding, Name::connection, Name::keep_alive, Name::proxy_connection};

char* put_fields(char* out, const Headers& headers, NameSet without) {
  bool all = !headers.present().meets(without);
  const char* run = nullptr;
  size_t run_size = 0;
  for (size_t i = 0; i < headers.size(); ++i) {
    if (!all && without.contains(headers.at(i).id)) continue;
    std::string_view line = headers.line(i);
    if (run + run_size == line.data() && run != nullptr) {
      run_size += line.size();
      continue;
    }
    out = put(out, {run, run_size});
    run = line.data();
    run_size = line.size();
  }
  return put(out, {run, run_size});
}

char* put_extra(char* out, ExtraFields extra) {
  for (const ExtraField& field : extra) {
    out = put(out, field.name);
    out = put(out, ": ");
    out = put(out, field.value);
    out = put(out, "\r\n");
  }
  return out;
}

char* put_length(char* out, uint64_t length) {
  out = put(out, "Content-Length: ");
  out = put_number(out, length);
  return put(out, "\r\n");
}

char* put_connection(char* out, const Framing& framing) {
  if (framing.upgrade) return put(out, "Connection: upgrade\r\n");  // RFC 9110 §7.8
  if (framing.kind == Framing::Kind::tunnel) return out;
  if (!framing.keep_alive) return put(out, "Connection: close\r\n");  // RFC 9112 §9.6
  if (framing.announce_keep_alive) return put(out, "Connection: keep-alive\r\n");
  return out;
}

size_t extra_bytes(ExtraFields extra) {
  size_t size = 0;
  for (const ExtraField& field : extra) size += field.name.size() + field.value.size() + 4;
  return size;
}

// Methods for which a request without content says so (RFC 9110 §8.6).
bool expects_content(Method method) { return method == Method::POST || method == Method::PUT || method == Method::PATCH; }

}  // namespace

void Writer::grow(size_t count) {
  size_t used = size();
  size_t room = std::max(used + count, used * 2 + 64);
  Bytes larger = Bytes::uninitialized(room);
  char* start = larger.writable();
  std::memcpy(start, bytes_.data(), used);
  bytes_ = std::move(larger);
  out_ = start + used;
  end_ = start + room;
}

void Writer::number(uint64_t value) { out_ = put_number(room(20), value); }

size_t head_bytes(const RequestHead& head, ExtraFields extra) {
  size_t target = std::max(head.path_and_query().size(), head.authority().size());
  return head.method_text().size() + target + head.authority().size() + head.headers.byte_size() + extra_bytes(extra) + framing_bytes + 32;
}

size_t head_bytes(const ResponseHead& head, ExtraFields extra) {
  return std::max<size_t>(head.reason.size(), 40) + head.headers.byte_size() + extra_bytes(extra) + framing_bytes + 32;
}

char* write_request_head(char* out, const RequestHead& head, const Framing& framing, ExtraFields extra) {
  out = put(out, head.method_text());
  *out++ = ' ';
  out = put(out, head.form() == TargetForm::authority ? head.authority() : head.path_and_query());
  out = put(out, " HTTP/1.1\r\n");  // RFC 9112 §2.3: our own version
  NameSet without = framing_fields;
  without.insert(Name::expect);  // one of HTTP/1.0 was ignored and must not come alive in HTTP/1.1
  if (!framing.upgrade) without.insert(Name::upgrade);
  if (!head.authority().empty()) {
    without.insert(Name::host);
    out = put(out, "Host: ");
    out = put(out, head.authority());
    out = put(out, "\r\n");
  }
  out = put_fields(out, head.headers, without);
  if (framing.kind == Framing::Kind::chunked)
    out = put(out, "Transfer-Encoding: chunked\r\n");
  else if (framing.kind == Framing::Kind::length || expects_content(head.method()))
    out = put_length(out, framing.kind == Framing::Kind::length ? framing.length : 0);
  if (framing.expect_continue) out = put(out, "Expect: 100-continue\r\n");
  out = put_connection(out, framing);
  out = put_extra(out, extra);
  return put(out, "\r\n");
}

char* write_response_head(char* out, const ResponseHead& head, const Framing& framing, ExtraFields extra) {
  out = put(out, "HTTP/1.1 ");  // RFC 9110 §2.5: our own version, whatever the client's
  out = put_number(out, std::min<uint16_t>(head.status, 999));
  *out++ = ' ';
  out = put(out, head.reason.empty() ? reason_phrase(head.status) : head.reason.view());
  out = put(out, "\r\n");
  NameSet without = framing_fields;
  if (!framing.upgrade && head.status != 426) without.insert(Name::upgrade);  // RFC 9110 §15.5.22: 426 names what is asked for
  out = put_fields(out, head.headers, without);
  bool never = head.informational() || head.status == 204 || framing.kind == Framing::Kind::tunnel;
  if (!never && framing.kind == Framing::Kind::chunked)
    out = put(out, "Transfer-Encoding: chunked\r\n");
  else if (!never && (framing.kind == Framing::Kind::length || (framing.kind == Framing::Kind::none && framing.declares_length)))
    out = put_length(out, framing.length);
  if (!head.informational() || framing.upgrade) out = put_connection(out, framing);
  out = put_extra(out, extra);
  return put(out, "\r\n");
}

void write_request_head(Writer& out, const RequestHead& head, const Framing& framing, ExtraFields extra) {
  char* start = out.room(head_bytes(head, extra));
  out.advance(static_cast<size_t>(write_request_head(start, head, framing, extra) - start));
}
void write_response_head(Writer& out, const ResponseHead& head, const Framing& framing, ExtraFields extra) {
  char* start = out.room(head_bytes(head, extra));
  out.advance(static_cast<size_t>(write_response_head(start, head, framing, extra) - start));
}

void write_trailers(Writer& out, const Headers& trailers) {
  char* start = out.room(trailers.byte_size() + 2);
  char* end = put(put_fields(start, trailers, framing_fields), "\r\n");
  out.advance(static_cast<size_t>(end - start));
}

}  // namespace portloom::http
