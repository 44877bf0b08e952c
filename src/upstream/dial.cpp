// upstream/dial.cpp
//
// Both steps under one deadline. What went wrong is said in words that name the endpoint.
#include "upstream/dial.h"

#include "async/agenda.h"
#include "async/race.h"

namespace portloom::upstream {

Dialer::Dialer(Target target, const std::shared_ptr<io::TlsClientContext>& tls, std::string_view protocol)
    : address_(std::move(target.address)), text_(address_.text()), protocol_(protocol) {
  if (tls != nullptr) peer_ = tls->peer(target.host);
}

Task<Result<io::Socket>> Dialer::dial(Instant deadline, std::string header) const {
  std::optional<Result<io::Socket>> socket = co_await before(deadline, io::connect(address_));
  if (!socket) co_return failure(Code::connect_timeout, Side::upstream, "no connection to " + text_ + " in time");
  if (*socket && !header.empty()) {
    bool said = co_await (*socket)->send(Bytes::copy(header), {}, deadline);
    if (!said) *socket = failure(Code::reset, Side::upstream, text_ + " does not take the PROXY header");
  }
  if (*socket && peer_ != nullptr) *socket = co_await secured(std::move(**socket), deadline);
  if (*socket) co_return std::move(**socket);
  Error error = std::move(socket->error());
  error.side = error.code == Code::exhausted ? Side::gateway : Side::upstream;
  error.progress = Progress::nothing;
  co_return std::unexpected(std::move(error));
}

Task<Result<io::Socket>> Dialer::secured(io::Socket raw, Instant deadline) const {
  io::TlsFacts facts;
  Result<io::Socket> socket = co_await io::connect_tls(std::move(raw), peer_, deadline, facts);
  if (!socket) {
    Error error = std::move(socket.error());
    error.detail = text_ + ": " + (error.detail.empty() ? "the TLS handshake failed" : error.detail);
    co_return std::unexpected(std::move(error));
  }
  if (!protocol_.empty() && facts.protocol != protocol_)
    co_return failure(Code::refused, Side::upstream, text_ + " does not agree on " + std::string(protocol_) + " by ALPN");
  co_return std::move(*socket);
}

}  // namespace portloom::upstream
