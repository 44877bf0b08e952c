// upstream/cluster.cpp
//
// One call: pick, lease, exchange. What failed is said as a fact; policies in front decide what follows.
#include "upstream/cluster.h"

#include <algorithm>
#include <unordered_map>

#include "pipeline/exchange.h"
#include "pipeline/grpc.h"
#include "pipeline/problem.h"
#include "upstream/proxy_header.h"
#include "upstream/sign.h"

namespace portloom::upstream {

using pipeline::Request;
using pipeline::Response;

namespace {
constexpr int unseen_max = 2;  // repetitions of what an HTTP/2 connection refused unseen

std::shared_ptr<const Endpoints> fixed(const std::vector<Target>& targets, config::Balance balance) {
  Instances instances;
  for (const Target& target : targets) instances.push_back({target.address, 1, target.host});
  instances.table = HashTable::make(balance, instances);
  auto published = std::make_shared<Endpoints>();
  published->set(std::make_shared<const Instances>(std::move(instances)));
  return published;
}
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
    connection_->socket().watch();                     // the origin may close it while nobody reads
    endpoint_.idle.push_back(std::move(connection_));  // of one that leaves they go with it
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

// How one call goes, for the balancer and for the service's health.
class Cluster::Account {
 public:
  Account(Endpoint& endpoint, const Request& request)
      : stopwatch_(endpoint, request.exchange.now()), seat_(endpoint.seat.get()), request_(request), begun_(request.exchange.now()) {}
  Account(const Account&) = delete;
  ~Account() {
    if (seat_ != nullptr) say(sign_of_silence(request_, request_.exchange.now()));
  }
  // The call goes on at another endpoint, after it has failed at one.
  void begin(Endpoint& endpoint) {
    begun_ = request_.exchange.now();
    stopwatch_.begin(endpoint, begun_);
    seat_ = endpoint.seat.get();
  }
  void answered(const http::Response& answer) {
    Instant now = request_.exchange.now();
    stopwatch_.answered(answer.status, now, answer.headers.find(http::Name::retry_after).value_or(""));
    if (seat_ != nullptr) say(sign_of(answer.status, answer.headers));
  }
  void failed(const Error& error) {
    if (error.side == Side::upstream) stopwatch_.failed(request_.exchange.now());
    if (seat_ != nullptr) say(sign_of(error));
  }

 private:
  void say(Sign sign) {
    Health::Seat& seat = *std::exchange(seat_, nullptr);
    Instant now = request_.exchange.now();
    if (sign == Sign::good || sign == Sign::pushed_back) seat.good(now - begun_);
    if (sign == Sign::failed || sign == Sign::gateway_error) seat.failed(sign == Sign::gateway_error, now);
  }
  Stopwatch stopwatch_;
  Health::Seat* seat_;  // null: it has been said, or nobody wants to know
  const Request& request_;
  Instant begun_;
};

Cluster::Cluster(const ClusterSettings& settings, const std::vector<Target>& endpoints, uint64_t seed)
    : Cluster(settings, fixed(endpoints, settings.balance), seed) {}

Cluster::Cluster(ClusterSettings settings, std::shared_ptr<const Endpoints> published, uint64_t seed)
    : settings_(std::move(settings)), published_(std::move(published)), balancer_(settings_.balance, seed, settings_.slow_start) {
  client_.heads = settings_.heads;
  client_.body_timeout = settings_.idle_timeout;
  client_.single_use = settings_.proxy_header.has_value();
  http2_.connect_timeout = settings_.connect_timeout;
  http2_.connections_max = settings_.connections_max;
  http2_.client = {.heads = settings_.heads, .body_timeout = settings_.idle_timeout};
  adopt_published();
  scope_.spawn(sweep, this);
}

std::unique_ptr<Endpoint> Cluster::make_endpoint(const Instance& instance) const {
  bool http2 = settings_.protocol != config::Protocol::http1;
  Dialer dialer(Target(instance.address, instance.host), settings_.tls, http2 && settings_.tls ? "h2" : "");
  auto endpoint = std::make_unique<Endpoint>(std::move(dialer));
  endpoint->key = key_of(instance);
  if (settings_.affinity.sticks()) endpoint->token = settings_.affinity.token(endpoint->key);
  if (settings_.health) endpoint->seat = std::make_unique<Health::Seat>(settings_.health, endpoint->key);
  if (http2) endpoint->http2 = std::make_unique<Http2Pool>(endpoint->dialer, http2_);
  return endpoint;
}

// An endpoint that stays keeps its connections and what was measured there. From one that goes nothing is taken that is in use.
void Cluster::adopt_published() {
  version_ = published_->version();  // before the look: what comes after it is seen next time
  std::shared_ptr<const Instances> instances = published_->get();
  table_ = instances != nullptr ? instances->table : nullptr;
  std::unordered_map<std::string, std::unique_ptr<Endpoint>> before;
  for (std::unique_ptr<Endpoint>& endpoint : endpoints_) before[endpoint->key] = std::move(endpoint);
  endpoints_.clear();
  for (const Instance& instance : instances != nullptr ? *instances : Instances()) {
    auto known = before.find(key_of(instance));
    if (known != before.end() && known->second != nullptr)
      endpoints_.push_back(std::move(known->second));
    else
      endpoints_.push_back(make_endpoint(instance));
    endpoints_.back()->weight = instance.weight;
  }
  for (auto& [text, endpoint] : before) {
    if (endpoint == nullptr) continue;
    endpoint->idle.clear();
    if (endpoint->active > 0) leaving_.push_back(std::move(endpoint));
  }
  adopt_health();
}

void Cluster::adopt_health() {
  std::vector<bool> usable(endpoints_.size(), true);
  if (settings_.health) {
    health_version_ = settings_.health->version();  // before the look, as above
    std::vector<const Health::Seat*> seats;
    for (const std::unique_ptr<Endpoint>& endpoint : endpoints_) seats.push_back(endpoint->seat.get());
    usable = settings_.health->usable(seats);
  }
  std::vector<Endpoint*> before = std::exchange(asked_, {});
  tokens_.clear();
  std::vector<Load*> loads;
  std::vector<uint32_t> places(endpoints_.size(), Balancer::nowhere);
  for (size_t i = 0; i < endpoints_.size(); ++i) {
    Endpoint& endpoint = *endpoints_[i];
    bool drains = endpoint.weight == 0;
    if (!usable[i] || drains) continue;
    bool comes = settings_.slow_start > Duration{} && !before.empty() && std::ranges::find(before, &endpoint) == before.end();
    if (comes) endpoint.warm_since = Agenda::current().now();
    places[i] = static_cast<uint32_t>(asked_.size());
    if (settings_.affinity.sticks()) tokens_.emplace(endpoint.token, asked_.size());
    asked_.push_back(&endpoint);
    loads.push_back(&endpoint);
  }
  balancer_.use(std::move(loads), table_, std::move(places));
}

Endpoint& Cluster::pick(Request& request) {
  ++request.call.attempts;
  Balancer::Wish wish;
  if (settings_.affinity.sticks()) {
    std::optional<std::string_view> shown = settings_.affinity.shown(request);
    auto known = shown ? tokens_.find(*shown) : tokens_.end();
    if (known != tokens_.end()) wish.index = known->second;
  }
  if (table_ != nullptr) wish.hash = settings_.affinity.hash(request);
  Endpoint& endpoint = *asked_[balancer_.pick(request.tried, request.exchange.now(), wish)];
  request.call.endpoint_text = endpoint.label;
  request.call.endpoint = request.call.endpoint_text;
  return endpoint;
}

// A client that has shown another name, or none, is told whom it has met. A failure ties nobody.
void Cluster::stay(const Endpoint& endpoint, const Request& request, Response& response) const {
  if (!settings_.affinity.sticks() || response.status >= 500) return;
  if (settings_.affinity.shown(request) != endpoint.token) settings_.affinity.tell(response.headers, endpoint.token);
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
  std::string header;
  if (settings_.proxy_header) header = proxy_header(*settings_.proxy_header, request.exchange);
  Result<io::Socket> socket = co_await endpoint.dialer.dial(begun + settings_.connect_timeout, std::move(header));
  request.call.connect += request.exchange.now() - begun;
  if (!socket) co_return std::unexpected(std::move(socket.error()));
  co_return std::make_unique<http::ClientConnection>(std::move(*socket), client_);
}

// Nothing of the request was sent, so this is no repetition that could do harm or that a budget should bound: an endpoint that
// was missed once is passed over by everybody for a while.
Endpoint* Cluster::another(Endpoint& endpoint, Account& account, Request& request, const Error& error, int missed) {
  account.failed(error);
  if (error.side != Side::upstream) return nullptr;
  Instant now = request.exchange.now();
  endpoint.unreachable = true;
  endpoint.avoided_until = now + Balancer::avoided_for;
  if (missed >= missed_max || !balancer_.has_other(request.tried, now)) return nullptr;
  Endpoint& next = pick(request);
  account.begin(next);
  return &next;
}

Task<Response> Cluster::call(Request& request) {
  request.call.service = settings_.name;
  catch_up();
  if (asked_.empty()) return ready(nobody());
  if (request.exchange.deadline != never) pipeline::pass_on_deadline(request);
  if (settings_.protocol != config::Protocol::http1) return call_http2(request);
  return call_http1(request);
}

void Cluster::catch_up() {
  if (published_->version() != version_) adopt_published();
  if (settings_.health && settings_.health->version() != health_version_) adopt_health();
}

std::vector<Sight> Cluster::look() {
  catch_up();
  Instant now = Agenda::current().now();
  std::optional<size_t> favourite = balancer_.favours(now);
  std::vector<Sight> sights;
  for (const std::unique_ptr<Endpoint>& endpoint : endpoints_) {
    Sight& sight = sights.emplace_back(Sight{.endpoint = endpoint->text, .key = endpoint->key, .active = endpoint->active});
    sight.latency = Duration(static_cast<int64_t>(endpoint->latency));
    if (endpoint->latency > 0) sight.measured_ago = now - endpoint->measured;
    sight.unreachable = endpoint->unreachable;
    sight.asked = std::ranges::find(asked_, endpoint.get()) != asked_.end();
    sight.coming = sight.asked && now - endpoint->warm_since < settings_.slow_start;
    sight.favoured = favourite && asked_[*favourite] == endpoint.get();
  }
  return sights;
}

Response Cluster::nobody() const { return pipeline::deny(Code::no_endpoint, Side::upstream, "no healthy instances for " + settings_.name); }

Task<Response> Cluster::call_http1(Request& request) {
  Endpoint* endpoint = &pick(request);
  Account account(*endpoint, request);
  int missed = 0;
  while (true) {
    auto lease = std::make_unique<Lease>(*endpoint);
    std::unique_ptr<http::ClientConnection> connection = pooled(*endpoint);
    bool kept_alive = connection != nullptr;
    if (!kept_alive) {
      Result<std::unique_ptr<http::ClientConnection>> fresh = co_await connect(*endpoint, request);
      if (!fresh) {
        endpoint = another(*endpoint, account, request, fresh.error(), ++missed);
        if (endpoint == nullptr) co_return pipeline::deny(std::move(fresh.error()));
        continue;
      }
      endpoint->unreachable = false;
      connection = std::move(*fresh);
    }
    lease->take(std::move(connection));
    Instant sent = request.exchange.now();
    Instant deadline = settings_.first_byte_timeout == Duration::max() ? never : request.exchange.now() + settings_.first_byte_timeout;
    Result<http::Response> answer = co_await lease->connection().exchange(request, {}, deadline);
    if (answer) {
      request.call.first_byte = request.exchange.now() - sent;
      request.call.answered = true;
      account.answered(*answer);
      Response response(std::move(*answer));
      stay(*endpoint, request, response);
      if (!lease->connection().reusable()) response.body.hold(std::move(lease));
      co_return response;
    }
    Error& error = answer.error();
    bool lost = error.code == Code::reset || error.code == Code::closed;
    // The origin closed a kept-alive connection as we used it (RFC 9110 §9.2.2, RFC 9112 §9.3.1): unseen by anybody.
    if (kept_alive && lost && http::is_idempotent(request.method()) && request.body.in_memory()) continue;
    account.failed(error);
    co_return pipeline::deny(std::move(error));
  }
}

Task<Response> Cluster::call_http2(Request& request) {
  Endpoint* endpoint = &pick(request);
  Account account(*endpoint, request);
  auto place = std::make_unique<Place>(*endpoint);
  int missed = 0;
  int again = 0;
  while (true) {
    http::Http2ClientConnection* connection = endpoint->http2->ready();
    if (connection == nullptr) {
      Instant begun = request.exchange.now();
      Result<http::Http2ClientConnection*> fresh = co_await endpoint->http2->wait();
      request.call.connect += request.exchange.now() - begun;
      if (!fresh) {
        endpoint = another(*endpoint, account, request, fresh.error(), ++missed);
        if (endpoint == nullptr) co_return pipeline::deny(std::move(fresh.error()));
        place = std::make_unique<Place>(*endpoint);
        continue;
      }
      endpoint->unreachable = false;
      connection = *fresh;
    }
    bool used = connection->used();
    Instant sent = request.exchange.now();
    Instant deadline = settings_.first_byte_timeout == Duration::max() ? never : sent + settings_.first_byte_timeout;
    Result<http::Response> answer = co_await connection->exchange(request, deadline);
    if (answer) {
      request.call.first_byte = request.exchange.now() - sent;
      request.call.answered = true;
      account.answered(*answer);
      Response response(std::move(*answer));
      stay(*endpoint, request, response);
      if (!response.body.in_memory() || response.tunnel != nullptr) response.body.hold(std::move(place));
      co_return response;
    }
    Error& error = answer.error();
    // Refused unseen, or behind the last request that a GOAWAY names (RFC 9113 §8.7); or a connection that was in use broke,
    // as one that is kept alive over HTTP/1.1 may.
    bool unseen = error.side == Side::upstream && error.code == Code::reset && error.progress == Progress::nothing;
    bool broke = used && again == 0 && error.code == Code::reset && http::is_idempotent(request.method()) && request.body.in_memory();
    if ((unseen || broke) && again++ < unseen_max) continue;
    account.failed(error);
    co_return pipeline::deny(std::move(error));
  }
}

Task<void> Cluster::sweep(Cluster* self) {
  while (true) {
    co_await sleep_for(1s);
    if (self->published_->version() != self->version_) self->adopt_published();
    std::erase_if(self->leaving_, [](const std::unique_ptr<Endpoint>& endpoint) { return endpoint->active == 0; });
    Instant oldest = Agenda::current().now() - self->settings_.pool_idle;
    for (std::unique_ptr<Endpoint>& endpoint : self->endpoints_) {
      if (endpoint->http2) endpoint->http2->sweep(oldest);
      std::erase_if(endpoint->idle,
                    [&](const auto& connection) { return connection->idle_since < oldest || !connection->fresh_for_lease(); });
    }
  }
}

}  // namespace portloom::upstream
