// testing/http2_peer.h
//
// Http2Peer: nghttp2 as a well-behaved client on a Wire, for tests of our server. turn() moves bytes both ways.
#pragma once

#include <nghttp2/nghttp2.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "testing/http2_turn.h"
#include "testing/wire.h"

namespace portloom::testing {

class Http2Peer {
 public:
  struct Answer {
    std::string status;
    std::vector<std::pair<std::string, std::string>> fields;  // trailers too
    std::string body;
    bool closed = false;
    uint32_t error = 0;
  };
  using Fields = std::vector<std::pair<std::string, std::string>>;

  explicit Http2Peer(Wire& wire) : wire_(wire) {
    nghttp2_session_callbacks* callbacks = nullptr;
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_on_header_callback(
        callbacks, [](nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name, size_t name_size, const uint8_t* value,
                      size_t value_size, uint8_t, void* self) {
          Answer& answer = of(self).answers[frame->hd.stream_id];
          std::string key(reinterpret_cast<const char*>(name), name_size);
          std::string text(reinterpret_cast<const char*>(value), value_size);
          if (key == ":status")
            answer.status += (answer.status.empty() ? "" : " ") + text;
          else
            answer.fields.emplace_back(std::move(key), std::move(text));
          return 0;
        });
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(
        callbacks, [](nghttp2_session*, uint8_t, int32_t id, const uint8_t* data, size_t size, void* self) {
          of(self).answers[id].body.append(reinterpret_cast<const char*>(data), size);
          return 0;
        });
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, [](nghttp2_session*, int32_t id, uint32_t error, void* self) {
      of(self).answers[id].closed = true;
      of(self).answers[id].error = error;
      return 0;
    });
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, [](nghttp2_session*, const nghttp2_frame* frame, void* self) {
      if (frame->hd.type == NGHTTP2_GOAWAY) of(self).goaways.push_back(frame->goaway.error_code);
      return 0;
    });
    nghttp2_session_client_new(&session_, callbacks, this);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, nullptr, 0);
  }
  Http2Peer(const Http2Peer&) = delete;
  ~Http2Peer() { nghttp2_session_del(session_); }

  std::map<int32_t, Answer> answers;
  std::vector<uint32_t> goaways;
  nghttp2_session* session() { return session_; }

  // The stream's id. `open`: more of the body follows by say().
  int32_t ask(std::string_view method, std::string_view path, const Fields& more = {}, std::string body = {}, bool open = false) {
    Fields all{{":method", std::string(method)}, {":scheme", "http"}, {":authority", "shop"}, {":path", std::string(path)}};
    all.insert(all.end(), more.begin(), more.end());
    std::vector<nghttp2_nv> fields;
    for (auto& [name, value] : all)
      fields.push_back({reinterpret_cast<uint8_t*>(name.data()), reinterpret_cast<uint8_t*>(value.data()), name.size(), value.size(), 0});
    bool has_body = open || !body.empty();
    nghttp2_data_provider provider{{.ptr = nullptr}, read};
    int32_t id = nghttp2_submit_request(session_, nullptr, fields.data(), fields.size(), has_body ? &provider : nullptr, nullptr);
    if (has_body) uploads_[id] = {std::move(body), open};
    return id;
  }
  void say(int32_t id, std::string_view bytes, bool end) {
    uploads_[id].first += bytes;
    uploads_[id].second = !end;
    nghttp2_session_resume_data(session_, id);
  }
  void turn() { take_turn(session_, wire_); }

 private:
  static Http2Peer& of(void* self) { return *static_cast<Http2Peer*>(self); }
  static ssize_t read(nghttp2_session*, int32_t id, uint8_t* to, size_t size, uint32_t* flags, nghttp2_data_source*, void* self) {
    auto& [bytes, open] = of(self).uploads_[id];
    if (bytes.empty() && open) return NGHTTP2_ERR_DEFERRED;
    size_t count = std::min(size, bytes.size());
    std::memcpy(to, bytes.data(), count);
    bytes.erase(0, count);
    if (bytes.empty() && !open) *flags |= NGHTTP2_DATA_FLAG_EOF;
    return static_cast<ssize_t>(count);
  }
  Wire& wire_;
  nghttp2_session* session_ = nullptr;
  std::map<int32_t, std::pair<std::string, bool>> uploads_;
};

}  // namespace portloom::testing
