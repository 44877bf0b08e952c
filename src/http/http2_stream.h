// http/http2_stream.h
//
// Http2Stream: what a request and its answer have in common on both sides of HTTP/2: bytes that came and were not read yet, the
// piece that goes out next, and how it ended. Belongs to whoever serves or asks; the session refers to it until it is closed or
// dropped. Dropping one that is not over resets it. One worker; the session outlives its streams.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "async/event.h"
#include "async/task.h"
#include "base/bytes.h"
#include "base/error.h"
#include "http/exchange.h"

struct nghttp2_rcbuf;

namespace portloom::http {

class Http2Session;

class Http2Stream : public Link {
 public:
  Http2Stream(Http2Session& session, int32_t id);
  Http2Stream(const Http2Stream&) = delete;
  virtual ~Http2Stream();
  int32_t id() const { return id_; }

 protected:
  friend class Http2Session;
  friend class Http2Bytes;
  friend class Http2Body;

  // Told by the session, inside nghttp2's callbacks: they note what came and wake who waits.
  virtual void on_field(nghttp2_rcbuf* name, nghttp2_rcbuf* value) = 0;
  virtual void on_invalid_field() = 0;
  virtual void on_head_end() = 0;
  // The message breaks a rule of HTTP that HTTP/2 does not know; `what` is a literal.
  virtual void on_malformed(std::string_view what);
  void on_data(std::string_view bytes);
  void on_input_end();
  void on_close(uint32_t error);  // by nghttp2: the stream is over, well or not
  void on_loss();                 // of the connection
  void on_departure();            // the peer says nothing more, but may still listen
  void on_gone();
  // What went out last has left with the connection's bytes.
  void on_flushed();

  // The next bytes of the peer's body; empty at the end.
  Task<Result<Bytes>> read_body();
  virtual void before_waiting() {}                  // for the body's next bytes
  virtual Result<void> took(size_t) { return {}; }  // bytes of the body were read
  virtual void passed_on(size_t) {}                 // bytes of ours, 0 at their end, are left to the session
  virtual bool input_whole() const { return input_ended_ && !(closed_ && close_error_ != 0); }
  virtual std::unexpected<Error> cut_off(bool late) const = 0;  // why the body ends before its end
  // A trailer section adds to it; null when there is none.
  Headers& make_trailers();
  const Headers* trailers() const { return trailers_.get(); }

  enum class Sent : uint8_t { whole, failed, gone, late };
  // Sends all of `body` and its trailers; `failed`: reading it did, and `fault` says how. Counts what was handed over.
  Task<Sent> send_body(Body& body, Error& fault, uint64_t& count);
  // Sends the head if that waits for the first bytes of the body. False when it cannot be sent.
  virtual bool begin_output() { return true; }
  // One piece whose end is the message's.
  void give_whole(Bytes bytes);
  // Waits until nothing given is left, or all of it has left with the connection.
  Task<Sent> drained();
  Task<Sent> flushed();
  void push();  // what was given is to be sent

  void reset(uint32_t error);  // both directions, now
  void end_output() {          // nothing more of ours follows
    output_ended_ = true;
    push();
  }
  bool over() const { return closed_ || lost_; }
  bool input_ended() const { return input_ended_; }
  Bytes take(size_t bytes_max);
  void discard_input();  // grants nothing for it

  Http2Session& session_;
  int32_t id_;
  uint32_t close_error_ = 0;      // the peer's code, or ours
  uint32_t drop_error_;           // what is said when it is dropped unfinished
  bool closed_ = false;           // nghttp2 knows it no more
  bool lost_ = false;             // the connection is
  bool input_ended_ = false;      // END_STREAM came
  bool tunnel_ = false;           // the client's side of an extended CONNECT (RFC 8441)
  bool output_begun_ = false;     // a body follows the head
  bool output_ended_ = false;     // nothing is given any more
  bool head_framed_ = false;      // HEADERS was written into the connection's bytes
  bool output_framed_ = false;    // END_STREAM was written into the connection's bytes ...
  bool output_flushed_ = false;   // ... and they have gone
  bool output_deferred_ = false;  // nghttp2 waits for push()
  io::Stash input_;
  Bytes output_;
  const Headers* output_trailers_ = nullptr;
  std::unique_ptr<Headers> trailers_;
  std::optional<uint64_t> declared_;  // by Content-Length: what must come, if it is to be compared
  uint64_t came_ = 0;
  std::string_view wrong_;  // the first thing that on_malformed() was told
  Event input_came_;        // bytes, the end, or over()
  Event output_went_;       // room, flushed, or over()
  Event gone_;              // over() before the output was framed
  Event departure_;         // that, or the peer has said its last
  Instant progress_{};      // when something of the output was last framed

 private:
  struct Framed : Link {
    Http2Stream* stream;
  };
  Framed framed_;
};

// The bytes of a stream after its head: a tunnel.
class Http2Bytes final : public ByteStream {
 public:
  explicit Http2Bytes(Http2Stream& stream) : stream_(stream) {}
  Task<io::Bulk> read(size_t bytes_max, Instant deadline) override;
  Task<bool> write(Bytes bytes, Instant deadline) override;
  void end() override;
  void abort() override;

 private:
  Http2Stream& stream_;
};

// The peer's body.
class Http2Body final : public BodySource {
 public:
  explicit Http2Body(Http2Stream& stream) : stream_(stream) {}
  [[clang::coro_wrapper]] Task<Result<Bytes>> read() override { return stream_.read_body(); }
  const Headers* trailers() const override { return stream_.trailers(); }

 private:
  Http2Stream& stream_;
};

}  // namespace portloom::http
