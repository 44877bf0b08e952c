// upstream/http2_pool.cpp
//
// A line of waiters, called as there is room; one dial at a time.
#include "upstream/http2_pool.h"

#include <algorithm>

namespace portloom::upstream {

Http2Pool::~Http2Pool() { scope_.cancel(); }

http::Http2ClientConnection* Http2Pool::ready() const {
  for (const auto& connection : connections_)  // the first with room: the others fall idle and end
    if (connection->room() > 0) return connection.get();
  return nullptr;
}

Task<Result<http::Http2ClientConnection*>> Http2Pool::wait() {
  if (waiting_count_ >= waiting_max)
    co_return failure(Code::overloaded, Side::gateway,
                      std::to_string(waiting_max) + " requests wait for a connection to " + dialer_.text() + " already");
  Waiting place(*this);
  Instant deadline = Agenda::current().now() + settings_.connect_timeout;
  while (true) {
    if (http::Http2ClientConnection* connection = ready()) {
      place.called.reset();
      co_return connection;
    }
    waiting_.push_back(place);
    if (may_open()) open();
    place.called.reset();
    bool called = co_await place.called.wait_until(deadline);
    place.unlink();
    if (place.error) co_return std::unexpected(*place.error);
    if (called) continue;
    if (opening_) co_return failure(Code::connect_timeout, Side::upstream, "no connection to " + dialer_.text() + " in time");
    co_return failure(Code::overloaded, Side::gateway,
                      "all " + std::to_string(connections_.size()) + " connections to " + dialer_.text() + " are full");
  }
}

bool Http2Pool::may_open() const {
  if (opening_ || connections_.size() >= settings_.connections_max) return false;
  return connections_.empty() || not_before_ <= Agenda::current().now();
}

void Http2Pool::open() {
  opening_ = true;
  scope_.spawn(live, this);
}

Task<void> Http2Pool::live(Http2Pool* self) {
  Result<io::Socket> socket = co_await self->dialer_.dial(Agenda::current().now() + self->settings_.connect_timeout);
  self->opening_ = false;
  if (!socket) {
    self->not_before_ = Agenda::current().now() + again_after;
    if (!self->connections_.empty()) co_return;  // there will be room on those, or the time is up
    while (Waiting* next = self->waiting_.pop_front()) {
      next->error = socket.error();
      next->called.set();
    }
    co_return;
  }
  auto made = std::make_unique<http::Http2ClientConnection>(std::move(*socket), self->settings_.client, self->dialer_.secure(), *self);
  http::Http2ClientConnection* connection = made.get();
  self->connections_.push_back(std::move(made));
  self->on_room();
  co_await connection->run();
  std::erase_if(self->connections_, [connection](const auto& one) { return one.get() == connection; });
  self->on_room();
}

// Calls as many as there is room for. When there is none, and nobody is at it, another connection is opened for them.
void Http2Pool::on_room() {
  if (waiting_.empty()) return;
  size_t room = 0;
  for (const auto& connection : connections_) room += connection->room();
  while (room > 0 && !waiting_.empty()) {
    waiting_.pop_front()->called.set();
    --room;
  }
  if (!waiting_.empty() && may_open()) open();
}

void Http2Pool::sweep(Instant oldest) {
  for (const auto& connection : connections_)
    if (connection->open() == 0 && connection->idle_since() < oldest) connection->retire();
}

}  // namespace portloom::upstream
