// server/server.cpp
//
// Accepting, and the loop over the requests of one connection.
#include "server/server.h"

#include "async/race.h"
#include "http/http2_server.h"
#include "http/server_connection.h"
#include "io/proxy_protocol.h"
#include "pipeline/problem.h"
#include "server/connection.h"
#include "server/underway.h"

namespace portloom::server {
namespace {
bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }
}  // namespace

Server::Server(Workplace& workplace, Door door, io::Listener listener)
    : workplace_(&workplace),
      door_(std::make_shared<const Door>(std::move(door))),
      address_(listener.address()),
      listener_(std::move(listener)),
      acceptor_(std::make_unique<Scope>()) {
  acceptor_->spawn(accept, this);
}

Server::~Server() = default;

void Server::retire_connections(bool fresh_too) {
  retiring_ = true;
  leaving_.set();
  for (Connection* connection = connections_.front(); connection != nullptr; connection = connections_.after(*connection))
    connection->retire(fresh_too);
}

void Server::close_idle_connections() {
  for (Connection* connection = connections_.front(); connection != nullptr; connection = connections_.after(*connection))
    connection->close_if_idle();
}

void Server::close_port() {
  acceptor_.reset();
  // Whoever is connected already is served: the kernel's queue is emptied before the port closes.
  while (listener_) {
    std::optional<io::Accepted> waiting = listener_->accept_last();
    if (!waiting) break;
    admit(std::move(*waiting));
  }
  listener_.reset();  // an open port that nobody accepts from would let clients wait
}

void Server::leave(Workplace& last) {
  workplace_ = &last;
  close_port();
  retire_connections();
}

void Server::cut_requests(std::vector<std::string>& lines) {
  for (Underway* one = underway_.front(); one != nullptr; one = underway_.after(*one)) {
    pipeline::Record& record = one->exchange.record;
    if (record.begun == Instant{}) continue;  // its head has not come yet
    record.fault = Error{Code::draining, Side::gateway, Progress::body, "the process ended"};
    if (record.status == 0) record.status = pipeline::status_of(Code::draining, Side::gateway);  // not 499: the client stayed
    record.complete = false;
    close(one->exchange, one->door, one->stream);
    std::string line(record.listener);
    line.append(" ").append(record.method).append(" ").append(record.path);
    if (!record.call.service.empty()) line.append(" to ").append(record.call.service).append(" at ").append(record.call.endpoint);
    lines.push_back(line + ", " + format_duration(std::chrono::floor<std::chrono::milliseconds>(record.duration)) + ", request_id " +
                    std::string(record.id()));
  }
}

Task<void> Server::accept(Server* self) {
  int run = 0;
  while (true) {
    Result<io::Accepted> accepted = co_await self->listener_->accept();
    if (accepted) {
      self->admit(std::move(*accepted));
      if (++run % 64 == 0) co_await yield();  // an accept storm starves nobody (C10)
      continue;
    }
    if (accepted.error().code != Code::exhausted) co_return;
    if (self->workplace_->gauges != nullptr) self->workplace_->gauges->accept_paused(self->door_->name);
    co_await sleep_for(100ms);  // no descriptor is left: connections wait in the kernel's queue
  }
}

void Server::refuse(pipeline::Refused why) {
  if (workplace_->gauges != nullptr) workplace_->gauges->refused(door_->name, why);
}

// Whoever is not let in is closed by leaving scope.
void Server::admit(io::Accepted accepted) {
  if (workplace_->admission->memory() == Memory::spent) return refuse(pipeline::Refused::memory);
  if (!workplace_->admission->enter()) return refuse(pipeline::Refused::connections);
  auto connection = std::make_unique<Connection>(*this, accepted.peer);
  if (door_->tells_local) connection->peer.local = std::make_unique<io::Address>(accepted.socket.local());
  if (!door_->proxy_protocol) return serve(std::move(connection), std::move(accepted.socket));
  bool believed = door_->trusted_proxies.empty() || accepted.peer.is_unix() || connection->peer.trusted;
  if (!believed) return refuse(pipeline::Refused::proxy_protocol);
  scope_.spawn(serve_proxied, this, std::move(connection), std::move(accepted.socket));
}

void Server::serve(std::unique_ptr<Connection> connection, io::Socket socket) {
  if (!connection->take_share()) return refuse(pipeline::Refused::connections_per_address);
  if (connection->door->tls)
    scope_.spawn(serve_tls, this, std::move(connection), std::move(socket));
  else
    scope_.spawn(serve_http1, this, std::move(connection), std::move(socket), true);
}

// Nothing is served before the PROXY header has come whole and right; what follows it is the connection itself.
Task<void> Server::serve_proxied(Server* self, std::unique_ptr<Connection> connection, io::Socket raw) {
  Instant deadline = Agenda::current().now() + connection->door->connection.head_timeout;
  io::ProxyHeader header;
  while (header.state == io::ProxyHeader::State::partial) {
    io::Arrival arrival = co_await raw.receive(deadline);
    if (arrival != io::Arrival::bytes) {
      bool probe = arrival == io::Arrival::end && raw.input().empty();  // balancers connect and leave to see that we live
      if (!probe) self->refuse(pipeline::Refused::proxy_protocol);
      co_return;
    }
    header = io::read_proxy_header(raw.input());
  }
  if (header.state == io::ProxyHeader::State::invalid) {
    self->refuse(pipeline::Refused::proxy_protocol);
    co_return;
  }
  raw.consume(header.bytes);
  if (header.has_addresses) connection->stand_for(header.source);
  if (header.has_addresses && connection->peer.local != nullptr) *connection->peer.local = header.destination;
  self->serve(std::move(connection), std::move(raw));
}

// The handshake, then what was agreed on. A client that speaks HTTP right away is told what is wrong in its own language.
Task<void> Server::serve_tls(Server* self, std::unique_ptr<Connection> connection, io::Socket raw) {
  Instant deadline = Agenda::current().now() + connection->door->connection.head_timeout;
  if (raw.input().empty()) {
    io::Arrival arrival = co_await raw.receive(deadline);
    if (arrival != io::Arrival::bytes) co_return;
  }
  if (is_upper(raw.input().front())) {  // of a method; a TLS record begins with 22
    self->scope_.spawn(serve_http1, self, std::move(connection), std::move(raw), false);
    co_return;
  }
  auto facts = std::make_unique<io::TlsFacts>();
  std::shared_ptr<io::TlsServerContext> context = connection->door->tls;
  Result<io::Socket> secured = co_await io::accept_tls(std::move(raw), context, deadline, *facts);
  if (!secured) {
    self->note_failed(*connection, secured.error());
    co_return;
  }
  connection->tls = std::move(facts);
  connection->peer.tls = connection->tls.get();
  // Small frames of their own, for most connections are idle. Without ALPN the preface decides, as in plain text.
  std::string_view agreed = connection->tls->protocol;
  if (agreed == "h2")
    self->scope_.spawn(serve_http2, self, std::move(connection), std::move(*secured));
  else
    self->scope_.spawn(serve_http1, self, std::move(connection), std::move(*secured), agreed.empty());
}

// The reason is OpenSSL's, or the alert that the client sent.
void Server::note_failed(const Connection& connection, const Error& error) {
  const std::string& listener = connection.door->name;
  if (workplace_->gauges != nullptr) workplace_->gauges->handshake_failed(listener);
  if (workplace_->notices == nullptr) return;
  workplace_->notices->note("tls handshake failed listener=" + listener + " client=" + connection.peer.text + " reason=\"" + error.detail +
                            '"');
}

bool Server::speaks_plainly(const Connection& connection) { return connection.door->tls != nullptr && connection.tls == nullptr; }

Task<void> Server::serve_http1(Server* self, std::unique_ptr<Connection> connection, io::Socket socket, bool preface) {
  http::ServerConnection http(std::move(socket), connection->door->connection, preface);
  connection->serve(http);
  while (co_await http.wait()) {
    if (!co_await self->serve_exchange(*connection, http)) break;
  }
  if (http.is_http2()) co_await serve_http2(self, std::move(connection), std::move(http.socket()));
}

Task<void> Server::serve_http2(Server* self, std::unique_ptr<Connection> connection, io::Socket socket) {
  http::Http2ServerConnection http(std::move(socket), connection->door->connection);
  connection->serve(http);
  Scope streams;  // dropped before the connection, which they refer to
  while (std::unique_ptr<http::ServerStream> stream = co_await http.next())
    streams.spawn(serve_stream, self, connection.get(), std::move(stream));
  co_await streams.idle();  // each knows that its client has gone
}

Task<void> Server::serve_stream(Server* self, Connection* connection, std::unique_ptr<http::ServerStream> stream) {
  co_await self->serve_exchange(*connection, *stream);
}

}  // namespace portloom::server
