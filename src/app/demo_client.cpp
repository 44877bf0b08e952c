// app/demo_client.cpp
//
// Connect, exchange, read to the end.
#include "app/demo_client.h"

#include "async/race.h"

namespace portloom::app {

Task<Result<void>> DemoClient::connect(Instant deadline) {
  if (connection_ != nullptr && connection_->fresh_for_lease()) co_return Result<void>{};
  connection_.reset();
  std::optional<Result<io::Socket>> socket = co_await before(deadline, io::connect(address_));
  if (!socket) co_return failure(Code::connect_timeout, Side::upstream, "no connection in time");
  if (!*socket) co_return std::unexpected(std::move(socket->error()));
  connection_ = std::make_unique<http::ClientConnection>(std::move(**socket), settings_);
  co_return Result<void>{};
}

Task<Result<DemoClient::Reply>> DemoClient::ask(http::Method method, std::string path, std::string form) {
  Instant deadline = Agenda::current().now() + patience;
  Result<void> connected = co_await connect(deadline);
  if (!connected) co_return std::unexpected(std::move(connected.error()));
  http::Request request(http::text_of(method), path);
  request.headers.add(http::Name::host, address_.text());
  if (!form.empty()) {
    request.headers.add(http::Name::content_type, "application/x-www-form-urlencoded");
    request.body = http::Body(Bytes::copy(form));
  }
  Result<http::Response> response = co_await connection_->exchange(request, {}, deadline);
  if (!response) co_return std::unexpected(std::move(response.error()));
  Reply reply{response->status, std::move(response->headers), {}};
  while (true) {
    Result<Bytes> piece = co_await response->body.read();
    if (!piece) co_return std::unexpected(std::move(piece.error()));
    if (piece->empty()) break;
    reply.body += piece->view();
  }
  co_return std::move(reply);
}

}  // namespace portloom::app
