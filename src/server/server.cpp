// server/server.cpp
//
// Accepting, and the loop over the requests of one connection.
#include "server/server.h"

#include "async/race.h"
#include "http/server_connection.h"
#include "server/connection.h"

namespace portloom::server {

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
  scope_.spawn(serve_http1, this, std::move(connection), std::move(accepted.socket));
}

Task<void> Server::serve_http1(Server* self, std::unique_ptr<Connection> connection, io::Socket socket) {
  http::ServerConnection http(std::move(socket), self->door_.connection);
  connection->serve(http);
  while (co_await http.wait()) {
    if (!co_await self->serve_exchange(*connection, http)) break;
  }
}

}  // namespace portloom::server
