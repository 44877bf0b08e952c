// http/http2_callbacks.cpp
//
// What nghttp2 tells a session, and asks of it. Callbacks run inside nghttp2: they note what came and wake who waits. What a
// peer can make us do for little is counted here, where it comes in.
#include <nghttp2/nghttp2.h>

#include <algorithm>

#include "http/chunked.h"
#include "http/http2_fields.h"
#include "http/http2_session.h"

namespace portloom::http {
namespace {
constexpr size_t dribble_max = 1024;  // a DATA frame that the peer's window cut to less is one too many
}

struct Http2Session::Callbacks {
  static Http2Session& of(void* user) { return *static_cast<Http2Session*>(user); }
  static Http2Stream* stream(nghttp2_session* session, int32_t id, void* user) {
    void* stream = nghttp2_session_get_stream_user_data(session, id);
    return stream == user ? nullptr : static_cast<Http2Stream*>(stream);
  }

  // Every frame that nghttp2 knows, also those that it ignores: PRIORITY, where RFC 9218 has taken its place.
  static int begin_frame(nghttp2_session*, const nghttp2_frame_hd* head, void* user) {
    Http2Session& self = of(user);
    if (head->type == NGHTTP2_PRIORITY) self.count(self.controls_);
    return verdict(self);
  }
  // Once there is to be calm nothing more of what came is looked at.
  static int verdict(const Http2Session& self) { return self.calm_due_ ? NGHTTP2_ERR_CALLBACK_FAILURE : 0; }
  static int begin_headers(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
    Http2Session& self = of(user);
    if (frame->hd.type != NGHTTP2_HEADERS) return 0;
    if (self.head_since_ == never) self.head_since_ = Agenda::current().now();
    if (self.role_ != Role::server || frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
    Http2Stream* fresh = self.on_request(frame->hd.stream_id);
    if (fresh == nullptr) return 0;  // it has been refused
    nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, fresh);
    return 0;
  }
  static int header(nghttp2_session* session, const nghttp2_frame* frame, nghttp2_rcbuf* name, nghttp2_rcbuf* value, uint8_t, void* user) {
    if (Http2Stream* to = stream(session, frame->hd.stream_id, user)) to->on_field(name, value);
    return verdict(of(user));
  }
  static int invalid_header(nghttp2_session* session, const nghttp2_frame* frame, nghttp2_rcbuf*, nghttp2_rcbuf*, uint8_t, void* user) {
    if (Http2Stream* to = stream(session, frame->hd.stream_id, user)) to->on_invalid_field();
    return 0;
  }
  static int frame_received(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
    take_frame(session, frame, user);
    return verdict(of(user));
  }
  static void take_frame(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
    Http2Session& self = of(user);
    bool ack = (frame->hd.flags & NGHTTP2_FLAG_ACK) != 0;
    switch (frame->hd.type) {
      case NGHTTP2_HEADERS:
        self.head_since_ = never;
        if (Http2Stream* to = stream(session, frame->hd.stream_id, user)) {
          to->on_head_end();
          bool last = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
          if (last)
            to->on_input_end();
          else if (self.role_ == Role::server && frame->headers.cat == NGHTTP2_HCAT_HEADERS)
            to->on_malformed("trailers that do not end the request");  // RFC 9113 §8.1
        }
        return;
      case NGHTTP2_DATA:
        if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) {
          if (Http2Stream* to = stream(session, frame->hd.stream_id, user)) to->on_input_end();
        } else if (frame->hd.length == 0 || frame->hd.length == frame->data.padlen) {
          self.count(self.controls_);
        }
        return;
      case NGHTTP2_RST_STREAM: self.count(self.resets_); return;
      case NGHTTP2_SETTINGS:
        self.settled_ = true;
        if (!ack) {
          self.count(self.controls_);
          self.on_settings();
        }
        return;
      case NGHTTP2_PING:
        if (ack)
          self.on_pong();
        else
          self.count(self.controls_);
        return;
      case NGHTTP2_GOAWAY: self.on_goaway(); return;
      case NGHTTP2_PRIORITY: return;  // counted
      default: self.count(self.controls_); return;
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
      if (self.role_ == Role::client) return 0;  // no more of them than requests
      self.count(self.resets_);  // a client that provokes them pays like one that sends them; an answer or pardon() has paid for ours
      return 0;
    }
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) return 0;
    Http2Stream* from = stream(session, frame->hd.stream_id, user);
    if (from != nullptr) from->head_framed_ = true;
    // Windows of a few bytes make us send many frames for little: each counts as one that the peer sent.
    if (frame->hd.type == NGHTTP2_DATA && from != nullptr && frame->hd.length < dribble_max && !from->output_.empty())
      self.count(self.controls_);
    else
      self.controls_.earn(4);
    if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0) return 0;
    if (from != nullptr) {
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
    nghttp2_session_callbacks_set_on_begin_frame_callback(all, begin_frame);
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

const nghttp2_session_callbacks* Http2Session::callbacks() {
  static const nghttp2_session_callbacks* const all = Callbacks::make();
  return all;
}

}  // namespace portloom::http
