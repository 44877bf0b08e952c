// http/http2_session.h
//
// Http2Session: what both sides of one HTTP/2 connection (RFC 9113) share: nghttp2's session on memory of the worker's pool, the
// reading step, the writer, flow control, floods and keep-alive. nghttp2's callbacks only note what came and wake who waits. All
// that is due in a turn leaves in one send.
#pragma once

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <cstdint>

#include "async/scope.h"
#include "http/http2_fields.h"
#include "http/http2_stream.h"
#include "http/stream.h"
#include "http/writer.h"

namespace portloom::http {

constexpr Duration http2_ping_after = 30s;   // of silence while streams are open
constexpr Duration http2_pong_within = 10s;  // else the peer is gone

// So many in a period, some of them earned by what was done meanwhile.
class Allowance {
 public:
  Allowance(uint32_t limit, Duration period) : limit_(limit), left_(limit), period_(period) {}
  bool spend(Instant now);
  void earn(uint32_t count) { left_ = std::min(limit_, left_ + count); }

 private:
  uint32_t limit_;
  uint32_t left_;
  Duration period_;
  Instant since_{};
};

struct Http2Settings {
  Limits heads;
  Http2Limits bounds;
  Duration io_timeout = 60s;  // for bytes to leave; for a body's next ones
};

class Http2Session {
 public:
  Http2Session(const Http2Session&) = delete;
  // Requests and answers that still have an owner.
  size_t open() const { return open_; }
  bool over() const { return over_; }
  nghttp2_session* native() { return session_; }

 protected:
  enum class Role : uint8_t { server, client };
  Http2Session(io::Socket socket, Role role, const Http2Settings& settings);
  virtual ~Http2Session();

  // Waits for bytes and works through them, or does what time asks for. False when the connection is over.
  Task<bool> step();
  // Wakes the writer, which runs behind everything that is ready in this turn.
  void wake() { due_.set(); }
  // GOAWAY(`error`) and the end; whoever has a stream is told at once.
  void terminate(uint32_t error);
  // Nothing can be said any more.
  void lose();
  // The peer asks for more than is taken: GOAWAY(ENHANCE_YOUR_CALM) once what came has been looked at.
  void demand_calm() { calm_due_ = true; }
  // A stream is about to be reset for what the peer is not to blame for.
  void pardon() { resets_.earn(1); }

  virtual Http2Stream* on_request(int32_t) { return nullptr; }  // its head begins; the server's
  virtual void on_goaway() {}
  virtual void on_settings() {}
  virtual void on_pong() {}
  virtual void on_stream_over() {}  // one has lost its owner
  virtual Instant deadline() const { return ping_deadline(); }
  virtual void on_late() { check_ping(); }
  // Bytes that a stream is given after its head.
  static nghttp2_data_provider provider();
  Instant ping_deadline() const;
  void check_ping();
  void ping();
  // So much is unread that the peer gets no more of the connection's window.
  bool choked() const { return unread_ > settings_.bounds.unread_max; }

  io::Socket socket_;
  Role role_;
  Http2Settings settings_;
  nghttp2_session* session_ = nullptr;
  size_t open_ = 0;
  Instant head_since_ = never;  // a header block has begun and not ended
  Instant heard_{};             // when bytes came last
  Instant pinged_ = never;      // and nothing was heard since
  bool settled_ = false;        // the peer's first SETTINGS came
  bool over_ = false;
  bool ending_ = false;  // GOAWAY is out or on its way and no stream is left

 private:
  friend class Http2Stream;
  friend class Http2Bytes;
  struct Callbacks;  // http2_callbacks.cpp
  static const nghttp2_session_callbacks* callbacks();
  static Task<void> write(Http2Session* self);
  Bytes gather();
  void feed();
  Task<void> linger();
  void credit(size_t bytes);
  void uncredit(size_t bytes) { unread_ += bytes; }
  void read_off(Http2Stream& stream, size_t bytes, bool stream_goes_on);
  void count(Allowance& allowance);
  void finish_reading();

  Allowance resets_;
  Allowance controls_;
  size_t arrived_ = 0;   // bytes of bodies in this step
  size_t unread_ = 0;    // bytes of bodies that nobody has read
  size_t owed_ = 0;      // of the connection's window, credited when less is unread
  size_t batch_ = 2048;  // what the last send held, about
  int run_ = 0;
  bool calm_due_ = false;
  bool lingering_ = false;
  Writer* out_ = nullptr;
  Event due_;
  List<Http2Stream> streams_;
  List<Http2Stream::Framed> framed_;
  Scope scope_;  // last: the writer looks at everything
};

}  // namespace portloom::http
