// http/fetch.cpp
//
// Connect (every address of the host in turn), send, read to the end.
#include "http/fetch.h"

#include "async/race.h"
#include "base/text.h"

namespace portloom::http {

std::string Origin::authority() const {
  std::string text = host.find(':') == std::string::npos ? host : "[" + host + "]";
  if (port != (secure ? 443 : 80)) text += ":" + std::to_string(port);
  return text;
}

std::optional<Origin> Origin::parse(std::string_view text) {
  Origin origin;
  if (text.starts_with("https://"))
    origin.secure = true;
  else if (!text.starts_with("http://"))
    return std::nullopt;
  text.remove_prefix(origin.secure ? 8 : 7);
  if (text.ends_with('/')) text.remove_suffix(1);
  origin.port = origin.secure ? 443 : 80;
  size_t bracket = text.rfind(']');
  size_t colon = text.rfind(':');
  if (colon != std::string_view::npos && (bracket == std::string_view::npos || colon > bracket)) {
    std::optional<uint64_t> port = parse_number(text.substr(colon + 1));
    if (!port || *port == 0 || *port > 65535) return std::nullopt;
    origin.port = static_cast<uint16_t>(*port);
    text = text.substr(0, colon);
  }
  if (text.starts_with('[')) {
    if (!text.ends_with(']') || !io::Address::parse(std::string(text) + ":1")) return std::nullopt;
    text = text.substr(1, text.size() - 2);
  } else {
    for (char c : text)
      if (!is_alpha(c) && !is_digit(c) && c != '-' && c != '.' && c != '_') return std::nullopt;
  }
  if (text.empty() || text.size() > 253) return std::nullopt;
  origin.host = text;
  return origin;
}

Fetcher::Fetcher(Origin origin, Names& names, std::shared_ptr<io::TlsClientContext> tls, Settings settings)
    : origin_(std::move(origin)), names_(names), settings_(settings) {
  client_.body_timeout = settings_.silence_max;
  if (tls != nullptr) peer_ = tls->peer(origin_.host);
}

std::string Fetcher::local_host() const {
  if (connection_ == nullptr) return {};
  io::Address address = connection_->socket().local();
  return address.family() == AF_INET || address.family() == AF_INET6 ? address.host() : std::string();
}

Task<Result<std::vector<io::Address>>> Fetcher::resolve() {
  std::string host = origin_.host.find(':') == std::string::npos ? origin_.host : "[" + origin_.host + "]";
  std::optional<io::Address> written = io::Address::parse(host + ":0");
  if (written) co_return std::vector<io::Address>{*written};
  Result<std::vector<io::Address>> found = co_await names_.addresses(origin_.host);
  co_return std::move(found);
}

Task<Result<std::unique_ptr<ClientConnection>>> Fetcher::connect(Instant deadline) {
  std::optional<Result<std::vector<io::Address>>> found = co_await before(deadline, resolve());
  if (!found) co_return failure(Code::connect_timeout, Side::upstream, "no address of " + origin_.host + " in time");
  if (!*found) co_return std::unexpected(std::move(found->error()));
  Error last{Code::no_endpoint, Side::upstream, Progress::nothing, origin_.host + " has no address"};
  std::vector<io::Address> addresses = std::move(**found);
  for (const io::Address& address : addresses) {
    Instant limit = std::min(deadline, Agenda::current().now() + settings_.connect_timeout);
    io::Address target = address.with_port(origin_.port);
    std::optional<Result<io::Socket>> socket = co_await before(limit, io::connect(target));
    if (!socket) {
      last = {Code::connect_timeout, Side::upstream, Progress::nothing, "no connection to " + target.text() + " in time"};
      continue;
    }
    if (*socket && peer_ != nullptr) {
      io::TlsFacts facts;
      *socket = co_await io::connect_tls(std::move(**socket), peer_, limit, facts);
    }
    if (*socket) co_return std::make_unique<ClientConnection>(std::move(**socket), client_);
    last = std::move(socket->error());
    last.detail = target.text() + ": " + (last.detail.empty() ? std::string(name_of(last.code)) : last.detail);
  }
  co_return std::unexpected(std::move(last));
}

Task<Result<Fetcher::Answer>> Fetcher::ask(Question question, Instant deadline) {
  while (true) {
    bool stale = false;
    std::optional<Result<Answer>> answer = co_await before(deadline, try_once(question, deadline, stale));
    if (!answer) co_return failure(Code::upstream_timeout, Side::upstream, origin_.authority() + " does not answer in time");
    if (!*answer && stale) continue;  // the next connection is a fresh one
    co_return std::move(*answer);
  }
}

bool Fetcher::compose(const Question& question, Request& request) const {
  if (!request.assign(question.method, question.target)) return false;
  request.headers.add(Name::host, origin_.authority());
  for (const auto& [name, value] : question.fields) request.headers.add(name, value);
  if (!question.body.empty()) {
    request.headers.add(Name::content_type, "application/json");
    request.body = Body(Bytes::copy(question.body));
  }
  return true;
}

// `stale`: a connection that was kept alive was gone before it said anything.
Task<Result<Fetcher::Answer>> Fetcher::try_once(const Question& question, Instant deadline, bool& stale) {
  std::unique_ptr<ClientConnection> connection = std::move(connection_);
  bool kept = connection != nullptr && connection->fresh_for_lease();
  if (!kept) {
    Result<std::unique_ptr<ClientConnection>> fresh = co_await connect(deadline);
    if (!fresh) co_return std::unexpected(std::move(fresh.error()));
    connection = std::move(*fresh);
  }
  Request request;
  if (!compose(question, request)) co_return failure(Code::invalid, Side::gateway, "no request: " + question.target);
  Answer answer;
  {
    Result<Response> response = co_await connection->exchange(request, {}, deadline);
    if (!response) {
      stale = kept && (response.error().code == Code::reset || response.error().code == Code::closed);
      co_return std::unexpected(std::move(response.error()));
    }
    answer.status = response->status;
    while (true) {
      Result<Bytes> piece = co_await response->body.read();
      if (!piece) co_return std::unexpected(std::move(piece.error()));
      if (piece->empty()) break;
      if (answer.body.size() + piece->size() > settings_.answer_max)
        co_return failure(Code::body_too_large, Side::upstream, "the answer of " + origin_.authority() + " is too large");
      answer.body += piece->view();
    }
  }
  if (connection->reusable()) {
    connection->socket().watch();
    connection_ = std::move(connection);
  }
  co_return std::move(answer);
}

Task<Result<void>> Fetcher::listen(Question question, Instant deadline, Hear hear) {
  Result<std::unique_ptr<ClientConnection>> connection = co_await connect(deadline);
  if (!connection) co_return std::unexpected(std::move(connection.error()));
  Request request;
  if (!compose(question, request)) co_return failure(Code::invalid, Side::gateway, "no request: " + question.target);
  Result<Response> response = co_await (*connection)->exchange(request, {}, deadline);
  if (!response) co_return std::unexpected(std::move(response.error()));
  while (true) {
    Result<Bytes> piece = co_await response->body.read();
    if (!piece) co_return std::unexpected(std::move(piece.error()));
    if (piece->empty() || !hear(response->status, piece->view())) co_return Result<void>{};
  }
}

}  // namespace portloom::http
