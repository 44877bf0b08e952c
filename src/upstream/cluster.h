// upstream/cluster.h
//
// Cluster: a service's endpoints on one worker, with their pools. Chooses by power of two choices over requests in flight,
// connects within connect_timeout, bounds connections per endpoint, closes idle ones. Lives in the Plan.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "async/scope.h"
#include "base/random.h"
#include "config/document.h"
#include "http/client_connection.h"
#include "pipeline/service.h"
#include "upstream/dial.h"
#include "upstream/http2_pool.h"

namespace portloom::upstream {

struct Endpoint {
  explicit Endpoint(Dialer way) : dialer(std::move(way)), text(dialer.text()) {}
  Dialer dialer;
  std::string text;
  std::vector<std::unique_ptr<http::ClientConnection>> idle;  // HTTP/1.1; the last one was used last
  std::unique_ptr<Http2Pool> http2;                           // null: it speaks HTTP/1.1
  uint32_t active = 0;                                        // requests in flight, this worker
  bool unreachable = false;                                   // the last connection did not come about
  Instant avoided_until{};                                    // while unreachable; then one request tries it
};

struct ClusterSettings {
  std::string name;
  config::Protocol protocol = config::Protocol::http1;
  config::Balance balance = config::Balance::least_request;
  Duration connect_timeout = 1s;
  Duration first_byte_timeout = Duration::max();
  Duration idle_timeout = 60s;
  Duration pool_idle = 30s;
  uint32_t connections_max = 1024;  // per endpoint, this worker
  http::Limits heads;
  std::shared_ptr<io::TlsClientContext> tls;  // null: endpoints are spoken to in plain text
};

class Cluster final : public pipeline::Service {
 public:
  Cluster(ClusterSettings settings, std::vector<Target> endpoints, uint64_t seed);
  // Answers come as Response; failures of the upstream as 502, 503 or 504 with a fault.
  [[clang::coro_wrapper]] Task<pipeline::Response> call(pipeline::Request& request) override;
  const std::vector<std::unique_ptr<Endpoint>>& endpoints() const { return endpoints_; }

 private:
  class Lease;
  class Place;
  Task<pipeline::Response> call_http1(pipeline::Request& request);
  Task<pipeline::Response> call_http2(pipeline::Request& request);
  // No connection to it came about, for `error`.
  pipeline::Response not_reached(Endpoint& endpoint, size_t index, pipeline::Request& request, Error error);
  // Another than those in `tried`, and one that could be reached lately, where there is one.
  Endpoint& pick(uint64_t tried, size_t& index);
  Task<Result<std::unique_ptr<http::ClientConnection>>> connect(Endpoint& endpoint, pipeline::Request& request);
  std::unique_ptr<http::ClientConnection> pooled(Endpoint& endpoint);
  static Task<void> sweep(Cluster* self);

  ClusterSettings settings_;
  http::ClientSettings client_;
  Http2Pool::Settings http2_;
  std::vector<std::unique_ptr<Endpoint>> endpoints_;
  Random random_;
  size_t next_ = 0;
  Scope scope_;  // last: its child looks at the endpoints
};

}  // namespace portloom::upstream
