// http/server_connection.h
//
// ServerConnection: the server's side of one HTTP/1.1 connection. next() reads a request, reply() streams its response, and
// between the two the request's body is pulled through the Body that next() made. What is not read of it is drained, within
// bounds, before the next request. Owned by server::serve_connection; one exchange at a time; one worker.
#pragma once

#include <memory>
#include <optional>

#include "async/task.h"
#include "http/chunked.h"
#include "http/exchange.h"
#include "http/framing.h"
#include "http/parser.h"
#include "http/writer.h"
#include "io/socket.h"

namespace portloom::http {

struct ServerSettings {
  Limits heads;
  std::optional<uint64_t> body_max;               // of a request: 413
  Duration head_timeout = 10s;                    // from a head's first byte to its end: 408
  Duration idle_timeout = 60s;                    // between requests
  Duration body_timeout = 60s;                    // without progress, either way
  static constexpr size_t drain_max = 64 * 1024;  // of a request body that nobody read
  static constexpr Duration drain_timeout = 1s;
};

enum class Incoming : uint8_t {
  request,  // a request is there
  end,      // the connection is over; nothing is to be said
  failed,   // fault() says what to answer; then the connection closes
};

class ServerConnection {
 public:
  ServerConnection(io::Socket socket, const ServerSettings& settings) : socket_(std::move(socket)), settings_(settings) {}
  ServerConnection(const ServerConnection&) = delete;

  // Waits for the first byte of the next request; false when the connection is over. Holds no buffer meanwhile.
  Task<bool> wait();
  // Reads the head. `request` is filled and its body refers to this connection.
  Task<Incoming> next(Request& request);
  const Error& fault() const { return fault_; }

  // Sends the response, `extra` behind its own fields. True when it went out whole.
  Task<bool> reply(Response& response, const Headers& extra);
  // Why the last reply did not: its body failed (fault() says how), before anything was sent or later. None: the client went away.
  enum class Cut : uint8_t { none, before_reply, in_reply };
  Cut cut() const { return cut_; }
  // Drains what is left of the request's body; false when the connection cannot be used again.
  Task<bool> finish();
  // Sends a response that is complete already and closes in an orderly way (a peer that still sends must not lose it).
  Task<void> reply_and_close(Bytes message);

  // From now on every response says Connection: close; an idle connection ends at once.
  // One that has not asked yet keeps its one question, unless `fresh_too`.
  void retire(bool fresh_too = false);
  bool idle() const { return idle_; }
  io::Socket& socket() { return socket_; }
  Method method() const { return method_; }
  uint64_t body_bytes_in() const { return body_in_; }
  uint64_t body_bytes_out() const { return body_out_; }

 private:
  friend class IncomingBody;
  Incoming accept_head(Request& request, const Framing& framing);
  Task<Result<Bytes>> read_body();
  Result<Bytes> take_chunk();
  Framing response_framing_for(const Response& response, bool length_known) const;
  Bytes response_head(const Response& response, const Framing& framing, const Headers& extra, std::string_view behind);
  Task<bool> stream(Response& response, const Framing& framing, Bytes head);
  void cut(const Framing& framing, bool nothing_sent);
  bool body_unread() const { return body_kind_ != Framing::Kind::none; }

  io::Socket socket_;
  const ServerSettings& settings_;
  std::unique_ptr<ChunkDecoder> chunks_;
  uint64_t body_left_ = 0;  // of Kind::length
  uint64_t body_in_ = 0;
  uint64_t body_out_ = 0;
  Framing::Kind body_kind_ = Framing::Kind::none;  // none: nothing is (left) to be read
  Method method_ = Method::GET;
  uint8_t minor_ = 1;
  bool keep_alive_ = true;
  bool announce_keep_alive_ = false;
  bool continue_due_ = false;
  bool idle_ = false;  // in wait()
  bool retired_ = false;
  bool served_ = false;  // a request was read
  bool broken_ = false;
  Cut cut_ = Cut::none;
  Error fault_;
};

}  // namespace portloom::http
