// upstream/cluster.cpp
//
// One call: pick, lease, exchange. What failed is said as a fact; policies in front decide what follows.
#include "upstream/cluster.h"

#include <algorithm>

#include "pipeline/exchange.h"
#include "pipeline/grpc.h"
#include "pipeline/problem.h"

namespace portloom::upstream {

using pipeline::Request;
using pipeline::Response;

namespace {
constexpr Duration avoided_for = 1s;  // so often an endpoint that could not be reached is tried again
constexpr int unseen_max = 2;         // repetitions of what an HTTP/2 connection refused unseen
}  // namespace

// A place at the endpoint, held from before the connect on: those who connect at once count too. Gives the connection back,
// or closes it, when the response's body has ended or was dropped.
class Cluster::Lease final : public http::Guard {
 public:
  explicit Lease(Endpoint& endpoint) : endpoint_(endpoint) { ++endpoint_.active; }
  ~Lease() override {
    --endpoint_.active;
    if (connection_ == nullptr || !connection_->reusable()) return;
    connection_->idle_since = Agenda::current().now();
    connection_->socket().watch();  // the origin may close it while nobody reads
    endpoint_.idle.push_back(std::move(connection_));
  }
  http::ClientConnection& connection() { return *connection_; }
  void take(std::unique_ptr<http::ClientConnection> connection) { connection_ = std::move(connection); }

 private:
  Endpoint& endpoint_;
  std::unique_ptr<http::ClientConnection> connection_;
};

// The same where connections are shared.
class Cluster::Place final : public http::Guard {
 public:
  explicit Place(Endpoint& endpoint) : endpoint_(endpoint) { ++endpoint_.active; }
  ~Place() override { --endpoint_.active; }

 private:
  Endpoint& endpoint_;
};

Cluster::Cluster(ClusterSettings settings, std::vector<Target> endpoints, uint64_t seed) : settings_(std::move(settings)), random_(seed) {
  client_.heads = settings_.heads;
  client_.body_timeout = settings_.idle_timeout;
  http2_.connect_timeout = settings_.connect_timeout;
  http2_.connections_max = settings_.connections_max;
  http2_.client = {.heads = settings_.heads, .body_timeout = settings_.idle_timeout};
  bool http2 = settings_.protocol != config::Protocol::http1;
  for (Target& target : endpoints) {
    auto endpoint = std::make_unique<Endpoint>(Dialer(std::move(target), settings_.tls, http2 && settings_.tls ? "h2" : ""));
    if (http2) endpoint->http2 = std::make_unique<Http2Pool>(endpoint->dialer, http2_);
    endpoints_.push_back(std::move(endpoint));
  }
  scope_.spawn(sweep, this);
}

Endpoint& Cluster::pick(uint64_t tried, size_t& index) {
  size_t count = endpoints_.size();
  Instant now = Agenda::current().now();
  auto was_tried = [&](size_t i) { return i < 64 && ((tried >> i) & 1) != 0; };
  auto failed = [&](size_t i) { return was_tried(i) || (endpoints_[i]->unreachable && now < endpoints_[i]->avoided_until); };
  if (settings_.balance == config::Balance::round_robin) {
    index = next_++ % count;
  } else {
    index = count == 1 ? 0 : random_.below(count);
    if (settings_.balance == config::Balance::least_request && count > 1) {
      size_t other = random_.below(count - 1);
      if (other >= index) ++other;  // two different ones (Mitzenmacher, "The Power of Two Choices")
      if (failed(index) || (!failed(other) && endpoints_[other]->active < endpoints_[index]->active)) index = other;
    }
  }
  for (size_t step = 0; step < count && failed(index); ++step) index = (index + 1) % count;
  if (failed(index))  // all are: then any that this request has not tried
    for (size_t step = 0; step < count && was_tried(index); ++step) index = (index + 1) % count;
  Endpoint& picked = *endpoints_[index];
  if (picked.unreachable) picked.avoided_until = now + avoided_for;  // this request tries it, and no other meanwhile
  return picked;
}

std::unique_ptr<http::ClientConnection> Cluster::pooled(Endpoint& endpoint) {
  while (!endpoint.idle.empty()) {
    std::unique_ptr<http::ClientConnection> connection = std::move(endpoint.idle.back());
    endpoint.idle.pop_back();
    if (connection->fresh_for_lease()) return connection;
  }
  return nullptr;
}

Task<Result<std::unique_ptr<http::ClientConnection>>> Cluster::connect(Endpoint& endpoint, Request& request) {
  if (endpoint.active > settings_.connections_max)  // the caller's own place included
    co_return failure(Code::overloaded, Side::gateway,
                      "all " + std::to_string(settings_.connections_max) + " connections to " + endpoint.text + " are in use");
  Instant begun = request.exchange.now();
  Result<io::Socket> socket = co_await endpoint.dialer.dial(begun + settings_.connect_timeout);
  request.call.connect += request.exchange.now() - begun;
  if (!socket) co_return std::unexpected(std::move(socket.error()));
  co_return std::make_unique<http::ClientConnection>(std::move(*socket), client_);
}

Response Cluster::not_reached(Endpoint& endpoint, size_t index, Request& request, Error error) {
  if (index < 64) request.tried |= uint64_t{1} << index;
  if (error.side == Side::upstream) {
    endpoint.unreachable = true;
    endpoint.avoided_until = request.exchange.now() + avoided_for;
  }
  return pipeline::deny(std::move(error));
}

Task<Response> Cluster::call(Request& request) {
  request.call.service = settings_.name;
  if (endpoints_.empty()) return ready(pipeline::deny(Code::no_endpoint, Side::upstream, "no instances for " + settings_.name));
  if (request.exchange.deadline != never) pipeline::pass_on_deadline(request);
  if (settings_.protocol != config::Protocol::http1) return call_http2(request);
  return call_http1(request);
}

Task<Response> Cluster::call_http1(Request& request) {
  ++request.call.attempts;
  size_t index = 0;
  Endpoint& endpoint = pick(request.tried, index);
  request.call.endpoint = endpoint.text;
  while (true) {
    auto lease = std::make_unique<Lease>(endpoint);
    std::unique_ptr<http::ClientConnection> connection = pooled(endpoint);
    bool kept_alive = connection != nullptr;
    if (!kept_alive) {
      Result<std::unique_ptr<http::ClientConnection>> fresh = co_await connect(endpoint, request);
      if (!fresh) co_return not_reached(endpoint, index, request, std::move(fresh.error()));
      endpoint.unreachable = false;
      connection = std::move(*fresh);
    }
    lease->take(std::move(connection));
    Instant sent = request.exchange.now();
    Instant deadline = settings_.first_byte_timeout == Duration::max() ? never : request.exchange.now() + settings_.first_byte_timeout;
    Result<http::Response> answer = co_await lease->connection().exchange(request, {}, deadline);
    if (answer) {
      request.call.first_byte = request.exchange.now() - sent;
      request.call.answered = true;
      Response response(std::move(*answer));
      if (!lease->connection().reusable()) response.body.hold(std::move(lease));
      co_return response;
    }
    Error& error = answer.error();
    bool lost = error.code == Code::reset || error.code == Code::closed;
    // The origin closed a kept-alive connection as we used it (RFC 9110 §9.2.2, RFC 9112 §9.3.1): unseen by anybody.
    if (kept_alive && lost && http::is_idempotent(request.method()) && request.body.in_memory()) continue;
    if (index < 64 && error.side == Side::upstream) request.tried |= uint64_t{1} << index;
    co_return pipeline::deny(std::move(error));
  }
}

Task<Response> Cluster::call_http2(Request& request) {
  ++request.call.attempts;
  size_t index = 0;
  Endpoint& endpoint = pick(request.tried, index);
  request.call.endpoint = endpoint.text;
  auto place = std::make_unique<Place>(endpoint);
  for (int again = 0;; ++again) {
    http::Http2ClientConnection* connection = endpoint.http2->ready();
    if (connection == nullptr) {
      Instant begun = request.exchange.now();
      Result<http::Http2ClientConnection*> fresh = co_await endpoint.http2->wait();
      request.call.connect += request.exchange.now() - begun;
      if (!fresh) co_return not_reached(endpoint, index, request, std::move(fresh.error()));
      endpoint.unreachable = false;
      connection = *fresh;
    }
    bool used = connection->used();
    Instant sent = request.exchange.now();
    Instant deadline = settings_.first_byte_timeout == Duration::max() ? never : sent + settings_.first_byte_timeout;
    Result<http::Response> answer = co_await connection->exchange(request, deadline);
    if (answer) {
      request.call.first_byte = request.exchange.now() - sent;
      request.call.answered = true;
      Response response(std::move(*answer));
      if (!response.body.in_memory()) response.body.hold(std::move(place));
      co_return response;
    }
    Error& error = answer.error();
    // Refused unseen, or behind the last request that a GOAWAY names (RFC 9113 §8.7); or a connection that was in use broke,
    // as one that is kept alive over HTTP/1.1 may.
    bool unseen = error.side == Side::upstream && error.code == Code::reset && error.progress == Progress::nothing;
    bool broke = used && again == 0 && error.code == Code::reset && http::is_idempotent(request.method()) && request.body.in_memory();
    if ((unseen || broke) && again < unseen_max) continue;
    if (index < 64 && error.side == Side::upstream) request.tried |= uint64_t{1} << index;
    co_return pipeline::deny(std::move(error));
  }
}

Task<void> Cluster::sweep(Cluster* self) {
  while (true) {
    co_await sleep_for(1s);
    Instant oldest = Agenda::current().now() - self->settings_.pool_idle;
    for (std::unique_ptr<Endpoint>& endpoint : self->endpoints_) {
      if (endpoint->http2) endpoint->http2->sweep(oldest);
      std::erase_if(endpoint->idle,
                    [&](const auto& connection) { return connection->idle_since < oldest || !connection->fresh_for_lease(); });
    }
  }
}

}  // namespace portloom::upstream
