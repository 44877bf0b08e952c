// upstream/cluster.h
//
// Cluster: a service's endpoints on one worker, with their pools. Lets the Balancer choose, connects within connect_timeout,
// goes on to another endpoint where nobody answers, bounds connections per endpoint, closes idle ones. Kept from plan to plan
// while the service is configured as before.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "async/scope.h"
#include "config/document.h"
#include "http/client_connection.h"
#include "io/proxy_protocol.h"
#include "pipeline/service.h"
#include "upstream/affinity.h"
#include "upstream/balance.h"
#include "upstream/dial.h"
#include "upstream/endpoints.h"
#include "upstream/health.h"
#include "upstream/http2_pool.h"

namespace portloom::upstream {

struct Endpoint : Load {
  explicit Endpoint(Dialer way) : dialer(std::move(way)), text(dialer.text()), label(Bytes::copy(text)) {}
  Dialer dialer;
  std::string text;
  std::string key;                                            // key_of its instance
  std::string token;                                          // how clients that stay with it call it
  Bytes label;                                                // its text, for records that outlive the endpoint
  std::vector<std::unique_ptr<http::ClientConnection>> idle;  // HTTP/1.1; the last one was used last
  std::unique_ptr<Http2Pool> http2;                           // null: it speaks HTTP/1.1
  std::unique_ptr<Health::Seat> seat;                         // null: nobody looks at how it is
};

// An endpoint as one worker sees it just now.
struct Sight {
  std::string endpoint;      // its address
  std::string key;           // key_of its instance
  uint32_t active = 0;       // requests under way there
  Duration latency{0};       // until the answer's head, by peak EWMA; 0: none has come yet
  Duration measured_ago{0};  // when that was
  bool unreachable = false;  // the last connection did not come about
  bool asked = true;         // it may be chosen: it is well enough, and does not drain
  bool coming = false;       // it has come lately and gets a part of its share (slow_start)
  bool favoured = false;     // Balancer::favours
};

struct ClusterSettings {
  std::string name;
  config::Protocol protocol = config::Protocol::http1;
  config::Balance balance = config::Balance::peak_ewma;
  Affinity affinity;  // with a `balance` that hashes: by what; and whether clients stay
  Duration connect_timeout = 1s;
  Duration first_byte_timeout = Duration::max();
  Duration idle_timeout = 60s;
  Duration pool_idle = 30s;
  uint32_t connections_max = 1024;  // per endpoint, this worker
  http::Limits heads;
  std::shared_ptr<io::TlsClientContext> tls;  // null: endpoints are spoken to in plain text
  std::shared_ptr<Health> health;             // null: every endpoint is asked
  Duration slow_start{0};
  std::optional<io::ProxyVersion> proxy_header;  // each connection is made for one client, and says so; HTTP/1.1 only
};

class Cluster final : public pipeline::Service {
 public:
  static constexpr int missed_max = 3;  // endpoints that one call tries to connect to
  Cluster(ClusterSettings settings, std::shared_ptr<const Endpoints> published, uint64_t seed);
  // With endpoints that never change.
  Cluster(const ClusterSettings& settings, const std::vector<Target>& endpoints, uint64_t seed);
  // Answers come as Response; failures of the upstream as 502, 503 or 504 with a fault.
  [[clang::coro_wrapper]] Task<pipeline::Response> call(pipeline::Request& request) override;
  const std::vector<std::unique_ptr<Endpoint>>& endpoints() const { return endpoints_; }
  // How a request that comes now would find the endpoints, by index. Its own worker.
  std::vector<Sight> look();

 private:
  class Account;
  class Lease;
  class Place;
  Task<pipeline::Response> call_http1(pipeline::Request& request);
  Task<pipeline::Response> call_http2(pipeline::Request& request);
  Endpoint& pick(pipeline::Request& request);
  void stay(const Endpoint& endpoint, const pipeline::Request& request, pipeline::Response& response) const;
  pipeline::Response nobody() const;
  // No connection to `endpoint` came about, for `error`: the `missed`th of this call. Another, which `account` then follows;
  // null when there is none that could be reached lately, or enough have been tried.
  Endpoint* another(Endpoint& endpoint, Account& account, pipeline::Request& request, const Error& error, int missed);
  Task<Result<std::unique_ptr<http::ClientConnection>>> connect(Endpoint& endpoint, pipeline::Request& request);
  std::unique_ptr<http::ClientConnection> pooled(Endpoint& endpoint);
  // What was published and found about health since the last look.
  void catch_up();
  void adopt_published();
  void adopt_health();
  std::unique_ptr<Endpoint> make_endpoint(const Instance& instance) const;
  static Task<void> sweep(Cluster* self);

  ClusterSettings settings_;
  http::ClientSettings client_;
  Http2Pool::Settings http2_;
  std::shared_ptr<const Endpoints> published_;
  uint64_t version_ = 0;                                 // of what was adopted
  std::shared_ptr<const HashTable> table_;               // the same; by index of endpoints_; null: nobody chooses by hash
  std::vector<std::unique_ptr<Endpoint>> endpoints_;     // by index
  std::vector<std::unique_ptr<Endpoint>> leaving_;       // published no more; requests are in flight there
  uint64_t health_version_ = 0;                          // of the verdicts that were adopted
  std::vector<Endpoint*> asked_;                         // of endpoints_, those that the balancer chooses from
  std::unordered_map<std::string_view, size_t> tokens_;  // of those, where clients stay
  Balancer balancer_;
  Scope scope_;  // last: its child looks at the endpoints
};

}  // namespace portloom::upstream
