// http/http2_client.cpp
//
// Requests out, answers in. How a stream ended decides whether the request may be sent again (RFC 9113 §8.7).
#include "http/http2_client.h"

#include <charconv>

#include "base/text.h"
#include "http/chunked.h"
#include "http/framing.h"
#include "http/grammar.h"
#include "http/hop_by_hop.h"
#include "http/websocket.h"

namespace portloom::http {
namespace {

std::string_view view(nghttp2_rcbuf* buffer) {
  nghttp2_vec bytes = nghttp2_rcbuf_get_buf(buffer);
  return {reinterpret_cast<const char*>(bytes.base), bytes.len};
}

std::unexpected<Error> unusable(std::string detail) {
  return failure(Code::upstream_protocol, Side::upstream, std::move(detail), Progress::head);
}

}  // namespace

// The body of an answer: owns its stream.
class Http2Answer final : public BodySource {
 public:
  explicit Http2Answer(std::unique_ptr<Http2ClientStream> stream) : stream_(std::move(stream)) {}
  [[clang::coro_wrapper]] Task<Result<Bytes>> read() override { return stream_->read_body(); }
  const Headers* trailers() const override { return stream_->trailers(); }

 private:
  std::unique_ptr<Http2ClientStream> stream_;
};

// The upstream's side of a WebSocket: owns its stream.
class Http2Tunnel final : public ByteStream {
 public:
  explicit Http2Tunnel(std::unique_ptr<Http2ClientStream> stream) : stream_(std::move(stream)), bytes_(*stream_) {}
  [[clang::coro_wrapper]] Task<io::Bulk> read(size_t bytes_max, Instant deadline) override { return bytes_.read(bytes_max, deadline); }
  [[clang::coro_wrapper]] Task<bool> write(Bytes bytes, Instant deadline) override { return bytes_.write(std::move(bytes), deadline); }
  void end() override { bytes_.end(); }
  void abort() override { bytes_.abort(); }

 private:
  std::unique_ptr<Http2ClientStream> stream_;
  Http2Bytes bytes_;
};

// ---- A request ----

Http2ClientStream::Http2ClientStream(Http2ClientConnection& connection)
    : Http2Stream(connection, 0), connection_(connection), begun_(Agenda::current().now()) {}

Http2ClientStream::~Http2ClientStream() {
  upload_.cancel();
  // Given up without an answer: perhaps nobody is there any more.
  bool doubtful = !head_ended_ && connection_.heard_ < begun_ && begun_ + Http2ClientConnection::silence_max <= Agenda::current().now();
  if (doubtful) connection_.ping();
}

bool Http2ClientStream::send(Request& request) {
  request_ = &request;
  tunnel_ = asks_for_websocket(request);
  bool streams = !request.body.in_memory();
  bool has_body = streams || tunnel_ || *request.body.length() > 0;
  char number[20];
  Http2Fields fields;
  fields.add(":method", tunnel_ ? "CONNECT" : request.method_text());
  if (tunnel_) fields.add(":protocol", "websocket");
  fields.add(":scheme", connection_.scheme_);
  if (!request.host().empty()) fields.add(":authority", request.host());
  fields.add(":path", request.path_and_query());
  fields.add_all(request.headers, {Name::expect}, tunnel_ ? "Sec-WebSocket-Key" : "");  // RFC 8441 §5
  if (request.body.length() && request.headers.contains(Name::content_length)) {
    char* end = std::to_chars(number, number + sizeof number, *request.body.length()).ptr;
    fields.add("content-length", {number, static_cast<size_t>(end - number)});
  }
  if (request.te_trailers) fields.add("te", "trailers");
  if (!has_body)
    output_ended_ = true;
  else if (!streams && !tunnel_)
    give_whole(request.body.bytes());
  output_begun_ = has_body;
  progress_ = Agenda::current().now();
  nghttp2_data_provider data = connection_.provider();
  int32_t id = nghttp2_submit_request(session_.native(), nullptr, fields.data(), fields.size(), has_body ? &data : nullptr, this);
  if (id < 0) return false;
  id_ = id;
  if (streams) upload_.spawn(upload, this);
  connection_.wake();
  return true;
}

Task<void> Http2ClientStream::upload(Http2ClientStream* self) {
  Error fault;
  uint64_t count = 0;
  Sent sent = co_await self->send_body(self->request_->body, fault, count);
  if (sent == Sent::whole || sent == Sent::gone) co_return;
  if (sent == Sent::late)
    fault = Error{Code::upstream_timeout, Side::upstream, Progress::body, "the upstream does not take the request's body"};
  self->upload_error_ = std::move(fault);
  self->reset(NGHTTP2_CANCEL);
  self->input_came_.set();  // whoever waits for the answer is to look
}

void Http2ClientStream::passed_on(size_t) {
  body_taken_ = true;
  request_->upload_progress = Agenda::current().now();
}

void Http2ClientStream::on_field(nghttp2_rcbuf* name, nghttp2_rcbuf* value) {
  std::string_view key = view(name);
  std::string_view content = view(value);
  if (key.starts_with(':')) {  // :status, as nghttp2 has seen to
    response_.status = static_cast<uint16_t>(parse_number(content).value_or(0));
    return;
  }
  const Limits& limits = connection_.client_.heads;
  Headers& to = head_ended_ ? make_trailers() : response_.headers;
  field_bytes_ += key.size() + content.size() + 4;
  if (field_bytes_ > limits.headers || to.size() >= limits.header_count) fault_ = "the header section exceeds the limit";
  if (!is_field_value(content)) on_invalid_field();
  if (fault_ == nullptr) to.add_validated(name_of_field(key), key, trim(content));
}

void Http2ClientStream::on_head_end() {
  if (head_ended_) {
    if (!trailers_) return;
    if (fault_ != nullptr) trailers_->clear();
    trailers_->remove_if([](const Headers::Field& field) { return !allowed_in_trailer(field); });
    return;
  }
  if (response_.status < 200 && ++interim_ <= Http2ClientSettings::interim_max && response_.status != 101 && fault_ == nullptr) {
    response_.headers.clear();
    field_bytes_ = 0;
    return;
  }
  if (response_.status < 200 && fault_ == nullptr) fault_ = response_.status == 101 ? "101 over HTTP/2" : "too many interim responses";
  head_ended_ = true;
  input_came_.set();
}

// What comes behind the answer's end changes nothing of it. Node says RST_STREAM(NO_ERROR) instead of the end at times: an
// answer that is as long as it said is whole then.
bool Http2ClientStream::input_whole() const {
  return input_ended_ || (closed_ && close_error_ == NGHTTP2_NO_ERROR && length_ && came_ == *length_);
}

// How far the request has got for all we know.
Progress Http2ClientStream::progress() const {
  bool unseen = !head_framed_ || (closed_ && close_error_ == NGHTTP2_REFUSED_STREAM);
  if (unseen && !body_taken_) return Progress::nothing;
  return output_begun_ ? Progress::body : Progress::head;
}

std::unexpected<Error> Http2ClientStream::cut_off(bool late) const {
  if (upload_error_) return std::unexpected(*upload_error_);
  std::string what = head_ended_ ? "the response's body is cut off" : "no response";
  Progress far = head_ended_ ? Progress::body : progress();
  if (late) return failure(Code::upstream_timeout, Side::upstream, "the response's body stood still", far);
  if (!closed_) return failure(Code::reset, Side::upstream, what + ": the connection broke", far);
  std::string reason = what + ": the stream was reset with " + nghttp2_http2_strerror(close_error_);
  switch (close_error_) {
    case NGHTTP2_NO_ERROR:
    case NGHTTP2_REFUSED_STREAM:
    case NGHTTP2_STREAM_CLOSED: return failure(Code::reset, Side::upstream, std::move(reason), far);
    case NGHTTP2_CANCEL: return failure(Code::cancelled, Side::upstream, std::move(reason), far);
    case NGHTTP2_ENHANCE_YOUR_CALM: return failure(Code::overloaded, Side::upstream, std::move(reason), far);
    default: return failure(Code::upstream_protocol, Side::upstream, std::move(reason), far);
  }
}

Result<Response> Http2ClientStream::begin_body(std::unique_ptr<Http2ClientStream> stream) {
  if (stream->fault_ != nullptr) return unusable(stream->fault_);
  Response response = std::move(stream->response_);
  strip_hop_by_hop(response.headers);
  if (stream->tunnel_ && response.status / 100 == 2) return begin_tunnel(std::move(stream), std::move(response));
  if (stream->tunnel_) stream->end_output();  // there will be no tunnel
  bool none = stream->request_->method() == Method::HEAD || response.status == 204 || response.status == 304;
  if (stream->input_ended_ && stream->trailers_ == nullptr) {
    Bytes whole = stream->take(stream->input_.view().size());
    if (!none && !whole.empty()) response.body = Body(std::move(whole));
    return response;
  }
  std::optional<uint64_t> length;
  if (std::optional<std::string_view> declared = response.headers.find(Name::content_length)) length = parse_number(*declared);
  if (none) length = 0;
  stream->length_ = length;
  response.body = Body(std::make_unique<Http2Answer>(std::move(stream)), length);
  return response;
}

// What HTTP/1 says with 101. The upstream saw no key: the answer to it is ours.
Response Http2ClientStream::begin_tunnel(std::unique_ptr<Http2ClientStream> stream, Response response) {
  response.status = 101;
  response.headers.remove(Name::content_length);
  response.headers.set(Name::upgrade, "websocket");
  std::string_view key = stream->request_->headers.find("Sec-WebSocket-Key").value_or(std::string_view());
  response.headers.set("Sec-WebSocket-Accept", websocket_accept(key));
  response.tunnel = std::make_unique<Http2Tunnel>(std::move(stream));
  return response;
}

// ---- The connection ----

Http2ClientConnection::Http2ClientConnection(io::Socket socket, const Http2ClientSettings& settings, bool secure, Watcher& watcher)
    : Http2Session(std::move(socket), Role::client, {settings.heads, Http2ClientSettings::bounds, settings.body_timeout}),
      client_(settings),
      watcher_(watcher),
      scheme_(secure ? "https" : "http"),
      idle_since_(Agenda::current().now()),
      looked_(idle_since_) {
  const nghttp2_settings_entry ours[] = {
      {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, Http2ClientSettings::bounds.stream_window},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, static_cast<uint32_t>(settings.heads.headers)},
  };
  nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, ours, std::size(ours));
  wake();
}

Task<void> Http2ClientConnection::run() {
  while (true) {
    bool more = co_await step();
    if (!more) break;
  }
  settings_came_.set();
  while (open() > 0) {
    emptied_.reset();
    co_await emptied_.wait();
  }
}

size_t Http2ClientConnection::room() const {
  if (pinged_ != never && pinged_ + silence_max <= Agenda::current().now()) return 0;
  if (over_ || ending_ || retired_ || choked() || nghttp2_session_check_request_allowed(session_) == 0) return 0;
  uint32_t theirs = nghttp2_session_get_remote_settings(session_, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
  size_t limit = std::min(client_.streams_max, theirs);
  return limit > open() ? limit - open() : 0;
}

void Http2ClientConnection::retire() {
  retired_ = true;
  if (open() == 0 && !ending_ && !over_) terminate(NGHTTP2_NO_ERROR);
}

void Http2ClientConnection::on_goaway() { retire(); }

void Http2ClientConnection::on_stream_over() {
  idle_since_ = Agenda::current().now();
  if (open() == 0) emptied_.set();
  if (retired_) retire();
  watcher_.on_room();
}

// Silence is looked at even while no request is open: one may have begun since.
Instant Http2ClientConnection::deadline() const {
  if (pinged_ != never) return pinged_ + http2_pong_within;
  return std::max(heard_, looked_) + http2_ping_after;
}

void Http2ClientConnection::on_late() {
  looked_ = Agenda::current().now();
  check_ping();
}

// Whether it does is said by its first SETTINGS (RFC 8441 §3). One that comes to its end meanwhile takes no request either.
Task<Result<void>> Http2ClientConnection::takes_websockets(Instant deadline) {
  while (!settled_ && !settings_came_.is_set()) {
    bool came = co_await settings_came_.wait_until(deadline);
    if (!came) co_return failure(Code::upstream_timeout, Side::upstream, "no SETTINGS in time");
  }
  bool offered = nghttp2_session_get_remote_settings(session_, NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL) == 1;
  if (settled_ && !offered)
    co_return failure(Code::upstream_protocol, Side::upstream, "the service takes no WebSocket over HTTP/2: it does not offer RFC 8441");
  co_return {};
}

Task<Result<Response>> Http2ClientConnection::exchange(Request& request, Instant deadline) {
  used_ = true;
  auto stream = std::make_unique<Http2ClientStream>(*this);
  if (asks_for_websocket(request)) {
    Result<void> possible = co_await takes_websockets(deadline);
    if (!possible) co_return std::unexpected(std::move(possible.error()));
  }
  if (!stream->send(request)) co_return failure(Code::reset, Side::upstream, "the connection takes no more requests");
  while (!stream->head_ended_) {
    if (stream->upload_error_ || stream->over()) co_return stream->cut_off(false);
    stream->input_came_.reset();
    bool came = co_await stream->input_came_.wait_until(deadline);
    if (!came) co_return failure(Code::upstream_timeout, Side::upstream, "no response in time", stream->progress());
  }
  co_return Http2ClientStream::begin_body(std::move(stream));
}

}  // namespace portloom::http
