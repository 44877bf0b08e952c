// http/http2_client.h
//
// Http2ClientConnection: the client's side of one HTTP/2 connection (RFC 9113) to an upstream, shared by many requests at once.
// exchange() resolves at the answer's head; the rest of the answer and of the request go on behind it. Owned by upstream's
// pool, which runs it and keeps it until it is over and no request is left on it. One worker. No retries, no logging here.
#pragma once

#include <memory>
#include <optional>
#include <string_view>

#include "http/http2_session.h"

namespace portloom::http {

struct Http2ClientSettings {
  Limits heads;
  Duration body_timeout = 60s;            // without progress, either way
  uint32_t streams_max = 1000;            // on one connection, whatever the peer would take
  static constexpr int interim_max = 16;  // 1xx answers before the final one
  // An upstream is believed more than a client is: its bounds are there for one that has gone astray.
  static constexpr Http2Limits bounds{.streams = 0, .resets = 2000, .control_frames = 10'000};
};

class Http2ClientConnection;

// One request and its answer. Dropping it before its end cancels it at the upstream.
class Http2ClientStream final : public Http2Stream, public Pooled {
 public:
  explicit Http2ClientStream(Http2ClientConnection& connection);
  ~Http2ClientStream() override;

 private:
  friend class Http2ClientConnection;
  friend class Http2Answer;
  friend class Http2Tunnel;
  void on_field(nghttp2_rcbuf* name, nghttp2_rcbuf* value) override;
  void on_invalid_field() override { fault_ = "a field's name or value is malformed"; }
  void on_head_end() override;
  void passed_on(size_t bytes) override;
  bool input_whole() const override;
  std::unexpected<Error> cut_off(bool late) const override;

  bool send(Request& request);
  static Task<void> upload(Http2ClientStream* self);
  Progress progress() const;
  // The answer whose head has come. What is not here yet comes through the stream, which the answer's body then owns.
  static Result<Response> begin_body(std::unique_ptr<Http2ClientStream> stream);
  static Response begin_tunnel(std::unique_ptr<Http2ClientStream> stream, Response response);

  Http2ClientConnection& connection_;
  Request* request_ = nullptr;
  Instant begun_;
  Response response_;
  size_t field_bytes_ = 0;
  int interim_ = 0;
  bool head_ended_ = false;
  const char* fault_ = nullptr;     // what is wrong with the head
  std::optional<uint64_t> length_;  // of the answer's body, as it says
  bool body_taken_ = false;         // something of the request's body was read: it cannot be sent again
  std::optional<Error> upload_error_;
  Scope upload_;  // last: its child looks at everything
};

class Http2ClientConnection final : private Http2Session, public Pooled {
 public:
  class Watcher {
   public:
    virtual ~Watcher() = default;
    // A request has ended or the peer takes more of them: there may be room. Never destroys the connection.
    virtual void on_room() = 0;
  };
  static constexpr Duration silence_max = 1s;  // behind a PING that was sent for doubt: then no request follows
  // `settings` and `watcher` outlive it.
  Http2ClientConnection(io::Socket socket, const Http2ClientSettings& settings, bool secure, Watcher& watcher);

  // Reads and answers until the connection is over and no request is left on it.
  Task<void> run();
  // How many more requests may begin now.
  size_t room() const;
  using Http2Session::open;
  bool over() const { return Http2Session::over(); }
  // A request was sent on it before.
  bool used() const { return used_; }
  Instant idle_since() const { return idle_since_; }
  // No further request; says GOAWAY and ends once those under way have.
  void retire();

  // Sends `request`, which outlives the answer and its body, and waits for the answer's head until `deadline`. Failures are
  // Side::upstream, or the request body's own. Progress::nothing: the upstream has not looked at it, and it can be sent again.
  Task<Result<Response>> exchange(Request& request, Instant deadline);

 private:
  friend class Http2ClientStream;
  void on_goaway() override;
  void on_settings() override {
    settings_came_.set();
    watcher_.on_room();
  }
  Task<Result<void>> takes_websockets(Instant deadline);
  void on_stream_over() override;
  Instant deadline() const override;
  void on_late() override;

  const Http2ClientSettings& client_;
  Watcher& watcher_;
  std::string_view scheme_;
  Instant idle_since_;
  Instant looked_;  // when silence was last found to be all right
  Event emptied_;
  Event settings_came_;  // or the connection is over
  bool used_ = false;
  bool retired_ = false;
};

}  // namespace portloom::http
