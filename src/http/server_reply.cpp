// http/server_reply.cpp
//
// What ServerConnection sends. One send per small response (the body is copied behind its head), pieces of up to 64 KiB for large
// ones, the next piece read while the last is being sent; long ones of known length go from socket to socket inside the kernel.
#include <algorithm>
#include <array>
#include <cstring>
#include <span>
#include <vector>

#include "async/race.h"
#include "base/text.h"
#include "http/server_connection.h"

namespace portloom::http {
namespace {

constexpr size_t copied_max = 16 * 1024;      // a body up to this size travels in the head's buffer
constexpr uint64_t spliced_min = 32 * 1024;   // what must still be to come for a pipe to pay
constexpr size_t yielded_after = 512 * 1024;  // so much of one body, then it is the others' turn

}  // namespace

Framing ServerConnection::response_framing_for(const Response& response, bool length_known) const {
  Framing framing;
  framing.keep_alive = keep_alive_;
  framing.announce_keep_alive = announce_keep_alive_;
  if (response.tunnel) {
    framing.kind = Framing::Kind::tunnel;
    framing.upgrade = response.status == 101;
    return framing;
  }
  if (method_ == Method::HEAD || response.status == 304) {
    framing.kind = Framing::Kind::none;
    if (std::optional<std::string_view> declared = response.headers.find(Name::content_length)) {
      if (std::optional<uint64_t> length = parse_number(*declared)) {
        framing.declares_length = true;
        framing.length = *length;
      }
    } else if (length_known && response.body.in_memory() && *response.body.length() > 0) {
      framing.declares_length = true;
      framing.length = *response.body.length();
    }
    return framing;
  }
  if (response.status == 204) return framing;
  if (length_known) {
    framing.kind = Framing::Kind::length;
    framing.length = *response.body.length();
  } else if (minor_ >= 1) {
    framing.kind = Framing::Kind::chunked;
  } else {
    framing.kind = Framing::Kind::until_close;  // HTTP/1.0 knows no chunks
    framing.keep_alive = false;
  }
  return framing;
}

Bytes ServerConnection::response_head(const Response& response, const Framing& framing, const Headers& extra, std::string_view behind) {
  std::array<ExtraField, 24> few;
  std::vector<ExtraField> many;  // policies may add as many fields as they are told to
  if (extra.size() > few.size()) many.resize(extra.size());
  std::span<ExtraField> fields(many.empty() ? few.data() : many.data(), extra.size());
  size_t count = 0;
  for (Headers::Field field : extra) fields[count++] = {field.name, field.value};
  ExtraFields more = fields;
  Bytes bytes = Bytes::uninitialized(head_bytes(response, more) + behind.size());
  char* start = bytes.writable();
  char* end = write_response_head(start, response, framing, more);
  if (!behind.empty()) std::memcpy(end, behind.data(), behind.size());
  bytes.truncate(static_cast<size_t>(end - start) + behind.size());
  return bytes;
}

Task<bool> ServerConnection::reply(Response& response, const Headers& extra) {
  cut_ = Cut::none;
  // A request body that is too large to be drained, or whose sender still waits for 100: the connection ends with this answer.
  if (body_unread() && (continue_due_ || broken_ || (body_kind_ == Framing::Kind::length && body_left_ > ServerSettings::drain_max)))
    keep_alive_ = false;
  continue_due_ = false;  // an upload that begins only now must not say 100 into this answer
  if (retired_) keep_alive_ = false;
  Framing framing = response_framing_for(response, response.body.length().has_value());
  if (!framing.keep_alive) keep_alive_ = false;
  if (!co_await flushed()) co_return false;
  bool no_body = framing.kind == Framing::Kind::none || framing.kind == Framing::Kind::tunnel;
  if (no_body || response.body.in_memory()) {
    std::string_view body = no_body ? std::string_view{} : response.body.bytes().view();
    bool copied = body.size() <= copied_max;
    Bytes head = response_head(response, framing, extra, copied ? body : std::string_view{});
    socket_.post(std::move(head), copied ? Bytes() : response.body.bytes());
    bool sent = co_await socket_.flush(Agenda::current().now() + io::flush_look(settings_.body_timeout));
    if (!sent) sent = co_await flushed();
    if (sent) body_out_ = body.size();
    co_return sent;
  }
  co_return co_await stream(response, framing, response_head(response, framing, extra, {}));
}

// What was posted has gone; false when it stood still for body_timeout, or the connection broke.
[[clang::coro_wrapper]] Task<bool> ServerConnection::flushed() {
  if (!socket_.sending()) return ready(!socket_.send_broken());
  return io::flush_while_it_moves(socket_, settings_.body_timeout);
}

// An incomplete body must not look complete: no last chunk, and the connection is cut (RFC 9112 §8).
void ServerConnection::cut(const Framing& framing, bool nothing_sent) {
  cut_ = nothing_sent ? Cut::before_reply : Cut::in_reply;
  if (nothing_sent) return;
  keep_alive_ = false;
  broken_ = true;
  if (framing.kind == Framing::Kind::until_close) socket_.end_with_reset();  // an orderly end would be the end of the body
}

// Bytes of the body that need not come into our memory go from socket to socket, until `left` is 0 or the rest must be read.
Task<ServerConnection::Passed> ServerConnection::pass(Body& body, uint64_t& left) {
  if (!co_await flushed()) co_return Passed::broken;
  if (!socket_.takes_pipe()) co_return Passed::no_more;
  io::Pipe pipe;
  size_t unyielded = 0;
  while (left > 0) {
    Task<Result<size_t>> filling = body.read_into(pipe, left);
    std::optional<Result<size_t>> first = co_await unless(socket_.departure(), filling);
    if (!first && socket_.broken()) co_return Passed::broken;
    if (!first) first = co_await before(Agenda::current().now() + settings_.gone_grace, filling);  // after FIN it may still read
    if (!first) co_return Passed::broken;
    Result<size_t> count = std::move(*first);
    if (!count) {
      fault_ = std::move(count.error());
      co_return Passed::failed;
    }
    if (*count == 0) co_return Passed::no_more;
    left -= *count;
    body_out_ += *count;
    while (true) {
      if (!pipe.drain(socket_.channel())) co_return Passed::broken;
      if (pipe.empty()) break;
      bool room = co_await socket_.writable(Agenda::current().now() + settings_.body_timeout);
      if (!room) co_return Passed::broken;
      unyielded = 0;
    }
    unyielded += *count;
    if (unyielded < yielded_after) continue;
    unyielded = 0;
    co_await yield();
  }
  co_return Passed::no_more;
}

Task<bool> ServerConnection::stream(Response& response, const Framing& framing, Bytes head) {
  bool chunked = framing.kind == Framing::Kind::chunked;
  uint64_t left = framing.kind == Framing::Kind::length ? framing.length : UINT64_MAX;
  bool tail_due = false;  // of a chunk that has gone
  while (true) {
    if (framing.kind == Framing::Kind::length && left >= spliced_min && head.empty()) {
      Passed passed = co_await pass(response.body, left);
      if (passed == Passed::failed) cut(framing, false);
      if (passed == Passed::failed || passed == Passed::broken) co_return false;
      if (left == 0) co_return true;
    }
    Task<Result<Bytes>> reading = response.body.read();
    if (!reading.start() && (tail_due || !head.empty())) {
      // Nothing is there yet: an event stream's head is not held back, nor the end of a chunk, for which some clients wait.
      if (!co_await flushed()) co_return false;
      socket_.post(std::exchange(tail_due, false) ? Bytes::literal(chunk_tail) : std::exchange(head, {}));
    }
    std::optional<Result<Bytes>> first = co_await unless(socket_.departure(), reading);
    if (!first && socket_.broken()) co_return false;
    if (!first) first = co_await before(Agenda::current().now() + settings_.gone_grace, reading);  // after FIN it may still read
    if (!first) {
      if (framing.kind == Framing::Kind::until_close) socket_.end_with_reset();  // an orderly end would be the end of the body
      co_return false;
    }
    Result<Bytes> piece = std::move(*first);
    if (piece && piece->size() > left)
      piece = failure(Code::upstream_protocol, Side::upstream, "the body is longer than declared", Progress::body);
    if (piece && piece->empty() && left > 0 && framing.kind == Framing::Kind::length)
      piece = failure(Code::upstream_protocol, Side::upstream, "the body is shorter than declared", Progress::body);
    if (!piece) {
      fault_ = std::move(piece.error());
      if (socket_.sending()) co_await flushed();
      cut(framing, !head.empty());
      co_return false;
    }
    bool end = piece->empty();
    left -= piece->size();
    body_out_ += piece->size();
    bool copied = chunked && piece->size() <= copied_max;
    Writer before(64 + head.size() + (copied ? piece->size() : 0));
    if (!head.empty()) before.text(std::exchange(head, {}).view());
    if (chunked) {
      if (std::exchange(tail_due, !copied)) before.text(chunk_tail);
      if (end) {
        before.text("0\r\n");
        if (const Headers* trailers = response.body.trailers(); trailers != nullptr)
          write_trailers(before, *trailers);
        else
          before.text("\r\n");
      } else {
        before.advance(write_chunk_head(before.room(chunk_head_max), piece->size()));
        if (copied) {
          before.text(std::exchange(*piece, {}).view());
          before.text(chunk_tail);
        }
      }
    }
    if (!co_await flushed()) co_return false;
    if (before.size() > 0 || !end) socket_.post(before.finish(), std::move(*piece));
    if (socket_.send_broken()) co_return false;
    if (end || left == 0) break;
  }
  co_return co_await flushed();
}

}  // namespace portloom::http
