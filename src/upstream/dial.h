// upstream/dial.h
//
// Dialer: how a connection to one endpoint comes about: TCP, then TLS where the service asks for it. Owned by the endpoint;
// one worker.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "async/task.h"
#include "base/error.h"
#include "io/address.h"
#include "io/socket.h"
#include "io/tls.h"

namespace portloom::upstream {

// Where an endpoint is, and the host name that it was written with.
struct Target {
  Target(io::Address where, std::string written = {})  // NOLINT: an address alone is a target too
      : address(std::move(where)), host(std::move(written)) {}
  io::Address address;
  std::string host;  // what its certificate is checked against; an IP address is checked as one; empty: nothing
};

class Dialer {
 public:
  // `tls` null: it is spoken to in plain text. `protocol`: the ALPN name that it must choose; empty: any or none.
  Dialer(Target target, const std::shared_ptr<io::TlsClientContext>& tls, std::string_view protocol);
  Dialer(Dialer&&) = default;

  // By `deadline`, else Code::connect_timeout. Side::upstream, but for what is ours: Code::exhausted. `header` is said before
  // anything else, TLS included: a PROXY header.
  Task<Result<io::Socket>> dial(Instant deadline, std::string header = {}) const;
  const std::string& text() const { return text_; }  // "10.0.0.1:8080"
  bool secure() const { return peer_ != nullptr; }

 private:
  Task<Result<io::Socket>> secured(io::Socket raw, Instant deadline) const;

  io::Address address_;
  std::string text_;
  std::shared_ptr<io::TlsClientContext::Peer> peer_;  // null: plain text
  std::string_view protocol_;
};

}  // namespace portloom::upstream
