// http/http2_server.cpp
//
// Heads are checked here once more, after nghttp2, for what an HTTP/1 reader behind us could read differently (RFC 9113 §8.2, §8.3).
#include "http/http2_server.h"

#include <charconv>

#include "base/text.h"
#include "http/chunked.h"
#include "http/framing.h"
#include "http/grammar.h"
#include "http/http2_rules.h"
#include "http/websocket.h"

namespace portloom::http {
namespace {

constexpr Duration last_goaway_within = 1s;  // of the first one, if no PING comes back before
constexpr size_t bomb_factor = 8;            // a head that unpacks to so many times what is taken was made to do harm

std::string_view view(nghttp2_rcbuf* buffer) {
  if (buffer == nullptr) return {};
  nghttp2_vec bytes = nghttp2_rcbuf_get_buf(buffer);
  return {reinterpret_cast<const char*>(bytes.base), bytes.len};
}

// Cookie may come in crumbs (RFC 9113 §8.2.3).
void join_cookies(Headers& fields) {
  if (fields.count(Name::cookie) < 2) return;
  Writer joined(256);
  fields.for_each(Name::cookie, [&](std::string_view crumb) {
    if (joined.size() > 0) joined.text("; ");
    joined.text(crumb);
  });
  fields.set(Name::cookie, joined.view());
}

std::unexpected<Error> malformed(std::string detail) { return failure(Code::bad_request, Side::client, std::move(detail)); }

}  // namespace

// ---- A request ----

Http2ServerStream::Http2ServerStream(Http2ServerConnection& connection, int32_t id)
    : Http2Stream(connection, id), connection_(connection) {}

Http2ServerStream::~Http2ServerStream() {
  for (nghttp2_rcbuf* buffer : pseudo_)
    if (buffer != nullptr) nghttp2_rcbuf_decref(buffer);
}

std::string_view Http2ServerStream::text(Pseudo which) const { return view(pseudo_[which]); }

void Http2ServerStream::on_malformed(std::string_view what) {
  if (wrong_.empty()) wrong_ = what;
  if (accepted_) reset(NGHTTP2_PROTOCOL_ERROR);  // else it is answered first
}

void Http2ServerStream::on_pseudo(std::string_view name, nghttp2_rcbuf* value) {
  if (head_ended_) return on_malformed("a pseudo-header field among trailers");
  if (!fields_.empty()) return on_malformed("a pseudo-header field behind other fields");  // RFC 9113 §8.3
  constexpr std::string_view names[] = {":method", ":scheme", ":authority", ":path", ":protocol"};
  for (size_t i = 0; i < pseudo_end; ++i) {
    if (name != names[i]) continue;
    if (pseudo_[i] != nullptr) return on_malformed("a pseudo-header field comes twice");
    nghttp2_rcbuf_incref(value);
    pseudo_[i] = value;
    return;
  }
  on_malformed("an unknown pseudo-header field");
}

void Http2ServerStream::on_field(nghttp2_rcbuf* name, nghttp2_rcbuf* value) {
  std::string_view key = view(name);
  std::string_view content = view(value);
  const Limits& limits = connection_.settings_.heads;
  decoded_ += key.size() + content.size() + 32;
  if (decoded_ / bomb_factor > limits.headers + limits.uri) connection_.demand_calm();
  if (too_large_ || !wrong_.empty()) return;
  if (key.starts_with(':')) return on_pseudo(key, value);
  field_bytes_ += key.size() + content.size() + 4;
  Headers& to = head_ended_ ? make_trailers() : fields_;
  if (field_bytes_ > limits.headers || to.size() >= limits.header_count) {
    too_large_ = true;
    return;
  }
  Http2Field field = check_field(key, content);
  if (!field.fault.empty()) return on_malformed(field.fault);
  to.add_validated(field.id, key, content);
}

void Http2ServerStream::on_head_end() {
  if (head_ended_) {
    if (trailers_ && too_large_) trailers_->clear();
    if (trailers_) trailers_->remove_if([](const Headers::Field& field) { return !allowed_in_trailer(field); });
    return;
  }
  head_ended_ = true;
  head_only_ = text(method) == "HEAD";
  if (std::optional<std::string_view> length = fields_.find(Name::content_length)) {
    declared_ = parse_number(*length);
    if (!declared_ || fields_.count(Name::content_length) > 1) on_malformed("Content-Length is malformed");
  }
  follow_priority();
  connection_.asked_ = true;
  if (connection_.forming_.get() == this) connection_.waiting_.push_back(std::move(connection_.forming_));
}

// What the client would like first (RFC 9218); the field goes on to the service, which may know better.
void Http2ServerStream::follow_priority() {
  std::optional<std::string_view> wish = fields_.find("priority");
  std::optional<Priority> priority = wish ? parse_priority(*wish) : std::nullopt;
  if (!priority) return;
  nghttp2_extpri told{.urgency = static_cast<uint32_t>(priority->urgency), .inc = priority->incremental ? 1 : 0};
  nghttp2_session_change_extpri_stream_priority(session_.native(), id_, &told, 0);
}

Result<void> Http2ServerStream::accept_head(Request& request) {
  if (text(path).size() > connection_.settings_.heads.uri)
    return failure(Code::target_too_long, Side::client, "the request's target exceeds the limit");
  if (too_large_) return failure(Code::headers_too_large, Side::client, "the request's header section exceeds the limit");
  if (!wrong_.empty()) return malformed(std::string(wrong_));
  bool connects = text(method) == "CONNECT";
  Http2Pseudo there{
      .method = has(method), .scheme = has(scheme), .authority = has(authority), .path = has(path), .protocol = has(protocol_name)};
  if (std::string_view fault = fault_of(there, connects); !fault.empty()) return malformed(std::string(fault));
  upgrade_ = there.protocol;
  if (upgrade_ && !equals_ignoring_case(text(protocol_name), "websocket"))
    return failure(Code::unsupported_coding, Side::client, "the only protocol that CONNECT leads to here is websocket");
  std::optional<std::string_view> host = fields_.find(Name::host);
  std::string_view named = text(authority);
  if (fields_.count(Name::host) > 1) return malformed("more than one Host");
  if (host && there.authority && !equals_ignoring_case(*host, named)) return malformed(":authority and Host differ");
  Authority parsed;
  if (named.empty() && (!host || !parse_authority(*host, parsed))) return malformed("there is no :authority");
  if (!request.assign(upgrade_ ? "GET" : text(method), text(scheme), named, text(path)))
    return malformed(":method, :scheme, :authority or :path is malformed");
  if (host && !named.empty()) fields_.remove(Name::host);
  join_cookies(fields_);
  request.headers = std::move(fields_);
  return {};
}

// What HTTP/1 says with Upgrade in a GET (RFC 8441 §5). There is no key in HTTP/2; what it is for, telling old caches apart, HTTP/1
// still needs.
void Http2ServerStream::become_upgrade(Request& request) {
  request.upgrade = true;
  request.body = Body();
  request.headers.remove(Name::content_length);
  request.headers.set(Name::upgrade, "websocket");
  key_ = websocket_key();
  request.headers.set("Sec-WebSocket-Key", key_);
  declared_.reset();
}

Result<void> Http2ServerStream::accept_body(Request& request) {
  if (std::optional<std::string_view> expected = request.headers.find(Name::expect)) {
    if (!equals_ignoring_case(*expected, "100-continue"))
      return failure(Code::unsupported_expectation, Side::client, "the only expectation understood here is 100-continue");
    continue_due_ = !input_ended_ && input_.empty();
    request.headers.remove(Name::expect);
  }
  std::optional<uint64_t> body_max = connection_.server_.body_max;
  if (body_max && declared_.value_or(0) > *body_max)
    return failure(Code::body_too_large, Side::client, "the request's body exceeds the limit");
  if (input_ended_ && trailers_ == nullptr && !over()) {
    size_t size = input_.view().size();
    if (body_max && size > *body_max) return failure(Code::body_too_large, Side::client, "the request's body exceeds the limit");
    body_in_ += size;
    request.body = size == 0 ? Body() : Body(take(size));
  } else {
    request.body = Body(std::make_unique<Http2Body>(*this), declared_);
  }
  return {};
}

Result<void> Http2ServerStream::accept(Request& request) {
  Result<void> head = accept_head(request);
  if (!head) return head;
  accepted_ = true;
  if (!upgrade_) return accept_body(request);
  become_upgrade(request);
  return {};
}

[[clang::coro_wrapper]] Task<Incoming> Http2ServerStream::next(Request& request) {
  Result<void> accepted = accept(request);
  for (nghttp2_rcbuf*& buffer : pseudo_)
    if (buffer != nullptr) nghttp2_rcbuf_decref(std::exchange(buffer, nullptr));
  if (accepted) return ready(Incoming::request);
  fault_ = std::move(accepted.error());
  return ready(Incoming::failed);
}

void Http2ServerStream::before_waiting() {
  if (!std::exchange(continue_due_, false) || head_sent_) return;
  Http2Fields fields;
  fields.add(":status", "100");  // RFC 9110 §10.1.1
  nghttp2_submit_headers(session_.native(), NGHTTP2_FLAG_NONE, id_, nullptr, fields.data(), fields.size(), nullptr);
  connection_.wake();
}

Result<void> Http2ServerStream::took(size_t bytes) {
  body_in_ += bytes;
  std::optional<uint64_t> body_max = connection_.server_.body_max;
  if (body_max && body_in_ > *body_max) return failure(Code::body_too_large, Side::client, "the request's body exceeds the limit");
  return {};
}

std::unexpected<Error> Http2ServerStream::cut_off(bool late) const {
  if (!wrong_.empty()) return failure(Code::bad_request, Side::client, std::string(wrong_));
  if (late) return failure(Code::request_timeout, Side::client, "the request's body did not arrive in time");
  return failure(Code::client_gone, Side::client, "the request's body is cut off");
}

// ---- Its answer ----

bool Http2ServerStream::send_head(const Response& response, bool body_follows, std::optional<uint64_t> length) {
  if (over()) return false;
  if (std::exchange(head_sent_, true)) return true;
  unsigned status = response.tunnel ? 200 : std::min<unsigned>(response.status, 999);
  char digits[3] = {static_cast<char>('0' + status / 100), static_cast<char>('0' + status / 10 % 10), static_cast<char>('0' + status % 10)};
  char number[20];
  Http2Fields fields;
  fields.add(":status", {digits, 3});
  fields.add_all(response.headers);
  if (length) {
    char* end = std::to_chars(number, number + sizeof number, *length).ptr;
    fields.add("content-length", {number, static_cast<size_t>(end - number)});
  }
  fields.add_all(*extra_);
  nghttp2_data_provider data = connection_.provider();
  output_begun_ = body_follows;
  if (!body_follows) output_ended_ = true;
  int error = nghttp2_submit_response(session_.native(), id_, fields.data(), fields.size(), body_follows ? &data : nullptr);
  connection_.wake();
  return error == 0;
}

bool Http2ServerStream::begin_output() {
  if (response_ == nullptr) return !over();
  const Response& response = *std::exchange(response_, nullptr);
  return send_head(response, true, response.body.length());
}

bool Http2ServerStream::settle(Sent sent) {
  switch (sent) {
    case Sent::whole: return true;
    case Sent::gone: return false;
    case Sent::failed:
      cut_ = head_sent_ ? Cut::in_reply : Cut::before_reply;
      if (head_sent_) drop_error_ = NGHTTP2_INTERNAL_ERROR;  // RFC 9113 §8.1: what is incomplete must not look complete
      if (head_sent_ && fault_.side != Side::client) connection_.pardon();
      return false;
    case Sent::late:
      cut_ = Cut::in_reply;
      fault_ = Error{Code::request_timeout, Side::client, Progress::body, "the client does not read its answer"};
      return false;
  }
  return false;
}

Task<bool> Http2ServerStream::reply(Response& response, const Headers& extra) {
  cut_ = Cut::none;
  response_ = nullptr;
  extra_ = &extra;
  continue_due_ = false;
  if (over()) co_return false;
  progress_ = Agenda::current().now();
  bool proven = upgrade_ && response.headers.find("Sec-WebSocket-Accept") == websocket_accept(key_);
  if (proven && response.tunnel != nullptr) co_return reply_tunnel(response);
  bool switches = response.status == 101 || response.tunnel != nullptr;
  if (switches || (upgrade_ && response.status / 100 == 2)) {  // to CONNECT any 2xx would be the switch
    fault_ = Error{Code::upstream_protocol, Side::upstream, Progress::head,
                   !switches  ? "the service did not switch protocols"
                   : upgrade_ ? "the service's Sec-WebSocket-Accept does not answer the key"
                              : "an upgrade that was not asked for"};
    cut_ = Cut::before_reply;
    co_return false;
  }
  bool no_body = head_only_ || response.status == 204 || response.status == 304;
  if (no_body) {
    std::optional<uint64_t> length;
    if (std::optional<std::string_view> declared = response.headers.find(Name::content_length))
      length = parse_number(*declared);
    else if (response.body.in_memory() && *response.body.length() > 0)
      length = response.body.length();
    if (response.status == 204) length.reset();
    if (!send_head(response, false, length)) co_return false;
    co_return settle(co_await flushed());
  }
  if (response.body.in_memory()) {
    body_out_ = response.body.bytes().size();
    give_whole(response.body.bytes());
    if (!send_head(response, !output_.empty(), body_out_)) co_return false;
    co_return settle(co_await flushed());
  }
  response_ = &response;
  co_return settle(co_await send_body(response.body, fault_, body_out_));
}

// 200 says that the tunnel stands (RFC 8441 §5); the key was ours, and so the answer to it was for us (RFC 6455 §4.1).
bool Http2ServerStream::reply_tunnel(Response& response) {
  response.headers.remove("Sec-WebSocket-Accept");
  return send_head(response, true, std::nullopt);
}

// What is malformed is answered and then reset, as an error of the stream (RFC 9113 §8.1.1).
Task<bool> Http2ServerStream::refuse(Response& response, const Headers& extra) {
  if (fault_.code != Code::bad_request || head_only_ || response.body.bytes().empty()) co_return co_await reply(response, extra);
  extra_ = &extra;
  output_ = response.body.bytes();
  body_out_ = output_.size();
  progress_ = Agenda::current().now();
  if (!send_head(response, true, body_out_)) co_return false;
  Sent sent = co_await drained();
  if (sent == Sent::whole) reset(NGHTTP2_PROTOCOL_ERROR);
  co_return sent == Sent::whole;
}

// An answer has overtaken its upload. Most clients stop by themselves once they have read it, and some lose it when the reset comes
// with the same bytes (curl 7.88): it waits a little.
Task<bool> Http2ServerStream::finish() {
  Instant deadline = Agenda::current().now() + ServerSettings::drain_timeout;
  while (!input_ended_ && !over()) {
    discard_input();
    input_came_.reset();
    bool came = co_await input_came_.wait_until(deadline);
    if (!came) break;
  }
  co_return false;
}

// ---- The connection ----

Http2ServerConnection::Http2ServerConnection(io::Socket socket, const ServerSettings& settings)
    : Http2Session(std::move(socket), Role::server, {settings.heads, settings.http2_limits, settings.body_timeout}),
      server_(settings),
      begun_(Agenda::current().now()),
      idle_since_(begun_) {
  const nghttp2_settings_entry ours[] = {
      {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, settings.http2_limits.streams},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, settings.http2_limits.stream_window},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, static_cast<uint32_t>(settings.heads.headers)},
      {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},    // RFC 9218 §2.1
      {NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1},  // RFC 8441 §3
  };
  nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, ours, std::size(ours));
  wake();
}

Http2ServerConnection::~Http2ServerConnection() {
  forming_.reset();
  waiting_.clear();
}

Http2Stream* Http2ServerConnection::on_request(int32_t id) {
  if (open() >= 2 * size_t{settings_.bounds.streams}) {  // reset by the client, and still being cleared away
    nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, id, NGHTTP2_REFUSED_STREAM);
    return nullptr;
  }
  forming_ = std::make_unique<Http2ServerStream>(*this, id);
  return forming_.get();
}

void Http2ServerConnection::on_stream_over() { idle_since_ = Agenda::current().now(); }

Task<std::unique_ptr<ServerStream>> Http2ServerConnection::next() {
  while (true) {
    while (fetched_ < waiting_.size()) {
      std::unique_ptr<Http2ServerStream> stream = std::move(waiting_[fetched_++]);
      if (!stream->over()) co_return stream;
    }
    waiting_.clear();
    fetched_ = 0;
    if (!co_await step()) co_return nullptr;
  }
}

Instant Http2ServerConnection::deadline() const {
  Instant first = std::min(ping_deadline(), last_due_);
  if (head_since_ != never) first = std::min(first, head_since_ + server_.head_timeout);
  if (!settled_) first = std::min(first, begun_ + server_.head_timeout);
  if (idle()) first = std::min(first, idle_since_ + server_.idle_timeout);
  return first;
}

void Http2ServerConnection::on_late() {
  Instant now = Agenda::current().now();
  bool head_late = head_since_ != never && head_since_ + server_.head_timeout <= now;
  bool silent = !settled_ && begun_ + server_.head_timeout <= now;
  if (head_late || silent || (idle() && idle_since_ + server_.idle_timeout <= now)) return terminate(NGHTTP2_NO_ERROR);
  if (last_due_ <= now) say_last();
  check_ping();
}

void Http2ServerConnection::on_pong() {
  if (last_due_ != never) last_due_ = Agenda::current().now();
}

// Names the last request that is served; those behind it were not seen and may be sent elsewhere (RFC 9113 §6.8).
void Http2ServerConnection::say_last() {
  last_due_ = never;
  nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(session_), NGHTTP2_NO_ERROR, nullptr, 0);
  wake();
}

void Http2ServerConnection::retire(bool fresh_too) {
  if (over_) return;
  if (!std::exchange(retired_, true)) {
    nghttp2_submit_shutdown_notice(session_);
    nghttp2_submit_ping(session_, NGHTTP2_FLAG_NONE, nullptr);
    wake();
  }
  if (idle() && (asked_ || fresh_too)) return say_last();
  last_due_ = Agenda::current().now() + (asked_ || fresh_too ? last_goaway_within : server_.head_timeout);
}

}  // namespace portloom::http
