// server/connection.h
//
// What a Server keeps of one open connection, whatever it speaks. Owned by the coroutine that serves it; small, for most
// connections are idle.
#pragma once

#include "http/stream.h"
#include "server/server.h"

namespace portloom::server {

struct Server::Connection : Link, Pooled {
  Connection(Server& owner, const io::Address& address) : server(owner) {
    peer.address = address;
    peer.text = address.host();
    peer.ip = http::Address::parse(peer.text).value_or(http::Address{});
    peer.trusted = !address.is_unix() && owner.door_.trusted_proxies.contains(peer.ip);
    server.connections_.push_back(*this);
    ++server.count_;
    server.workplace_.connections->advance([](uint64_t count) { return count + 1; });
    if (server.workplace_.gauges != nullptr) server.workplace_.gauges->connections(server.door_.index, 1);
  }
  ~Connection() {
    --server.count_;
    server.workplace_.connections->advance([](uint64_t count) { return count - 1; });
    if (server.workplace_.gauges != nullptr) server.workplace_.gauges->connections(server.door_.index, -1);
  }
  // From now on `session` is told to retire; at once when everybody is retiring already.
  void serve(http::ServerSession& session) {
    session_ = &session;
    if (server.retiring_) session.retire();
  }
  void retire(bool fresh_too) {
    if (session_ != nullptr) session_->retire(fresh_too);
  }

  Server& server;
  pipeline::Peer peer;
  std::unique_ptr<io::TlsFacts> tls;

 private:
  http::ServerSession* session_ = nullptr;
};

}  // namespace portloom::server
