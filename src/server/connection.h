// server/connection.h
//
// What a Server keeps of one open connection. Lives in the frame of serve_connection; small, for most connections are idle.
#pragma once

#include "server/server.h"

namespace portloom::server {

struct Server::Connection : Link {
  Connection(Server& owner, io::Accepted accepted) : server(owner), http(std::move(accepted.socket), owner.door_.connection) {
    peer.address = accepted.peer;
    peer.text = accepted.peer.host();
    peer.ip = http::Address::parse(peer.text).value_or(http::Address{});
    peer.trusted = !peer.address.is_unix() && owner.door_.trusted_proxies.contains(peer.ip);
    server.connections_.push_back(*this);
    ++server.count_;
    server.workplace_.connections->advance([](uint64_t count) { return count + 1; });
    if (server.workplace_.gauges != nullptr) server.workplace_.gauges->connections(server.door_.index, 1);
    if (server.retiring_) http.retire();
  }
  ~Connection() {
    --server.count_;
    server.workplace_.connections->advance([](uint64_t count) { return count - 1; });
    if (server.workplace_.gauges != nullptr) server.workplace_.gauges->connections(server.door_.index, -1);
  }

  Server& server;
  pipeline::Peer peer;
  http::ServerConnection http;
};

}  // namespace portloom::server
