// http/stream.h
//
// ServerStream: one request and its answer on a client's connection, whatever version of HTTP carries it; this is all that
// server::serve_exchange sees. HTTP/1 has one of them that serves request after request, HTTP/2 has many at once.
// ServerSession: the connection behind them, as a drain sees it. Used on the connection's worker only.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "async/event.h"
#include "async/task.h"
#include "base/error.h"
#include "http/exchange.h"
#include "http/parser.h"

namespace portloom::http {

// How much of what costs them little and us much the clients of one HTTP/2 connection may send. Over a bound that has no answer
// of its own the connection ends with GOAWAY(ENHANCE_YOUR_CALM).
struct Http2Limits {
  uint32_t streams = 128;          // requests at a time; more are refused (REFUSED_STREAM)
  uint32_t resets = 200;           // streams that the client resets or makes us reset, in `period`, beyond one per answer
  uint32_t control_frames = 1000;  // SETTINGS, PING, PRIORITY, WINDOW_UPDATE and empty frames, in `period`, beyond four per frame of ours
  Duration period = 10s;           // what is unused of it does not pile up
  uint32_t continuations = 8;      // CONTINUATION frames of one head; never less than the largest head that is taken needs
  uint32_t acks = 256;             // answers to PING and SETTINGS that wait to be sent
  uint32_t stream_window = 256 * 1024;   // bytes that a peer may send on a stream before they are read
  uint32_t connection_window = 1 << 20;  // credited as bytes arrive ...
  size_t unread_max = 4 * 1024 * 1024;   // ... unless so many are unread: then as they are read
};

// What a listener asks of its clients.
struct ServerSettings {
  Limits heads;
  std::optional<uint64_t> body_max;  // of a request: 413
  Duration head_timeout = 10s;       // from a head's first byte to its end: 408
  Duration idle_timeout = 60s;       // between requests
  Duration body_timeout = 60s;       // without progress, either way
  Duration gone_grace = 500ms;       // from the client's FIN until it counts as gone, unless something is sent meanwhile
  bool http1 = true;                 // which versions are spoken; over TLS ALPN has decided already
  bool http2 = true;
  Http2Limits http2_limits;
  static constexpr size_t drain_max = 64 * 1024;  // of a request body that nobody read
  static constexpr Duration drain_timeout = 1s;
};

enum class Incoming : uint8_t {
  request,  // a request is there
  end,      // the connection is over; nothing is to be said
  failed,   // fault() says what to answer, by refuse()
  http2,    // the client's first bytes are the preface of HTTP/2 (RFC 9113 §3.4); nothing was consumed
};

struct Version {
  uint8_t major;
  uint8_t minor;
};

class ServerStream {
 public:
  virtual ~ServerStream() = default;

  // Reads a head: `request` is filled, and its body refers to this stream. HTTP/2 has it already.
  virtual Task<Incoming> next(Request& request) = 0;
  // Why next() failed, or why the last reply was cut.
  const Error& fault() const { return fault_; }
  // Answers a request that could not be read; the body of `response` is in memory. HTTP/1 closes behind it.
  // True when the answer went out whole.
  virtual Task<bool> refuse(Response& response, const Headers& extra) = 0;

  // Set when the client has said FIN, reset the stream, or is gone; broken(): it takes no answer any more.
  virtual Event& departure() = 0;
  virtual bool broken() const = 0;

  // Sends the response, `extra` behind its own fields. True when it went out whole.
  virtual Task<bool> reply(Response& response, const Headers& extra) = 0;
  // Why the last reply did not: its body failed (fault() says how), before anything was sent or later. None: the client went away.
  enum class Cut : uint8_t { none, before_reply, in_reply };
  Cut cut() const { return cut_; }
  // After a reply with a tunnel: the bytes of this side. Refers to this stream.
  virtual std::unique_ptr<ByteStream> tunnel() = 0;
  // Drains what is left of the request's body, within bounds; false when no further request may follow.
  virtual Task<bool> finish() = 0;

  // What it is spoken in, whatever a message says of itself; and as the access log names it: "HTTP/1.1", "HTTP/2".
  virtual Version version() const = 0;
  virtual std::string_view protocol() const = 0;
  uint64_t body_bytes_in() const { return body_in_; }
  uint64_t body_bytes_out() const { return body_out_; }

 protected:
  uint64_t body_in_ = 0;
  uint64_t body_out_ = 0;
  Cut cut_ = Cut::none;
  Error fault_;
};

class ServerSession {
 public:
  virtual ~ServerSession() = default;
  // No request after those under way: HTTP/1 says Connection: close with its next answer, HTTP/2 says GOAWAY; an idle connection
  // ends at once. One that has not asked yet keeps its one question, unless `fresh_too`.
  virtual void retire(bool fresh_too = false) = 0;
  // It waits for a request, and nothing else is going on.
  virtual bool idle() const = 0;
};

}  // namespace portloom::http
