// http/client_connection.h
//
// ClientConnection: the client's side of one HTTP/1.1 connection to an upstream. exchange() resolves at the response's head;
// a request body that is still coming is pumped by a child of the connection meanwhile, and stops when the response's body is
// dropped. After the body has ended, reusable() says whether the connection may serve another exchange. The caller keeps the
// connection alive as long as the response (upstream's Lease rides on its body). No retries, no logging here.
#pragma once

#include <memory>

#include "async/scope.h"
#include "http/chunked.h"
#include "http/exchange.h"
#include "http/framing.h"
#include "http/parser.h"
#include "http/writer.h"
#include "io/socket.h"

namespace portloom::http {

struct ClientSettings {
  Limits heads;
  Duration body_timeout = 60s;            // without progress, either way
  bool single_use = false;                // one exchange is all that a connection may serve, and the upstream is told
  static constexpr int interim_max = 16;  // 1xx answers before the final one
};

class ClientConnection : public Pooled {
 public:
  explicit ClientConnection(io::Socket socket, const ClientSettings& settings) : socket_(std::move(socket)), settings_(settings) {}
  ClientConnection(const ClientConnection&) = delete;

  // Sends `request` with `extra` behind its fields and reads the response's head. `request` outlives the response.
  // Code::upstream_timeout when no head came by `deadline`; reset or closed with how far we had got; upstream_protocol for
  // garbage; the request body's own error when that failed first.
  Task<Result<Response>> exchange(Request& request, ExtraFields extra, Instant deadline);

  // Idle, with nothing unread, and the peer still there.
  bool reusable() const { return reusable_ && !socket_.ended() && !socket_.broken() && !socket_.send_broken(); }
  // The same after a look at what has arrived since: a surplus must never be taken for the next answer.
  bool fresh_for_lease() {
    if (!reusable() || socket_.departure().is_set() || socket_.sending()) return false;
    (void)socket_.receive().await_ready();
    return socket_.input().empty() && reusable();
  }
  bool used() const { return used_; }
  // A request body is still being sent.
  bool uploading() const { return upload_ != nullptr && !upload_->empty(); }
  io::Socket& socket() { return socket_; }
  Instant idle_since{};

 private:
  friend class ResponseBody;
  void start(Request& request, ExtraFields extra);
  static Task<void> upload(ClientConnection* self, Request* request);
  Task<Result<void>> send_body(Request& request);
  Result<Response> begin_body(Response response, Method method);
  std::unexpected<Error> lost(io::Arrival arrival) const;

  io::Socket socket_;
  const ClientSettings& settings_;
  std::unique_ptr<Scope> upload_;
  std::optional<Error> upload_error_;
  bool upload_failed_ = false;
  bool reusable_ = true;
  bool used_ = false;
  bool body_sent_ = false;
  bool chunked_upload_ = false;
};

}  // namespace portloom::http
