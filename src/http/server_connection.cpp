// http/server_connection.cpp
//
// What comes in, and how a connection ends. What goes out is in server_reply.cpp.
#include "http/server_connection.h"

#include <algorithm>

#include "async/race.h"
#include "base/text.h"

namespace portloom::http {
namespace {

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
