// config/service.h
//
// Instances we call, and callers we know.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/duration.h"
#include "config/balancing.h"
#include "config/breaker.h"
#include "config/concurrency.h"
#include "config/dns.h"
#include "config/etcd.h"
#include "config/health_check.h"
#include "config/outliers.h"
#include "config/place.h"
#include "config/tls.h"

namespace portloom::config {

struct Consumer {
  std::string tenant;
  std::string plan;
  std::vector<std::string> keys;
  std::vector<std::string> groups;
  Position at;

  void visit(this auto& self, auto& field) {
    using namespace data::rules;
    field("tenant", self.tenant, "Whom it belongs to.");
    field("plan", self.plan, "Its plan.");
    field("keys", self.keys, valid(is_key_digest, "sha256: and 64 hex digits (`portloom key new` prints them)"),
          "Digests of its API keys; two live keys rotate.");
    field("groups", self.groups, "Groups it is in.");
  }
};

enum class Protocol : uint8_t { http1, http2, grpc };
inline std::vector<data::Choice> choices_of(Protocol) {
  return {{"http1", Protocol::http1}, {"http2", Protocol::http2}, {"grpc", Protocol::grpc}};
}

// The header in front of a connection that says whose it is ("The PROXY protocol").
enum class ProxyHeader : uint8_t { v1, v2 };
inline std::vector<data::Choice> choices_of(ProxyHeader) { return {{"v1", ProxyHeader::v1}, {"v2", ProxyHeader::v2}}; }

struct Pool {
  uint32_t connections = 1024;
  Duration idle = 30s;

  void visit(this auto& self, auto& field) {
    using namespace data::rules;
    field("connections", self.connections, at_least(1), "Connections to one endpoint, per worker.");
    field("idle", self.idle, "How long an unused connection is kept.");
  }
};

// What `defaults.service` may set too.
struct ServiceSettings {
  Protocol protocol = Protocol::http1;
  Balancing balance;
  std::optional<Sticky> sticky;
  Duration connect_timeout = 1s;
  std::optional<Duration> first_byte_timeout;
  Duration idle_timeout = 60s;
  Pool pool;
  std::optional<ServiceTls> tls;
  std::optional<ProxyHeader> proxy_protocol;
  std::optional<HealthCheck> health;
  std::optional<Breaker> breaker;
  std::optional<Outliers> outliers;
  std::optional<Concurrency> concurrency;
  Duration slow_start{};
  std::vector<PolicyPart> policies;

  void visit_settings(this auto& self, auto& field) {
    using namespace data::rules;
    field("protocol", self.protocol, "What its endpoints speak.");
    field("balance", self.balance, "Which endpoint a request goes to: the name of an algorithm, or that and what it goes by.");
    field("sticky", self.sticky, "A client stays with the instance that answered it first. Without it: it does not.");
    field("connect_timeout", self.connect_timeout, at_least(Duration(1ms)), "For a connection to an endpoint.");
    field("first_byte_timeout", self.first_byte_timeout, at_least(Duration(1ms)),
          "From the sent request to the answer's head. Without it: the request's deadline.");
    field("idle_timeout", self.idle_timeout, at_least(Duration(1ms)), "How long an answer's body may stand still.");
    field("pool", self.pool, "Connections kept to its endpoints.");
    field("tls", self.tls, "TLS to its endpoints: true, or what is expected of them.");
    field("proxy_protocol", self.proxy_protocol,
          "Its connections begin with a PROXY header that names the client, of version v1 or v2. Each then serves one request. HTTP/1.1 "
          "only.");
    field("health", self.health, "Asks its instances whether they are well, and leaves out those that are not. Without it: nobody asks.");
    field("breaker", self.breaker, "Refuses requests at once while the service fails. Without it: none does.");
    field("outliers", self.outliers, "Leaves out instances that fail, or answer late, beside the others. Without it: none is.");
    field("concurrency", self.concurrency,
          "How many requests it has at once: `adaptive` finds out how many it can bear. Without it: as many as come.");
    field("slow_start", self.slow_start, at_most(Duration(1h)),
          "An instance that comes, or is well again, gets its full share of the requests only by and by, within this. 0s: at once.");
    field("policies", self.policies, "Run for every caller of the service.");
  }
  void visit(this auto& self, auto& field) { self.visit_settings(field); }
};

struct ServiceEndpoint {
  Address address;
  uint32_t weight = 1;

  bool operator==(const ServiceEndpoint&) const = default;
  void visit(this auto& self, auto& field) {
    using namespace data::rules;
    field("address", self.address, required, short_form, "Where it is, host:port or unix:/path.");
    field("weight", self.weight, at_most(1000),
          "Its share of the requests, beside those of the others. 0: none that are new; those under way go on.");
  }
};

struct Service : ServiceSettings {
  std::string context;
  std::vector<ServiceEndpoint> endpoints;
  std::optional<DnsPlace> dns;
  std::string registry;
  std::string etcd;
  Position at;

  void visit(this auto& self, auto& field) {
    using namespace data::rules;
    field("context", self.context, "The bounded context that owns it: a label in metrics and errors.");
    field("endpoints", self.endpoints, at_least(1), "Its instances, host:port each. Host names are resolved.");
    field("dns", self.dns, "Instead of `endpoints`: a name and a port, or a name of SRV records.");
    field("registry", self.registry, valid(is_name, "a name of letters, digits, _ - and ."),
          "Instead of `endpoints`: its name in the registry (discovery.registry), where its instances register themselves.");
    field("etcd", self.etcd, valid(is_etcd_path, "a path such as /services/orders"),
          "Or: its path in etcd (discovery.etcd). Its instances are the values of the keys that begin with it and a /.");
    self.visit_settings(field);
    field.later("consul", "descriptors", "sidecar");
  }
  void check(data::Checker& checker) const;
  // `endpoints`, or what `dns` names in their place; none where its SRV records say it.
  std::vector<ServiceEndpoint> written() const {
    if (dns && dns->srv.empty()) return {{dns->address, 1}};
    return endpoints;
  }
  // The name of its SRV records; empty: it has none.
  std::string srv() const { return dns ? dns->srv : std::string(); }
  // Who says where its instances are, and under which name; both empty: they are written.
  struct Found {
    std::string_view source;  // as its key is called: "registry", "etcd"
    std::string_view name;
  };
  Found found() const {
    if (!registry.empty()) return {"registry", registry};
    if (!etcd.empty()) return {"etcd", etcd};
    return {};
  }
};

}  // namespace portloom::config
