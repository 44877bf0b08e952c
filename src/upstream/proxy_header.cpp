// upstream/proxy_header.cpp
//
// Whom a connection is made for, in the words of the PROXY protocol.
#include "upstream/proxy_header.h"

namespace portloom::upstream {

std::string proxy_header(io::ProxyVersion version, const pipeline::Exchange& exchange) {
  const pipeline::Peer& peer = exchange.peer;
  io::Address source = peer.address;
  if (!exchange.client.empty() && exchange.client != peer.text) {
    bool six = exchange.client.find(':') != std::string_view::npos;
    std::string text = six ? "[" + std::string(exchange.client) + "]:0" : std::string(exchange.client) + ":0";
    source = io::Address::parse(text).value_or(source);
  }
  io::Address destination = peer.local != nullptr ? *peer.local : io::Address();
  if (source.family() != destination.family())  // "no address of that family": the client's is what is wanted
    destination = *io::Address::parse((source.family() == AF_INET6 ? "[::]:" : "0.0.0.0:") + std::to_string(destination.port()));
  return io::write_proxy_header(version, source, destination);
}

}  // namespace portloom::upstream
