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
#include "http/date.h"
#include "http/stream.h"
#include "io/socket.h"
#include "io/tls.h"
#include "pipeline/exchange.h"
#include "pipeline/plan.h"
#include "pipeline/ports.h"
#include "server/admission.h"
#include "server/notices.h"

namespace portloom::server {

// What a worker lends to its servers; outlives them.
struct Workplace {
  pipeline::Plan* plan = nullptr;  // the plan in force
  pipeline::RecordSink* sink = nullptr;
  pipeline::Gauges* gauges = nullptr;
  Notices* notices = nullptr;
  Admission* admission = nullptr;  // of the whole process
  Random random{0};
  http::DateCache date;
};

// What a listener is configured to do. A reload puts another in its place; an exchange keeps the one that it began with.
struct Door {
  uint16_t index = 0;  // of the listener, in the snapshot
  std::string name;
  std::string scheme = "http";
  http::ServerSettings connection;
  http::CidrSet trusted_proxies;
  bool tells_local = false;     // Peer::local is looked up, for a service that is told of it
  bool proxy_protocol = false;  // each connection begins with a PROXY header, from a peer in trusted_proxies if there are any
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
  // Those that wait for a request end now; all others go on.
  void close_idle_connections();
  // No new connections.
  void close_port();
  // Its listener is no more: no new connections, and those that are open end with their next answer. What they still ask is
  // answered by `last`, the workplace as it was, which outlives it.
  void leave(Workplace& last);
  // The requests under way end without an answer when this server is dropped: writes their records (Code::draining), and
  // appends a line for each.
  void cut_requests(std::vector<std::string>& lines);
  size_t open_connections() const { return count_; }
  uint16_t listener() const { return door_->index; }
  // For connections and exchanges that begin from now on. Called together with the change of the plan, which has to keep the
  // door before it (door()) as long as its exchanges run.
  void use(Door door) { door_ = std::make_shared<const Door>(std::move(door)); }
  const std::shared_ptr<const Door>& door() const { return door_; }
  void use(const std::shared_ptr<const io::TicketKeys>& keys) {
    if (door_->tls) door_->tls->use(keys);
  }

 private:
  struct Connection;
  struct Underway;
  static Task<void> accept(Server* self);
  static Task<void> serve_proxied(Server* self, std::unique_ptr<Connection> connection, io::Socket raw);
  void note_failed(const Connection& connection, const Error& error);
  static Task<void> serve_tls(Server* self, std::unique_ptr<Connection> connection, io::Socket raw);
  static Task<void> serve_http1(Server* self, std::unique_ptr<Connection> connection, io::Socket socket, bool preface);
  static Task<void> serve_http2(Server* self, std::unique_ptr<Connection> connection, io::Socket socket);
  static Task<void> serve_stream(Server* self, Connection* connection, std::unique_ptr<http::ServerStream> stream);
  void admit(io::Accepted accepted);
  // Whose connection it is is known by now.
  void serve(std::unique_ptr<Connection> connection, io::Socket socket);
  void refuse(pipeline::Refused why);
  // False when no further request may follow on this connection.
  Task<bool> serve_exchange(Connection& connection, http::ServerStream& stream);
  Task<bool> refuse(pipeline::Exchange& exchange, const Door& door, Connection& connection, http::ServerStream& stream);
  // Speaks HTTP without TLS to a port where TLS was due.
  static bool speaks_plainly(const Connection& connection);
  void add_date(const pipeline::Response& response, pipeline::Exchange& exchange);
  static bool cut_short(pipeline::Exchange& exchange, const http::ServerStream& stream);
  Task<pipeline::Response> answer(pipeline::Exchange& exchange, pipeline::Request& request, const Door& door, Connection& connection,
                                  http::Version version);
  void open(pipeline::Exchange& exchange, pipeline::Request& request, const Door& door, Connection& connection,
            const http::ServerStream& stream);
  void close(pipeline::Exchange& exchange, const Door& door, const http::ServerStream& stream);

  Workplace* workplace_;
  std::shared_ptr<const Door> door_;
  io::Address address_;
  std::optional<io::Listener> listener_;  // none: the port is closed
  List<Connection> connections_;
  List<Underway> underway_;
  Event leaving_;  // tunnels are to be ended
  size_t count_ = 0;
  bool retiring_ = false;
  std::unique_ptr<Scope> acceptor_;
  Scope scope_;
};

}  // namespace portloom::server
