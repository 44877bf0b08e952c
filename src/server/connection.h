// server/connection.h
//
// What a Server keeps of one open connection, whatever it speaks. Owned by the coroutine that serves it; small, for most
// connections are idle.
#pragma once

#include "http/stream.h"
#include "server/server.h"

namespace portloom::server {

struct Server::Connection : Link, Pooled {
  // Its place was taken with Admission::enter(), and goes back with it.
  Connection(Server& owner, const io::Address& address) : server(owner), door(owner.door_) {
    stand_for(address);
    server.connections_.push_back(*this);
    ++server.count_;
    if (server.workplace_->gauges != nullptr) server.workplace_->gauges->connections(door->name, 1);
  }
  ~Connection() {
    --server.count_;
    server.workplace_->admission->leave(share_);
    server.workplace_->admission->leave();
    if (server.workplace_->gauges != nullptr) server.workplace_->gauges->connections(door->name, -1);
  }
  // Whose it is: the other end's, or whom a PROXY header names.
  void stand_for(const io::Address& address) {
    peer.address = address;
    peer.text = address.host();
    peer.ip = http::Address::parse(peer.text).value_or(http::Address{});
    peer.trusted = trusted_by(*door);
  }
  bool trusted_by(const Door& other) const { return !peer.address.is_unix() && other.trusted_proxies.contains(peer.ip); }
  // Takes one of the places of its address; false when there is none.
  bool take_share() {
    if (!peer.address.is_unix()) share_ = server.workplace_->admission->enter(peer.ip);
    return share_ != 0;
  }
  // From now on `session` is told to retire; at once when everybody is retiring already.
  void serve(http::ServerSession& session) {
    session_ = &session;
    if (server.retiring_) session.retire();
  }
  void retire(bool fresh_too) {
    if (session_ != nullptr) session_->retire(fresh_too);
  }
  void close_if_idle() {
    if (session_ != nullptr && session_->idle()) session_->retire(true);
  }

  Server& server;
  const std::shared_ptr<const Door> door;  // as it was when the connection came: its session has its settings
  pipeline::Peer peer;
  std::unique_ptr<io::TlsFacts> tls;

 private:
  http::ServerSession* session_ = nullptr;
  uint64_t share_ = Admission::unbounded;
};

}  // namespace portloom::server
