// http/server_connection.h
//
// ServerConnection: the server's side of one HTTP/1.1 connection. next() reads a request, reply() streams its response, and
// between the two the request's body is pulled through the Body that next() made. What is not read of it is drained, within
// bounds, before the next request. Owned by server::serve_connection; one exchange at a time; one worker.
#pragma once

#include <memory>

#include "async/task.h"
#include "http/chunked.h"
#include "http/framing.h"
#include "http/stream.h"
#include "http/writer.h"
#include "io/socket.h"

namespace portloom::http {

class ServerConnection final : public ServerStream, public ServerSession {
 public:
  // `preface`: the client's first bytes may be those of HTTP/2.
  ServerConnection(io::Socket socket, const ServerSettings& settings, bool preface = true)
      : socket_(std::move(socket)), settings_(settings), preface_(preface && settings.http2) {}
  ServerConnection(const ServerConnection&) = delete;

  // Waits for the first byte of the next request; false when the connection is over. Holds no buffer meanwhile.
  Task<bool> wait();
  Task<Incoming> next(Request& request) override;
  // Closes in an orderly way: a peer that still sends must not lose the answer.
  Task<bool> refuse(Response& response, const Headers& extra) override;
  Event& departure() override { return socket_.departure(); }
  bool broken() const override { return socket_.broken(); }
  Task<bool> reply(Response& response, const Headers& extra) override;
  std::unique_ptr<ByteStream> tunnel() override { return std::make_unique<SocketBytes>(socket_); }
  Task<bool> finish() override;
  Version version() const override { return {1, static_cast<uint8_t>(minor_ == 0 ? 0 : 1)}; }
  std::string_view protocol() const override { return minor_ == 0 ? "HTTP/1.0" : "HTTP/1.1"; }

  void retire(bool fresh_too = false) override;
  bool idle() const override { return idle_; }
  // next() has said Incoming::http2.
  bool is_http2() const { return http2_; }
  io::Socket& socket() { return socket_; }
  Method method() const { return method_; }

 private:
  friend class IncomingBody;
  Incoming accept_head(Request& request, const Framing& framing);
  Task<Result<Bytes>> read_body();
  Result<Bytes> take_chunk();
  Framing response_framing_for(const Response& response, bool length_known) const;
  Bytes response_head(const Response& response, const Framing& framing, const Headers& extra, std::string_view behind);
  enum class Passed : uint8_t { no_more, failed, broken };  // failed: fault_ says why; broken: the client takes nothing
  Task<Passed> pass(Body& body, uint64_t& left);
  Task<bool> stream(Response& response, const Framing& framing, Bytes head);
  Task<bool> flushed();
  void cut(const Framing& framing, bool nothing_sent);
  bool body_unread() const { return body_kind_ != Framing::Kind::none; }

  io::Socket socket_;
  const ServerSettings& settings_;
  bool preface_;
  std::unique_ptr<ChunkDecoder> chunks_;
  uint64_t body_left_ = 0;                         // of Kind::length
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
  bool http2_ = false;
};

}  // namespace portloom::http
