// testing/http2_origin.h
//
// Http2Origin: nghttp2 as a well-behaved server on a Wire, for tests of our client. turn() moves bytes both ways; answers are
// given by hand. What a request was and how it ended is kept by stream.
#pragma once

#include <nghttp2/nghttp2.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "testing/http2_turn.h"
#include "testing/wire.h"

namespace portloom::testing {

class Http2Origin {
 public:
  using Fields = std::vector<std::pair<std::string, std::string>>;
  struct Asked {
    Fields fields;  // pseudo-fields and trailers too
    std::string body;
    bool ended = false;
    bool closed = false;
    uint32_t error = 0;
    std::string field(std::string_view name) const {
      for (const auto& [key, value] : fields)
        if (key == name) return value;
      return {};
    }
  };

  // `manual`: bytes are credited by credit() alone.
  explicit Http2Origin(Wire& wire, std::vector<nghttp2_settings_entry> settings = {}, bool manual = false) : wire_(wire) {
    nghttp2_session_callbacks* callbacks = nullptr;
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_on_header_callback(
        callbacks, [](nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name, size_t name_size, const uint8_t* value,
                      size_t value_size, uint8_t, void* self) {
          of(self).asked[frame->hd.stream_id].fields.emplace_back(std::string(reinterpret_cast<const char*>(name), name_size),
                                                                  std::string(reinterpret_cast<const char*>(value), value_size));
          return 0;
        });
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(
        callbacks, [](nghttp2_session*, uint8_t, int32_t id, const uint8_t* data, size_t size, void* self) {
          of(self).asked[id].body.append(reinterpret_cast<const char*>(data), size);
          return 0;
        });
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, [](nghttp2_session*, const nghttp2_frame* frame, void* self) {
      if (frame->hd.type == NGHTTP2_GOAWAY) ++of(self).goaways;
      if (frame->hd.type == NGHTTP2_PING && (frame->hd.flags & NGHTTP2_FLAG_ACK) == 0) ++of(self).pings;
      bool carries = frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA;
      if (carries && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) of(self).asked[frame->hd.stream_id].ended = true;
      return 0;
    });
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, [](nghttp2_session*, int32_t id, uint32_t error, void* self) {
      of(self).asked[id].closed = true;
      of(self).asked[id].error = error;
      return 0;
    });
    nghttp2_option* options = nullptr;
    nghttp2_option_new(&options);
    nghttp2_option_set_no_auto_window_update(options, manual ? 1 : 0);
    nghttp2_session_server_new2(&session_, callbacks, this, options);
    nghttp2_option_del(options);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings.data(), settings.size());
  }
  Http2Origin(const Http2Origin&) = delete;
  ~Http2Origin() { nghttp2_session_del(session_); }

  std::map<int32_t, Asked> asked;
  int goaways = 0;
  int pings = 0;
  bool deaf = false;  // bytes are left where they are
  nghttp2_session* session() { return session_; }
  Wire& wire() { return wire_; }

  // The head alone, and what is said by say() behind it; with `end` there is nothing behind it.
  void answer(int32_t id, std::string_view status, const Fields& more = {}, bool end = false) {
    Fields all{{":status", std::string(status)}};
    all.insert(all.end(), more.begin(), more.end());
    std::vector<nghttp2_nv> fields = native(all);
    nghttp2_data_provider provider{{.ptr = nullptr}, read};
    answers_[id].open = !end;
    nghttp2_submit_response(session_, id, fields.data(), fields.size(), end ? nullptr : &provider);
  }
  void interim(int32_t id, std::string_view status) {
    Fields all{{":status", std::string(status)}};
    std::vector<nghttp2_nv> fields = native(all);
    nghttp2_submit_headers(session_, NGHTTP2_FLAG_NONE, id, nullptr, fields.data(), fields.size(), nullptr);
  }
  void say(int32_t id, std::string_view bytes, bool end, Fields trailers = {}) {
    Said& said = answers_[id];
    said.bytes += bytes;
    said.open = !end;
    said.trailers = std::move(trailers);
    nghttp2_session_resume_data(session_, id);
  }
  void reset(int32_t id, uint32_t error) { nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, id, error); }
  void go_away(int32_t last) { nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE, last, NGHTTP2_NO_ERROR, nullptr, 0); }
  void credit(int32_t id, size_t bytes) { nghttp2_session_consume(session_, id, bytes); }

  void turn() {
    if (!deaf) take_turn(session_, wire_);
  }

 private:
  struct Said {
    std::string bytes;
    bool open = false;
    Fields trailers;
  };
  static Http2Origin& of(void* self) { return *static_cast<Http2Origin*>(self); }
  static std::vector<nghttp2_nv> native(Fields& all) {
    std::vector<nghttp2_nv> fields;
    for (auto& [name, value] : all)
      fields.push_back({reinterpret_cast<uint8_t*>(name.data()), reinterpret_cast<uint8_t*>(value.data()), name.size(), value.size(), 0});
    return fields;
  }
  static ssize_t read(nghttp2_session* session, int32_t id, uint8_t* to, size_t size, uint32_t* flags, nghttp2_data_source*, void* self) {
    Said& said = of(self).answers_[id];
    if (said.bytes.empty() && said.open) return NGHTTP2_ERR_DEFERRED;
    size_t count = std::min(size, said.bytes.size());
    std::memcpy(to, said.bytes.data(), count);
    said.bytes.erase(0, count);
    if (!said.bytes.empty() || said.open) return static_cast<ssize_t>(count);
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (said.trailers.empty()) return static_cast<ssize_t>(count);
    *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
    std::vector<nghttp2_nv> fields = native(said.trailers);
    nghttp2_submit_trailer(session, id, fields.data(), fields.size());
    return static_cast<ssize_t>(count);
  }
  Wire& wire_;
  nghttp2_session* session_ = nullptr;
  std::map<int32_t, Said> answers_;
};

}  // namespace portloom::testing
