// http/client_connection.cpp
//
// Writing requests, reading responses.
#include "http/client_connection.h"

#include <algorithm>
#include <cstring>

#include "async/race.h"
#include "http/hop_by_hop.h"

namespace portloom::http {
namespace {

constexpr size_t copied_max = 16 * 1024;           // a body up to this size travels in the head's buffer
constexpr uint64_t expected_bulk_min = 64 * 1024;  // what must still be to come for body mode to pay

}  // namespace

// The pull side of a response body: knows its framing, and tells the connection how it ended.
class ResponseBody final : public BodySource {
 public:
  ResponseBody(ClientConnection& connection, const Framing& framing)
      : connection_(connection), kind_(framing.kind), left_(framing.length), keep_alive_(framing.keep_alive) {
    if (kind_ == Framing::Kind::chunked) chunks_ = std::make_unique<ChunkDecoder>();
  }
  ~ResponseBody() override {
    if (connection_.upload_) connection_.upload_->cancel();
  }

  [[clang::coro_wrapper]] Task<Result<Bytes>> read() override {
    if (kind_ == Framing::Kind::chunked) return read_chunks();
    return read_plain();
  }
  Task<Result<size_t>> read_into(io::Pipe& pipe, size_t bytes_max) override {
    if (kind_ != Framing::Kind::length || !connection_.socket_.spliceable()) co_return size_t{0};
    while (true) {
      io::Arrival arrival = co_await connection_.socket_.readable(deadline());
      if (arrival != io::Arrival::bytes) co_return cut(arrival);
      switch (pipe.fill(connection_.socket_.channel(), static_cast<size_t>(std::min<uint64_t>(left_, bytes_max)))) {
        case io::Pipe::Filled::bytes:
          left_ -= pipe.held();
          if (left_ == 0) end();
          co_return pipe.held();
        case io::Pipe::Filled::nothing_yet: continue;
        case io::Pipe::Filled::end: co_return cut(io::Arrival::end);
        case io::Pipe::Filled::broken: co_return cut(io::Arrival::broken);
        case io::Pipe::Filled::no_pipe: co_return size_t{0};
      }
    }
  }
  const Headers* trailers() const override { return chunks_ && chunks_->done() ? &chunks_->trailers() : nullptr; }

 private:
  void end() {
    kind_ = Framing::Kind::none;
    connection_.reusable_ = keep_alive_ && !connection_.uploading();
  }
  std::unexpected<Error> cut(io::Arrival arrival) const {
    if (arrival == io::Arrival::late)
      return failure(Code::upstream_timeout, Side::upstream, "the response's body stood still", Progress::body);
    return failure(arrival == io::Arrival::broken ? Code::reset : Code::closed, Side::upstream, "the response's body is cut off",
                   Progress::body);
  }
  Instant deadline() const { return Agenda::current().now() + connection_.settings_.body_timeout; }

  Task<Result<Bytes>> read_plain() {
    if (kind_ == Framing::Kind::none) co_return Bytes();
    size_t bytes_max = kind_ == Framing::Kind::length ? static_cast<size_t>(std::min<uint64_t>(left_, 64 * 1024)) : 64 * 1024;
    io::Bulk bulk = co_await connection_.socket_.receive_bulk(bytes_max, deadline());
    if (bulk.arrival == io::Arrival::end && kind_ == Framing::Kind::until_close) {
      keep_alive_ = false;
      end();
      co_return Bytes();
    }
    if (bulk.arrival != io::Arrival::bytes) co_return cut(bulk.arrival);
    if (kind_ == Framing::Kind::length) {
      if (bulk.bytes.size() > left_) co_return failure(Code::upstream_protocol, Side::upstream, "more bytes than declared", Progress::body);
      left_ -= bulk.bytes.size();
      if (left_ == 0) end();
    }
    co_return std::move(bulk.bytes);
  }

  Task<Result<Bytes>> read_chunks() {
    while (kind_ != Framing::Kind::none) {
      if (connection_.socket_.input().empty()) {
        io::Arrival arrival = co_await connection_.socket_.receive(deadline());
        if (arrival != io::Arrival::bytes) co_return cut(arrival);
      }
      std::string_view input = connection_.socket_.input();
      Writer gathered(std::min<size_t>(input.size() + 1, 64 * 1024));
      while (!input.empty() && !chunks_->done()) {
        ChunkDecoder::Step step = chunks_->decode(input);
        gathered.text(step.data);
        input.remove_prefix(step.consumed);
        connection_.socket_.consume(step.consumed);
        if (chunks_->failed()) co_return failure(Code::upstream_protocol, Side::upstream, chunks_->fault(), Progress::body);
      }
      if (chunks_->done()) end();
      if (gathered.size() > 0) co_return gathered.finish();
    }
    co_return Bytes();
  }

  ClientConnection& connection_;
  std::unique_ptr<ChunkDecoder> chunks_;
  Framing::Kind kind_;
  uint64_t left_;
  bool keep_alive_;
};

void ClientConnection::start(Request& request, ExtraFields extra) {
  Framing framing;
  framing.upgrade = request.upgrade;
  framing.keep_alive = !settings_.single_use;
  bool has_body = !request.body.in_memory() || *request.body.length() > 0;
  std::optional<uint64_t> length = request.body.length();
  chunked_upload_ = has_body && !length;
  if (has_body) {
    framing.kind = length ? Framing::Kind::length : Framing::Kind::chunked;
    framing.length = length.value_or(0);
  } else if (request.method() == Method::POST || request.method() == Method::PUT || request.method() == Method::PATCH) {
    framing.kind = Framing::Kind::length;  // these anticipate a body: say that it is empty (RFC 9110 §8.6)
  }
  std::string_view body = request.body.in_memory() ? request.body.bytes().view() : std::string_view{};
  bool copied = body.size() <= copied_max;
  Bytes head = Bytes::uninitialized(head_bytes(request, extra) + (copied ? body.size() : 0));
  char* begin = head.writable();
  char* end = write_request_head(begin, request, framing, extra);
  if (copied && !body.empty()) {
    std::memcpy(end, body.data(), body.size());
    end += body.size();
  }
  head.truncate(static_cast<size_t>(end - begin));
  body_sent_ = has_body;
  socket_.post(std::move(head), copied ? Bytes() : request.body.bytes());
  if (!request.body.in_memory()) {
    if (!upload_) upload_ = std::make_unique<Scope>();
    upload_->spawn(upload, this, &request);
  }
}

Task<void> ClientConnection::upload(ClientConnection* self, Request* request) {
  Result<void> sent = co_await self->send_body(*request);
  if (sent) co_return;
  self->reusable_ = false;
  self->upload_failed_ = true;
  // A broken client ends the exchange; a broken upstream may have answered already: its answer is read first.
  if (sent.error().side == Side::client) {
    self->upload_error_ = std::move(sent.error());
    self->socket_.shutdown_read();
  }
}

Task<Result<void>> ClientConnection::send_body(Request& request) {
  bool tail_due = false;  // of a chunk that has gone
  while (true) {
    Task<Result<Bytes>> reading = request.body.read();
    if (!reading.start() && tail_due) {  // nothing is there yet: a chunk's end is not held back
      if (!co_await socket_.flush(Agenda::current().now() + settings_.body_timeout))
        co_return failure(Code::reset, Side::upstream, "the upstream does not take the request's body", Progress::body);
      socket_.post(Bytes::literal(chunk_tail));
      tail_due = false;
    }
    Result<Bytes> piece = co_await reading;
    if (!piece) co_return std::unexpected(std::move(piece.error()));
    bool end = piece->empty();
    Bytes before;
    if (chunked_upload_) {
      bool small = piece->size() <= copied_max;
      Writer framing(64 + (small ? piece->size() : 0));
      if (std::exchange(tail_due, !small)) framing.text(chunk_tail);
      if (!end) {
        framing.advance(write_chunk_head(framing.room(chunk_head_max), piece->size()));
        if (small) {
          framing.text(std::exchange(*piece, {}).view());
          framing.text(chunk_tail);
        }
      } else {
        framing.text("0\r\n");
        if (const Headers* trailers = request.body.trailers(); trailers != nullptr)
          write_trailers(framing, *trailers);
        else
          framing.text("\r\n");
      }
      before = framing.finish();
    }
    request.upload_progress = Agenda::current().now();
    if (!co_await socket_.flush(Agenda::current().now() + settings_.body_timeout))
      co_return failure(Code::reset, Side::upstream, "the upstream does not take the request's body", Progress::body);
    if (!before.empty() || !end) socket_.post(std::move(before), std::move(*piece));
    if (socket_.send_broken()) co_return failure(Code::reset, Side::upstream, "the upstream broke the connection", Progress::body);
    if (end) co_return {};
  }
}

std::unexpected<Error> ClientConnection::lost(io::Arrival arrival) const {
  Progress progress = body_sent_ ? Progress::body : Progress::head;
  if (arrival == io::Arrival::late) return failure(Code::upstream_timeout, Side::upstream, "no response in time", progress);
  if (upload_error_) return std::unexpected(*upload_error_);
  return failure(arrival == io::Arrival::broken ? Code::reset : Code::closed, Side::upstream, "the upstream closed the connection",
                 progress);
}

Task<Result<Response>> ClientConnection::exchange(Request& request, ExtraFields extra, Instant deadline) {
  reusable_ = false;
  used_ = true;
  upload_error_.reset();
  start(request, extra);
  HeadParser parser(settings_.heads);
  Response response;
  int interim = 0;
  while (true) {
    size_t consumed = 0;
    HeadParser::State state = parser.parse_response(socket_.input(), response, consumed);
    if (state == HeadParser::State::complete) {
      socket_.consume(consumed);
      if (response.status >= 200 || response.status == 101) break;
      if (++interim > ClientSettings::interim_max)
        co_return failure(Code::upstream_protocol, Side::upstream, "too many interim responses", Progress::head);
      continue;
    }
    if (state == HeadParser::State::failed) {
      Error error = parser.error();
      error.progress = Progress::head;
      co_return std::unexpected(std::move(error));
    }
    io::Arrival arrival = co_await socket_.receive(deadline);
    if (arrival == io::Arrival::bytes) continue;
    if (parser.begun() && arrival != io::Arrival::late && !upload_error_)
      co_return failure(Code::upstream_protocol, Side::upstream, "the response's head is cut off", Progress::head);
    co_return lost(arrival);
  }
  if (response.status == 101 && !request.upgrade)
    co_return failure(Code::upstream_protocol, Side::upstream, "101 although no upgrade was asked for", Progress::head);
  if (response.status == 101 && uploading())  // the client's bytes still belong to the request
    co_return failure(Code::upstream_protocol, Side::upstream, "101 before the request had been sent", Progress::head);
  co_return begin_body(std::move(response), request.method());
}

Result<Response> ClientConnection::begin_body(Response response, Method method) {
  Result<Framing> framing = response_framing(response, method);
  if (!framing) return std::unexpected(std::move(framing.error()));
  strip_hop_by_hop(response.headers, framing->upgrade);
  if (settings_.single_use) framing->keep_alive = false;
  bool may_reuse = framing->keep_alive && !uploading() && !upload_failed_;
  switch (framing->kind) {
    case Framing::Kind::tunnel: response.tunnel = std::make_unique<SocketBytes>(socket_); return response;
    case Framing::Kind::none: reusable_ = may_reuse; return response;
    case Framing::Kind::length: {
      std::string_view input = socket_.input();
      if (input.size() >= framing->length && !uploading()) {
        response.body = Body(Bytes::copy(input.substr(0, framing->length)));
        socket_.consume(framing->length);
        reusable_ = may_reuse;
        return response;
      }
      if (framing->length > 0) {
        if (framing->length - std::min<uint64_t>(input.size(), framing->length) > expected_bulk_min) socket_.expect_bulk();
        response.body = Body(std::make_unique<ResponseBody>(*this, *framing), framing->length);
      }
      return response;
    }
    case Framing::Kind::chunked:
    case Framing::Kind::until_close: response.body = Body(std::make_unique<ResponseBody>(*this, *framing), std::nullopt); return response;
  }
  return response;
}

}  // namespace portloom::http
