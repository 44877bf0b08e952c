// server/server.h
//
// Server: one listener on one worker. Accepts, serves connections, drains. The plan is looked up anew for each request, so
// a reload takes effect with the next request of an open connection.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "async/scope.h"
#include "base/random.h"
#include "http/cidr.h"
#include "http/stream.h"
#include "io/shared.h"
#include "io/socket.h"
#include "io/tls.h"
#include "pipeline/exchange.h"
#include "pipeline/plan.h"
#include "pipeline/ports.h"

namespace portloom::server {

// What a worker lends to its servers; outlives them.
struct Workplace {
  pipeline::Plan* plan = nullptr;  // the plan in force
  pipeline::RecordSink* sink = nullptr;
  pipeline::Gauges* gauges = nullptr;
  io::Word* connections = nullptr;  // of the whole process
  uint64_t connections_max = 50'000;
  Random random{0};
};

struct Door {
  uint16_t index = 0;  // of the listener, in the snapshot
  std::string name;
  std::string scheme = "http";
  http::ServerSettings connection;
  Duration gone_grace = 500ms;
  http::CidrSet trusted_proxies;
  bool internal_errors = false;
  bool quiet = false;                         // the admin's doors: no record
  std::shared_ptr<io::TlsServerContext> tls;  // null: it speaks plainly
};

class Server {
 public:
  Server(Workplace& workplace, Door door, io::Listener listener);
  ~Server();
  const io::Address& address() const { return address_; }

  // Connections say "close" with their next answer; idle ones end at once. Still accepts.
  // Those that have not asked yet may, unless `fresh_too`.
  void retire_connections(bool fresh_too = false);
  // No new connections.
  void close_port();
  size_t open_connections() const { return count_; }
  uint16_t listener() const { return door_.index; }
  // For handshakes that begin from now on.
  void use(std::shared_ptr<io::TlsServerContext> tls) { door_.tls = std::move(tls); }
  void use(const std::shared_ptr<const io::TicketKeys>& keys) {
    if (door_.tls) door_.tls->use(keys);
  }

 private:
  struct Connection;
  static Task<void> accept(Server* self);
  static Task<void> serve_tls(Server* self, std::unique_ptr<Connection> connection, io::Socket raw);
  static Task<void> serve_http1(Server* self, std::unique_ptr<Connection> connection, io::Socket socket);
  static Task<void> serve_http2(Server* self, std::unique_ptr<Connection> connection, io::Socket socket);
  static Task<void> serve_stream(Server* self, Connection* connection, std::unique_ptr<http::ServerStream> stream);
  void serve(io::Accepted accepted);
  // False when no further request may follow on this connection.
  Task<bool> serve_exchange(Connection& connection, http::ServerStream& stream);
  Task<bool> refuse(pipeline::Exchange& exchange, Connection& connection, http::ServerStream& stream);
  // Speaks HTTP without TLS to a port where TLS is due.
  bool speaks_plainly(const Connection& connection) const;
  static bool cut_short(pipeline::Exchange& exchange, const http::ServerStream& stream);
  Task<pipeline::Response> answer(pipeline::Exchange& exchange, pipeline::Request& request);
  void open(pipeline::Exchange& exchange, pipeline::Request& request, Connection& connection, const http::ServerStream& stream);
  void close(pipeline::Exchange& exchange, const http::ServerStream& stream);

  Workplace& workplace_;
  Door door_;
  io::Address address_;
  std::optional<io::Listener> listener_;  // none: the port is closed
  List<Connection> connections_;
  size_t count_ = 0;
  bool retiring_ = false;
  std::unique_ptr<Scope> acceptor_;
  Scope scope_;
};

}  // namespace portloom::server
