// http/http2_session.cpp
//
// The reading step, the writer, flow control and time.
#include "http/http2_session.h"

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <cstring>

namespace portloom::http {
namespace {

constexpr size_t batch_max = 64 * 1024;           // a send ends with the frame that crosses it
constexpr size_t head_out_max = 4 * 1024 * 1024;  // nghttp2's own bound on a head that we send
constexpr size_t linger_max = 16 * 64 * 1024;     // bytes that a peer may still send after the end

// nghttp2 frees without saying how much: the size stands in front.
constexpr size_t prefix = 16;
void* allocate(size_t bytes, void*) {
  auto* memory = static_cast<char*>(pool_allocate(bytes + prefix));
  std::memcpy(memory, &bytes, sizeof bytes);
  return memory + prefix;
}
void release(void* memory, void*) {
  if (memory == nullptr) return;
  char* start = static_cast<char*>(memory) - prefix;
  size_t bytes;
  std::memcpy(&bytes, start, sizeof bytes);
  pool_release(start, bytes + prefix);
}
void* allocate_zeroed(size_t count, size_t size, void* user) {
  void* memory = allocate(count * size, user);  // nghttp2 counts in single structures: no overflow
  std::memset(memory, 0, count * size);
  return memory;
}
void* reallocate(void* memory, size_t bytes, void* user) {
  void* larger = allocate(bytes, user);
  if (memory == nullptr) return larger;
  size_t held;
  std::memcpy(&held, static_cast<char*>(memory) - prefix, sizeof held);
  std::memcpy(larger, memory, std::min(held, bytes));
  release(memory, user);
  return larger;
}

}  // namespace

bool Allowance::spend(Instant now) {
  if (now - since_ > Duration(0)) {
    double share = std::min(1.0, std::chrono::duration<double>(now - since_) / period_);
    auto more = static_cast<uint32_t>(share * limit_);
    if (more > 0) {
      left_ = std::min(limit_, left_ + more);
      since_ = now;
    }
  }
  if (left_ == 0) return false;
  --left_;
  return true;
}

Http2Session::Http2Session(io::Socket socket, Role role, const Http2Settings& settings)
    : socket_(std::move(socket)),
      role_(role),
      settings_(settings),
      heard_(Agenda::current().now()),
      resets_(settings.bounds.resets, settings.bounds.period),
      controls_(settings.bounds.control_frames, settings.bounds.period) {
  nghttp2_option* options = nullptr;
  CHECK(nghttp2_option_new(&options) == 0);
  nghttp2_option_set_no_auto_window_update(options, 1);
  nghttp2_option_set_no_closed_streams(options, 1);
  nghttp2_option_set_max_send_header_block_length(options, head_out_max);
  nghttp2_option_set_max_outbound_ack(options, settings.bounds.acks);
  nghttp2_option_set_max_continuations(options, std::max<size_t>(settings.bounds.continuations, settings.heads.headers / 16'384 + 4));
  nghttp2_option_set_stream_reset_rate_limit(options, uint64_t{1} << 32, uint64_t{1} << 16);  // counted by resets_
  nghttp2_option_set_no_http_messaging(options, role == Role::server);                        // http2_rules.h
  nghttp2_option_set_builtin_recv_extension_type(options, NGHTTP2_PRIORITY_UPDATE);
  nghttp2_mem memory{nullptr, allocate, release, allocate_zeroed, reallocate};
  int error = role == Role::server ? nghttp2_session_server_new3(&session_, callbacks(), this, options, &memory)
                                   : nghttp2_session_client_new3(&session_, callbacks(), this, options, &memory);
  nghttp2_option_del(options);
  CHECK(error == 0);
  nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0, static_cast<int32_t>(settings.bounds.connection_window));
  scope_.spawn(write, this);
}

Http2Session::~Http2Session() {
  scope_.cancel();
  CHECK(open_ == 0);
  nghttp2_session_del(session_);
}

void Http2Session::count(Allowance& allowance) {
  if (!allowance.spend(Agenda::current().now())) calm_due_ = true;
}

void Http2Session::read_off(Http2Stream& stream, size_t bytes, bool stream_goes_on) {
  unread_ -= bytes;
  if (over_) return;
  if (stream_goes_on) nghttp2_session_consume_stream(session_, stream.id(), bytes);
  credit(0);
  if (nghttp2_session_want_write(session_) != 0) wake();
}

void Http2Session::credit(size_t bytes) {
  owed_ += bytes;
  if (owed_ == 0 || unread_ > settings_.bounds.unread_max) return;
  nghttp2_session_consume_connection(session_, std::exchange(owed_, 0));
}

void Http2Session::feed() {
  std::string_view input = socket_.input();
  heard_ = Agenda::current().now();
  pinged_ = never;
  ssize_t taken = nghttp2_session_mem_recv(session_, reinterpret_cast<const uint8_t*>(input.data()), input.size());
  socket_.consume(input.size());
  credit(std::exchange(arrived_, 0));
  bool flood = taken == NGHTTP2_ERR_FLOODED || taken == NGHTTP2_ERR_TOO_MANY_CONTINUATIONS;
  if (flood || calm_due_)
    terminate(NGHTTP2_ENHANCE_YOUR_CALM);
  else if (taken < 0)
    terminate(NGHTTP2_PROTOCOL_ERROR);
  if (nghttp2_session_want_write(session_) != 0) wake();
}

Task<bool> Http2Session::step() {
  if (over_) co_return false;
  if (ending_ || nghttp2_session_want_read(session_) == 0) {
    co_await linger();
    co_return false;
  }
  if (++run_ % 16 == 0) co_await yield();
  io::Arrival arrival = io::Arrival::bytes;
  if (socket_.input().empty()) arrival = co_await socket_.receive(deadline());  // else the preface brought more
  if (over_) co_return false;
  if (arrival == io::Arrival::bytes) {
    feed();
  } else if (arrival == io::Arrival::end && role_ == Role::server && !ending_) {
    finish_reading();
    co_return false;
  } else if (arrival != io::Arrival::late) {
    lose();
  } else if (!ending_) {  // else the writer has said the last, and wants somebody to wait for the peer's
    on_late();
  }
  co_return !over_;
}

// A FIN may be a half-close (RFC 9112 §9.6 says it of HTTP/1): requests that have come whole are still answered.
void Http2Session::finish_reading() {
  for (Http2Stream* stream = streams_.front(); stream != nullptr; stream = streams_.after(*stream)) stream->on_departure();
}

// The writer says the last frames and FIN; a peer that still sends must not lose them to a reset.
Task<void> Http2Session::linger() {
  ending_ = lingering_ = true;
  for (Http2Stream* stream = streams_.front(); stream != nullptr; stream = streams_.after(*stream))
    if (!stream->closed_) stream->on_loss();
  wake();
  Instant end = Agenda::current().now() + ServerSettings::drain_timeout;
  size_t drained = 0;
  while (!over_ && drained < linger_max) {
    drained += socket_.input().size();
    socket_.consume(socket_.input().size());
    io::Arrival arrival = co_await socket_.receive(end);
    if (arrival != io::Arrival::bytes) break;
  }
  lose();
}

void Http2Session::terminate(uint32_t error) {
  nghttp2_session_terminate_session(session_, error);
  ending_ = true;
  for (Http2Stream* stream = streams_.front(); stream != nullptr; stream = streams_.after(*stream)) stream->on_loss();
  wake();
}

void Http2Session::lose() {
  if (std::exchange(over_, true)) return;
  for (Http2Stream* stream = streams_.front(); stream != nullptr; stream = streams_.after(*stream)) stream->on_loss();
  socket_.shutdown_read();
}

Instant Http2Session::ping_deadline() const {
  if (pinged_ != never) return pinged_ + http2_pong_within;
  return open_ == 0 ? never : heard_ + http2_ping_after;
}

void Http2Session::check_ping() {
  if (ping_deadline() > Agenda::current().now()) return;
  if (pinged_ != never) return lose();
  ping();
}

void Http2Session::ping() {
  if (pinged_ != never || over_) return;
  pinged_ = Agenda::current().now();
  nghttp2_submit_ping(session_, NGHTTP2_FLAG_NONE, nullptr);
  wake();
}

Bytes Http2Session::gather() {
  Writer out(std::min(batch_max + 1024, batch_ + batch_ / 4 + 512));
  out_ = &out;
  while (out.size() < batch_max) {
    const uint8_t* data = nullptr;
    ssize_t size = nghttp2_session_mem_send(session_, &data);
    if (size < 0) lose();
    if (size <= 0) break;
    out.text({reinterpret_cast<const char*>(data), static_cast<size_t>(size)});
  }
  out_ = nullptr;
  batch_ = out.size();
  return out.finish();
}

Task<void> Http2Session::write(Http2Session* self) {
  while (true) {
    co_await self->due_.wait();
    co_await yield();  // behind everything that is ready: what it adds leaves with the same bytes
    self->due_.reset();
    while (!self->over_) {
      if (nghttp2_session_want_write(self->session_) == 0) break;
      Bytes batch = self->gather();
      if (self->calm_due_ && !self->ending_) self->terminate(NGHTTP2_ENHANCE_YOUR_CALM);
      if (batch.empty()) break;
      bool sent = co_await self->socket_.send(std::move(batch), {}, Agenda::current().now() + self->settings_.io_timeout);
      if (!sent) {
        self->lose();
        co_return;
      }
      while (Http2Stream::Framed* framed = self->framed_.pop_front()) framed->stream->on_flushed();
    }
    if (self->over_) co_return;
    if (nghttp2_session_want_read(self->session_) != 0 || nghttp2_session_want_write(self->session_) != 0) continue;
    self->ending_ = true;
    self->socket_.shutdown_write();
    if (!self->lingering_) self->socket_.channel().loop.wake_reader(self->socket_.channel());  // it is to linger
    co_return;
  }
}

}  // namespace portloom::http
