// http/http2_server.h
//
// Http2ServerConnection: the server's side of one HTTP/2 connection (RFC 9113). next() is its reading side and yields each new
// request's stream; many are served at once. Owned by server::serve_http2; outlives its streams; one worker.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "http/http2_session.h"

namespace portloom::http {

class Http2ServerConnection;

class Http2ServerStream final : public ServerStream, public Http2Stream, public Pooled {
 public:
  Http2ServerStream(Http2ServerConnection& connection, int32_t id);
  ~Http2ServerStream() override;

  Task<Incoming> next(Request& request) override;
  Task<bool> refuse(Response& response, const Headers& extra) override;
  Event& departure() override { return departure_; }
  bool broken() const override { return over(); }
  Task<bool> reply(Response& response, const Headers& extra) override;
  std::unique_ptr<ByteStream> tunnel() override { return std::make_unique<Http2Bytes>(*this); }
  // One request is all there is; what the client still sends of it is not wanted (RFC 9113 §8.1), which it is told after a moment.
  Task<bool> finish() override;
  Version version() const override { return {2, 0}; }
  std::string_view protocol() const override { return "HTTP/2"; }

 private:
  friend class Http2ServerConnection;
  enum Pseudo : uint8_t { method, scheme, authority, path, protocol_name, pseudo_end };
  void on_field(nghttp2_rcbuf* name, nghttp2_rcbuf* value) override;
  void on_invalid_field() override {}  // nghttp2 does not look
  void on_head_end() override;
  void on_malformed(std::string_view what) override;
  void before_waiting() override;
  Result<void> took(size_t bytes) override;
  std::unexpected<Error> cut_off(bool late) const override;
  bool begin_output() override;

  std::string_view text(Pseudo which) const;
  bool has(Pseudo which) const { return pseudo_[which] != nullptr; }
  void on_pseudo(std::string_view name, nghttp2_rcbuf* value);
  void follow_priority();
  Result<void> accept(Request& request);
  Result<void> accept_head(Request& request);
  void become_upgrade(Request& request);
  Result<void> accept_body(Request& request);
  bool reply_tunnel(Response& response);
  bool send_head(const Response& response, bool body_follows, std::optional<uint64_t> length);
  bool settle(Sent sent);

  Http2ServerConnection& connection_;
  std::array<nghttp2_rcbuf*, pseudo_end> pseudo_{};
  Headers fields_;
  std::string key_;  // of a WebSocket, made for the service
  size_t field_bytes_ = 0;
  size_t decoded_ = 0;                  // bytes that HPACK has made of what came
  const Response* response_ = nullptr;  // whose head is still to be sent
  const Headers* extra_ = nullptr;
  bool head_only_ = false;  // HEAD
  bool head_ended_ = false;
  bool accepted_ = false;
  bool upgrade_ = false;  // extended CONNECT
  bool too_large_ = false;
  bool continue_due_ = false;
  bool head_sent_ = false;
};

class Http2ServerConnection final : public ServerSession, private Http2Session {
 public:
  // `settings` outlives it.
  Http2ServerConnection(io::Socket socket, const ServerSettings& settings);
  ~Http2ServerConnection() override;

  // The next request; null when the connection is over.
  Task<std::unique_ptr<ServerStream>> next();
  void retire(bool fresh_too = false) override;
  bool idle() const override { return open() == 0; }

 private:
  friend class Http2ServerStream;
  Http2Stream* on_request(int32_t id) override;
  void on_pong() override;
  void on_stream_over() override;
  Instant deadline() const override;
  void on_late() override;
  void say_last();

  const ServerSettings& server_;
  std::unique_ptr<Http2ServerStream> forming_;               // its head is still coming
  std::vector<std::unique_ptr<Http2ServerStream>> waiting_;  // to be fetched by next(), from `fetched_` on
  size_t fetched_ = 0;
  Instant begun_;
  Instant idle_since_;
  Instant last_due_ = never;  // when the last GOAWAY goes out at the latest
  bool asked_ = false;        // a request came
  bool retired_ = false;
};

}  // namespace portloom::http
