// http/server_connection.cpp
//
// One send per small response (the body is copied behind its head), pieces of up to 64 KiB for large ones, the next piece
// read while the last is being sent.
#include "http/server_connection.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <span>
#include <vector>

#include "async/race.h"
#include "base/text.h"

namespace portloom::http {
namespace {

constexpr size_t copied_max = 16 * 1024;      // a body up to this size travels in the head's buffer
constexpr uint64_t spliced_min = 32 * 1024;   // what must still be to come for a pipe to pay
constexpr size_t yielded_after = 512 * 1024;  // so much of one body, then it is the others' turn
constexpr std::string_view http2_preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

// Whether what is there can only be the preface of HTTP/2: "PRI" is no method of ours.
bool is_preface(std::string_view input) {
  return input.starts_with("PRI ") && http2_preface.starts_with(input.substr(0, http2_preface.size()));
}

}  // namespace

// The pull side of a request body.
class IncomingBody final : public BodySource {
 public:
  explicit IncomingBody(ServerConnection& connection) : connection_(connection) {}
  [[clang::coro_wrapper]] Task<Result<Bytes>> read() override { return connection_.read_body(); }
  const Headers* trailers() const override {
    return connection_.chunks_ && connection_.chunks_->done() ? &connection_.chunks_->trailers() : nullptr;
  }

 private:
  ServerConnection& connection_;
};

Task<bool> ServerConnection::wait() {
  if (!socket_.input().empty()) co_return true;
  if (retired_ && served_) co_return false;
  idle_ = true;  // one that came after retire() may still ask, once and soon
  Duration patience = retired_ ? std::min(settings_.idle_timeout, settings_.head_timeout) : settings_.idle_timeout;
  io::Arrival arrival = co_await socket_.receive(Agenda::current().now() + patience);
  idle_ = false;
  co_return arrival == io::Arrival::bytes;
}

Task<Incoming> ServerConnection::next(Request& request) {
  HeadParser parser(settings_.heads);
  Instant deadline = never;
  body_in_ = body_out_ = 0;  // a head that cannot be read has an account too
  while (true) {
    if (!served_ && preface_ && is_preface(socket_.input())) {
      if (socket_.input().size() >= http2_preface.size()) {
        http2_ = true;
        co_return Incoming::http2;
      }
      if (deadline == never) deadline = Agenda::current().now() + settings_.head_timeout;
      io::Arrival more = co_await socket_.receive(deadline);
      if (more == io::Arrival::bytes) continue;
      co_return Incoming::end;
    }
    size_t consumed = 0;
    HeadParser::State state = parser.parse_request(socket_.input(), request, consumed);
    if (state == HeadParser::State::complete) {
      socket_.consume(consumed);
      break;
    }
    if (state == HeadParser::State::failed) {
      fault_ = parser.error();
      co_return Incoming::failed;
    }
    if (deadline == never) deadline = Agenda::current().now() + settings_.head_timeout;
    io::Arrival arrival = co_await socket_.receive(deadline);
    if (arrival == io::Arrival::bytes) continue;
    if (arrival == io::Arrival::broken || !parser.begun()) co_return Incoming::end;
    fault_ = arrival == io::Arrival::late
                 ? Error{Code::request_timeout, Side::client, Progress::nothing, "the request's head did not arrive in time"}
                 : Error{Code::bad_request, Side::client, Progress::nothing, "the request's head is cut off"};
    co_return Incoming::failed;
  }
  Result<Framing> framing = request_framing(request);
  if (framing && !settings_.http1) framing = failure(Code::unsupported_version, Side::client, "this port speaks HTTP/2 only");
  if (!framing) {
    fault_ = std::move(framing.error());
    co_return Incoming::failed;
  }
  co_return accept_head(request, *framing);
}

Incoming ServerConnection::accept_head(Request& request, const Framing& framing) {
  served_ = true;
  method_ = request.method();
  minor_ = request.minor;
  keep_alive_ = framing.keep_alive && !retired_;
  announce_keep_alive_ = framing.announce_keep_alive;
  continue_due_ = false;
  body_kind_ = Framing::Kind::none;
  chunks_.reset();
  request.upgrade = framing.upgrade;
  if (framing.kind == Framing::Kind::length && framing.length > 0) {
    if (settings_.body_max && framing.length > *settings_.body_max) {
      fault_ = Error{Code::body_too_large, Side::client, Progress::nothing, "the request's body exceeds the limit"};
      return Incoming::failed;
    }
    std::string_view input = socket_.input();
    if (input.size() >= framing.length) {
      request.body = Body(Bytes::copy(input.substr(0, framing.length)));
      socket_.consume(framing.length);
      body_in_ = framing.length;
      socket_.watch();
      return Incoming::request;
    }
    body_kind_ = framing.kind;
    body_left_ = framing.length;
    request.body = Body(std::make_unique<IncomingBody>(*this), framing.length);
  } else if (framing.kind == Framing::Kind::chunked) {
    body_kind_ = framing.kind;
    chunks_ = std::make_unique<ChunkDecoder>();
    request.body = Body(std::make_unique<IncomingBody>(*this), std::nullopt);
  } else {
    request.body = Body();
  }
  if (body_kind_ == Framing::Kind::none) socket_.watch();  // all of it may have come with an earlier body: nobody looks
  continue_due_ = framing.expect_continue && body_kind_ != Framing::Kind::none && socket_.input().empty();
  return Incoming::request;
}

Task<Result<Bytes>> ServerConnection::read_body() {
  auto lost = [this](io::Arrival arrival) {
    keep_alive_ = false;
    return arrival == io::Arrival::late ? failure(Code::request_timeout, Side::client, "the request's body did not arrive in time")
                                        : failure(Code::client_gone, Side::client, "the request's body is cut off");
  };
  while (body_kind_ != Framing::Kind::none) {
    if (continue_due_) {
      continue_due_ = false;
      if (!socket_.sending()) socket_.post(Bytes::literal("HTTP/1.1 100 Continue\r\n\r\n"));  // RFC 9110 §10.1.1
    }
    // Never more than belongs to this body: what follows is the next request.
    size_t bytes_max = body_kind_ == Framing::Kind::length ? static_cast<size_t>(std::min<uint64_t>(body_left_, 64 * 1024)) : 64 * 1024;
    if (body_kind_ == Framing::Kind::chunked) {
      if (socket_.input().empty()) {
        io::Arrival arrival = co_await socket_.receive(Agenda::current().now() + settings_.body_timeout);
        if (arrival != io::Arrival::bytes) co_return lost(arrival);
      }
      Result<Bytes> piece = take_chunk();
      if (!piece) keep_alive_ = false;
      if (!piece || !piece->empty() || body_kind_ == Framing::Kind::none) co_return piece;
      continue;
    }
    io::Bulk bulk = co_await socket_.receive_bulk(bytes_max, Agenda::current().now() + settings_.body_timeout);
    if (bulk.arrival != io::Arrival::bytes) co_return lost(bulk.arrival);
    body_left_ -= bulk.bytes.size();
    body_in_ += bulk.bytes.size();
    if (body_left_ == 0) {
      body_kind_ = Framing::Kind::none;
      socket_.watch();  // whether the client goes is still to be noticed
    }
    co_return std::move(bulk.bytes);
  }
  co_return Bytes();
}

// Decodes what is in input(): gathers the data of all its chunks into one piece.
Result<Bytes> ServerConnection::take_chunk() {
  std::string_view input = socket_.input();
  Writer gathered(std::min<size_t>(input.size(), 64 * 1024));
  while (!input.empty() && gathered.size() < 64 * 1024) {
    ChunkDecoder::Step step = chunks_->decode(input);
    gathered.text(step.data);
    input.remove_prefix(step.consumed);
    socket_.consume(step.consumed);
    if (chunks_->failed()) return failure(Code::bad_request, Side::client, chunks_->fault());
    if (chunks_->done()) {
      body_kind_ = Framing::Kind::none;
      break;
    }
  }
  body_in_ += gathered.size();
  if (settings_.body_max && body_in_ > *settings_.body_max)
    return failure(Code::body_too_large, Side::client, "the request's body exceeds the limit");
  return gathered.finish();
}

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

Task<bool> ServerConnection::finish() {
  if (!keep_alive_ || broken_) {
    if (body_unread() || !socket_.input().empty()) {
      // The peer may still be sending: reading a little lets it see our answer before the reset (RFC 9112 §9.6).
      socket_.shutdown_write();
      Instant deadline = Agenda::current().now() + ServerSettings::drain_timeout;
      size_t drained = 0;
      while (!broken_ && drained < 16 * ServerSettings::drain_max) {
        io::Bulk bulk = co_await socket_.receive_bulk(64 * 1024, deadline);
        if (bulk.arrival != io::Arrival::bytes) break;
        drained += bulk.bytes.size();
      }
    }
    co_return false;
  }
  Instant deadline = Agenda::current().now() + ServerSettings::drain_timeout;
  size_t drained = 0;
  while (body_unread()) {
    std::optional<Result<Bytes>> piece = co_await before(deadline, read_body());
    if (!piece || !*piece) co_return false;
    drained += (*piece)->size();
    if (drained > ServerSettings::drain_max) co_return false;
  }
  co_return true;
}

Task<bool> ServerConnection::refuse(Response& response, const Headers& extra) {
  Framing framing;
  framing.kind = Framing::Kind::length;
  framing.length = response.body.bytes().size();
  framing.keep_alive = false;
  Bytes message = response_head(response, framing, extra, response.body.bytes());
  body_out_ = framing.length;
  Instant deadline = Agenda::current().now() + ServerSettings::drain_timeout;
  if (socket_.sending()) co_await socket_.flush(deadline);
  if (socket_.sending() || socket_.send_broken()) co_return false;
  if (!co_await socket_.send(std::move(message), {}, deadline)) co_return false;
  keep_alive_ = false;
  socket_.shutdown_write();
  size_t drained = 0;
  while (drained < 16 * ServerSettings::drain_max) {
    io::Bulk bulk = co_await socket_.receive_bulk(64 * 1024, deadline);
    if (bulk.arrival != io::Arrival::bytes) break;
    drained += bulk.bytes.size();
  }
  co_return true;
}

void ServerConnection::retire(bool fresh_too) {
  retired_ = true;
  if (idle_ && (served_ || fresh_too)) socket_.shutdown_read();
}

}  // namespace portloom::http
