// http/http2_session.cpp
//
// The callbacks, the reading step and the writer. What a peer can make us do for little is counted where it comes in.
#include "http/http2_session.h"

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <cstring>

#include "http/chunked.h"

namespace portloom::http {
namespace {

constexpr size_t batch_max = 64 * 1024;           // a send ends with the frame that crosses it
constexpr size_t head_out_max = 4 * 1024 * 1024;  // nghttp2's own bound on a head that we send
constexpr size_t linger_max = 16 * 64 * 1024;     // bytes that a peer may still send after the end
constexpr NameSet connection_fields{Name::connection, Name::keep_alive, Name::proxy_connection,  Name::upgrade,
                                    Name::te,         Name::host,       Name::transfer_encoding, Name::http2_settings};

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

// ---- Fields ----

Http2Fields::Http2Fields() : fields_(reinterpret_cast<nghttp2_nv*>(inline_)) { static_assert(sizeof(nghttp2_nv) <= field_size); }
Http2Fields::~Http2Fields() = default;

const nghttp2_nv* Http2Fields::data() const { return fields_; }

void Http2Fields::add(std::string_view name, std::string_view value, bool never_indexed) {
  if (count_ == capacity_) {
    Bytes larger = Bytes::uninitialized(capacity_ * 2 * sizeof(nghttp2_nv) + alignof(nghttp2_nv));
    auto* place = reinterpret_cast<nghttp2_nv*>((reinterpret_cast<uintptr_t>(larger.writable()) + 7) & ~uintptr_t{7});
    std::memcpy(place, fields_, count_ * sizeof(nghttp2_nv));
    fields_ = place;
    more_ = std::move(larger);
    capacity_ *= 2;
  }
  auto bytes = [](std::string_view text) { return reinterpret_cast<uint8_t*>(const_cast<char*>(text.data())); };
  fields_[count_++] = nghttp2_nv{bytes(name), bytes(value), name.size(), value.size(),
                                 static_cast<uint8_t>(never_indexed ? NGHTTP2_NV_FLAG_NO_INDEX : NGHTTP2_NV_FLAG_NONE)};
}

void Http2Fields::add_all(const Headers& headers, NameSet without) {
  for (Headers::Field field : headers) {
    if (connection_fields.contains(field.id) || field.id == Name::content_length || without.contains(field.id)) continue;
    add(field.name, field.value, field.id == Name::x_request_id);
  }
}

// ---- Callbacks ----

struct Http2Session::Callbacks {
  static Http2Session& of(void* user) { return *static_cast<Http2Session*>(user); }
  static Http2Stream* stream(nghttp2_session* session, int32_t id, void* user) {
    void* stream = nghttp2_session_get_stream_user_data(session, id);
    return stream == user ? nullptr : static_cast<Http2Stream*>(stream);
  }

  static int begin_headers(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
    Http2Session& self = of(user);
    if (frame->hd.type != NGHTTP2_HEADERS) return 0;
    if (self.head_since_ == never) self.head_since_ = Agenda::current().now();
    if (self.role_ != Role::server || frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
    Http2Stream* fresh = self.on_request(frame->hd.stream_id);
    if (fresh == nullptr) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, fresh);
    return 0;
  }
  static int header(nghttp2_session* session, const nghttp2_frame* frame, nghttp2_rcbuf* name, nghttp2_rcbuf* value, uint8_t, void* user) {
    if (Http2Stream* to = stream(session, frame->hd.stream_id, user)) to->on_field(name, value);
    return 0;
  }
  static int invalid_header(nghttp2_session* session, const nghttp2_frame* frame, nghttp2_rcbuf*, nghttp2_rcbuf*, uint8_t, void* user) {
    if (Http2Stream* to = stream(session, frame->hd.stream_id, user)) to->on_invalid_field();
    return 0;
  }
  static int frame_received(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
    Http2Session& self = of(user);
    bool ack = (frame->hd.flags & NGHTTP2_FLAG_ACK) != 0;
    switch (frame->hd.type) {
      case NGHTTP2_HEADERS:
        self.head_since_ = never;
        if (Http2Stream* to = stream(session, frame->hd.stream_id, user)) {
          to->on_head_end();
          if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) to->on_input_end();
        }
        return 0;
      case NGHTTP2_DATA:
        if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) {
          if (Http2Stream* to = stream(session, frame->hd.stream_id, user)) to->on_input_end();
        } else if (frame->hd.length == 0 || frame->hd.length == frame->data.padlen) {
          self.count(self.controls_);
        }
        return 0;
      case NGHTTP2_RST_STREAM: self.count(self.resets_); return 0;
      case NGHTTP2_SETTINGS:
        self.settled_ = true;
        if (!ack) {
          self.count(self.controls_);
          self.on_settings();
        }
        return 0;
      case NGHTTP2_PING:
        if (ack)
          self.on_pong();
        else
          self.count(self.controls_);
        return 0;
      case NGHTTP2_GOAWAY: self.on_goaway(); return 0;
      default: self.count(self.controls_); return 0;
    }
  }
  static int data_received(nghttp2_session* session, uint8_t, int32_t id, const uint8_t* data, size_t size, void* user) {
    of(user).arrived_ += size;
    if (Http2Stream* to = stream(session, id, user)) to->on_data({reinterpret_cast<const char*>(data), size});
    return 0;
  }
  static int stream_closed(nghttp2_session* session, int32_t id, uint32_t error, void* user) {
    if (Http2Stream* to = stream(session, id, user)) to->on_close(error);
    return 0;
  }
  static int invalid_frame(nghttp2_session*, const nghttp2_frame* frame, int, void* user) {
    Http2Session& self = of(user);
    if (frame->hd.type == NGHTTP2_HEADERS) self.head_since_ = never;
    return 0;
  }
  static int frame_sent(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
    Http2Session& self = of(user);
    if (frame->hd.type == NGHTTP2_RST_STREAM) {
      // Those that a client provokes cost it nothing otherwise; its own faults and ours are told apart by the code.
      uint32_t code = frame->rst_stream.error_code;
      bool ours = code == NGHTTP2_NO_ERROR || code == NGHTTP2_INTERNAL_ERROR || code == NGHTTP2_CANCEL;
      if (!ours) self.count(self.resets_);
      return 0;
    }
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) return 0;
    self.controls_.earn(4);
    if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0) return 0;
    if (Http2Stream* from = stream(session, frame->hd.stream_id, user)) {
      from->output_framed_ = true;
      self.resets_.earn(1);
      self.framed_.push_back(from->framed_);
    } else if (nghttp2_session_get_stream_remote_close(session, frame->hd.stream_id) == 0) {
      nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_NO_ERROR);
    }
    return 0;
  }
  static int frame_not_sent(nghttp2_session* session, const nghttp2_frame* frame, int error, void* user) {
    if (frame->hd.type != NGHTTP2_HEADERS || error == NGHTTP2_ERR_STREAM_CLOSED || error == NGHTTP2_ERR_STREAM_CLOSING) return 0;
    Http2Stream* from = stream(session, frame->hd.stream_id, user);
    if (from == nullptr) return 0;
    from->reset(NGHTTP2_INTERNAL_ERROR);
    from->on_loss();
    return 0;
  }
  static ssize_t data_due(nghttp2_session* session, int32_t id, uint8_t*, size_t length, uint32_t* flags, nghttp2_data_source*,
                          void* user) {
    void* owner = nghttp2_session_get_stream_user_data(session, id);
    if (owner == nullptr) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (owner == user) {  // a farewell
      *flags |= NGHTTP2_DATA_FLAG_EOF;
      return 0;
    }
    auto& from = *static_cast<Http2Stream*>(owner);
    size_t count = std::min(length, from.output_.size());
    if (count == 0 && !from.output_ended_) {
      from.output_deferred_ = true;
      return NGHTTP2_ERR_DEFERRED;
    }
    if (count == from.output_.size() && from.output_ended_) {
      *flags |= NGHTTP2_DATA_FLAG_EOF;
      if (from.output_trailers_ != nullptr && !from.output_trailers_->empty()) {
        Http2Fields fields;
        for (Headers::Field field : *from.output_trailers_)
          if (allowed_in_trailer(field)) fields.add(field.name, field.value);
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        nghttp2_submit_trailer(session, id, fields.data(), fields.size());
      }
    }
    return static_cast<ssize_t>(count);
  }
  static int send_data(nghttp2_session* session, nghttp2_frame* frame, const uint8_t* head, size_t length, nghttp2_data_source*,
                       void* user) {
    Writer& out = *of(user).out_;
    out.text({reinterpret_cast<const char*>(head), 9});
    Http2Stream* from = stream(session, frame->hd.stream_id, user);
    if (length == 0 || from == nullptr) return 0;
    out.text(from->output_.view().substr(0, length));
    from->output_.remove_prefix(length);
    from->progress_ = Agenda::current().now();
    if (!from->output_.empty()) return 0;
    from->output_ = {};
    from->output_went_.set();
    return 0;
  }

  static nghttp2_session_callbacks* make() {
    nghttp2_session_callbacks* all = nullptr;
    CHECK(nghttp2_session_callbacks_new(&all) == 0);
    nghttp2_session_callbacks_set_on_begin_headers_callback(all, begin_headers);
    nghttp2_session_callbacks_set_on_header_callback2(all, header);
    nghttp2_session_callbacks_set_on_invalid_header_callback2(all, invalid_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(all, frame_received);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(all, data_received);
    nghttp2_session_callbacks_set_on_stream_close_callback(all, stream_closed);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(all, invalid_frame);
    nghttp2_session_callbacks_set_on_frame_send_callback(all, frame_sent);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(all, frame_not_sent);
    nghttp2_session_callbacks_set_send_data_callback(all, send_data);
    return all;
  }
};

nghttp2_data_provider Http2Session::provider() { return {.source = {.ptr = nullptr}, .read_callback = Callbacks::data_due}; }

// ---- The connection ----

Http2Session::Http2Session(io::Socket socket, Role role, const Http2Settings& settings)
    : socket_(std::move(socket)),
      role_(role),
      settings_(settings),
      heard_(Agenda::current().now()),
      resets_(settings.bounds.resets, Http2Limits::window),
      controls_(settings.bounds.control_frames, Http2Limits::window) {
  static nghttp2_session_callbacks* const callbacks = Callbacks::make();
  nghttp2_option* options = nullptr;
  CHECK(nghttp2_option_new(&options) == 0);
  nghttp2_option_set_no_auto_window_update(options, 1);
  nghttp2_option_set_no_closed_streams(options, 1);
  nghttp2_option_set_max_send_header_block_length(options, head_out_max);
  nghttp2_option_set_max_outbound_ack(options, Http2Limits::acks);
  nghttp2_option_set_max_continuations(options, std::max<size_t>(Http2Limits::continuations, settings.heads.headers / 16'384 + 4));
  nghttp2_option_set_stream_reset_rate_limit(options, uint64_t{1} << 32, uint64_t{1} << 16);  // counted by resets_
  nghttp2_option_set_builtin_recv_extension_type(options, NGHTTP2_PRIORITY_UPDATE);
  nghttp2_mem memory{nullptr, allocate, release, allocate_zeroed, reallocate};
  int error = role == Role::server ? nghttp2_session_server_new3(&session_, callbacks, this, options, &memory)
                                   : nghttp2_session_client_new3(&session_, callbacks, this, options, &memory);
  nghttp2_option_del(options);
  CHECK(error == 0);
  nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0, static_cast<int32_t>(Http2Limits::connection_window));
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
  if (owed_ == 0 || unread_ > Http2Limits::unread_max) return;
  nghttp2_session_consume_connection(session_, std::exchange(owed_, 0));
}

void Http2Session::feed() {
  std::string_view input = socket_.input();
  heard_ = Agenda::current().now();
  pinged_ = never;
  ssize_t taken = nghttp2_session_mem_recv(session_, reinterpret_cast<const uint8_t*>(input.data()), input.size());
  socket_.consume(input.size());
  credit(std::exchange(arrived_, 0));
  if (taken < 0)
    terminate(taken == NGHTTP2_ERR_FLOODED ? NGHTTP2_ENHANCE_YOUR_CALM : NGHTTP2_PROTOCOL_ERROR);
  else if (calm_due_)
    terminate(NGHTTP2_ENHANCE_YOUR_CALM);
  if (nghttp2_session_want_write(session_) != 0) wake();
}

Task<bool> Http2Session::step() {
  if (over_) co_return false;
  if (ending_ || nghttp2_session_want_read(session_) == 0) {
    co_await linger();
    co_return false;
  }
  if (++run_ % 16 == 0) co_await yield();
  io::Arrival arrival = co_await socket_.receive(deadline());
  if (over_) co_return false;
  if (arrival == io::Arrival::bytes) {
    feed();
  } else if (arrival == io::Arrival::late) {
    on_late();
  } else {
    lose();
  }
  co_return !over_;
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
    if (!self->lingering_) self->socket_.shutdown_read();  // the reader is to look
    co_return;
  }
}

}  // namespace portloom::http
