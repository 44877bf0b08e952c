// server/server.cpp
//
// Accepting, and the loop over the requests of one connection.
#include "server/server.h"

#include "async/race.h"
#include "http/http2_server.h"
#include "http/server_connection.h"
#include "server/connection.h"

namespace portloom::server {
namespace {
bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }
}  // namespace

Server::Server(Workplace& workplace, Door door, io::Listener listener)
    : workplace_(workplace),
      door_(std::move(door)),
      address_(listener.address()),
      listener_(std::move(listener)),
      acceptor_(std::make_unique<Scope>()) {
  acceptor_->spawn(accept, this);
}

Server::~Server() = default;

void Server::retire_connections(bool fresh_too) {
  retiring_ = true;
  for (Connection* connection = connections_.front(); connection != nullptr; connection = connections_.after(*connection))
    connection->retire(fresh_too);
}

void Server::close_port() {
  acceptor_.reset();
  // Whoever is connected already is served: the kernel's queue is emptied before the port closes.
  while (listener_) {
    std::optional<io::Accepted> waiting = listener_->accept_last();
    if (!waiting) break;
    serve(std::move(*waiting));
  }
  listener_.reset();  // an open port that nobody accepts from would let clients wait
}

Task<void> Server::accept(Server* self) {
  int run = 0;
  while (true) {
    Result<io::Accepted> accepted = co_await self->listener_->accept();
    if (accepted) {
      bool full = self->workplace_.connections->load() >= self->workplace_.connections_max;
      if (!full) self->serve(std::move(*accepted));
      if (++run % 64 == 0) co_await yield();  // an accept storm starves nobody (C10)
      continue;
    }
    if (accepted.error().code != Code::exhausted) co_return;
    if (self->workplace_.gauges != nullptr) self->workplace_.gauges->accept_paused(self->door_.index);
    co_await sleep_for(100ms);  // no descriptor is left: connections wait in the kernel's queue
  }
}

void Server::serve(io::Accepted accepted) {
  auto connection = std::make_unique<Connection>(*this, accepted.peer);
  if (door_.tls)
    scope_.spawn(serve_tls, this, std::move(connection), std::move(accepted.socket));
  else
    scope_.spawn(serve_http1, this, std::move(connection), std::move(accepted.socket));
}

// The handshake, then what was agreed on. A client that speaks HTTP right away is told what is wrong in its own language.
Task<void> Server::serve_tls(Server* self, std::unique_ptr<Connection> connection, io::Socket raw) {
  Instant deadline = Agenda::current().now() + self->door_.connection.head_timeout;
  if (raw.input().empty()) {
    io::Arrival arrival = co_await raw.receive(deadline);
    if (arrival != io::Arrival::bytes) co_return;
  }
  if (is_upper(raw.input().front())) {  // of a method; a TLS record begins with 22
    self->scope_.spawn(serve_http1, self, std::move(connection), std::move(raw));
    co_return;
  }
  auto facts = std::make_unique<io::TlsFacts>();
  std::shared_ptr<io::TlsServerContext> context = self->door_.tls;  // a reload may put another in its place
  Result<io::Socket> secured = co_await io::accept_tls(std::move(raw), context, deadline, *facts);
  if (!secured) {
    if (self->workplace_.gauges != nullptr) self->workplace_.gauges->handshake_failed(self->door_.index);
    co_return;
  }
  connection->tls = std::move(facts);
  connection->peer.tls = connection->tls.get();
  self->scope_.spawn(serve_http1, self, std::move(connection), std::move(*secured));  // a small frame of its own, for most are idle
}

bool Server::speaks_plainly(const Connection& connection) const { return door_.tls != nullptr && connection.tls == nullptr; }

Task<void> Server::serve_http1(Server* self, std::unique_ptr<Connection> connection, io::Socket socket) {
  http::ServerConnection http(std::move(socket), self->door_.connection);
  connection->serve(http);
  while (co_await http.wait()) {
    if (!co_await self->serve_exchange(*connection, http)) break;
  }
  if (http.is_http2()) co_await serve_http2(self, std::move(connection), std::move(http.socket()));
}

Task<void> Server::serve_http2(Server* self, std::unique_ptr<Connection> connection, io::Socket socket) {
  http::Http2ServerConnection http(std::move(socket), self->door_.connection);
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
