// server/server.cpp
//
// Accepting, and the loop over the requests of one connection.
#include "server/server.h"

#include "async/race.h"
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
    connection->http.retire(fresh_too);
}

void Server::close_port() {
  acceptor_.reset();
  // Whoever is connected already is served: the kernel's queue is emptied before the port closes.
  while (listener_) {
    std::optional<io::Accepted> waiting = listener_->accept_last();
    if (!waiting) break;
    scope_.spawn(serve_connection, this, std::make_unique<io::Accepted>(std::move(*waiting)));
  }
  listener_.reset();  // an open port that nobody accepts from would let clients wait
}

Task<void> Server::accept(Server* self) {
  int run = 0;
  while (true) {
    Result<io::Accepted> accepted = co_await self->listener_->accept();
    if (accepted) {
      bool full = self->workplace_.connections->load() >= self->workplace_.connections_max;
      if (!full) self->scope_.spawn(serve_connection, self, std::make_unique<io::Accepted>(std::move(*accepted)));
      if (++run % 64 == 0) co_await yield();  // an accept storm starves nobody (C10)
      continue;
    }
    if (accepted.error().code != Code::exhausted) co_return;
    if (self->workplace_.gauges != nullptr) self->workplace_.gauges->accept_paused(self->door_.index);
    co_await sleep_for(100ms);  // no descriptor is left: connections wait in the kernel's queue
  }
}

// `accepted` is on the heap and given back at once: frames keep a copy of their arguments, and most connections are idle.
Task<void> Server::serve_connection(Server* self, std::unique_ptr<io::Accepted> accepted) {
  Connection connection(*self, std::move(*accepted));
  accepted.reset();
  while (co_await connection.http.wait()) {
    if (!co_await self->serve_exchange(connection)) break;
  }
}

}  // namespace portloom::server
