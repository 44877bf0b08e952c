// config/document.h
//
// The configuration as a user writes it: the YAML key is the field's name. A Document is made by config::load, checked as
// a whole, immutable afterwards, and shared by all threads. What later versions add is refused by name.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/duration.h"
#include "data/part.h"
#include "data/quantity.h"
#include "data/shape.h"
#include "data/value.h"

namespace portloom::config {

using data::Address;
using data::Named;
using data::Part;
using data::Position;
using data::Size;

struct PolicyPlace {
  static constexpr std::string_view name = "policy";
};
struct DestinationPlace {
  static constexpr std::string_view name = "destination";
};
using PolicyPart = data::PartAt<PolicyPlace>;
using DestinationPart = data::PartAt<DestinationPlace>;

bool is_name(std::string_view text);        // letters, digits, _ - . : what may label a metric
bool is_key_digest(std::string_view text);  // "sha256:" and 64 lower-case hex digits
bool is_host_pattern(std::string_view text);
bool is_method(std::string_view text);
bool is_path_pattern(std::string_view text);

struct Limits {
  std::optional<Size> memory;
  uint32_t connections = 50'000;
  std::optional<uint32_t> connections_per_address;
  Size headers{64 * 1024};
  Size uri{8 * 1024};
  std::optional<Size> body;
  Size buffered{1024 * 1024};

  void visit(this auto& self, auto& field) {
    using namespace data::rules;
    field("memory", self.memory, at_least(Size{16 * 1024 * 1024}), "Memory the process may take before it refuses new work. Without it: no bound.");
    field("connections", self.connections, at_least(1), "Client connections at a time, all listeners together.");
    field("connections_per_address", self.connections_per_address, at_least(1), "Client connections at a time from one address. Without it: no bound.");
    field("headers", self.headers, at_least(Size{1024}), at_most(Size{1024 * 1024}), "A message's header section, both ways. Over it: 431 or 502.");
    field("uri", self.uri, at_least(Size{256}), at_most(Size{64 * 1024}), "A request target. Over it: 414.");
    field("body", self.body, "A request body. Over it: 413. Without it streaming bodies have no bound.");
    field("buffered", self.buffered, at_least(Size{16 * 1024}), "Bytes of bodies that one request may hold in memory.");
  }
};

struct ListenerTimeouts {
  Duration headers = 10s;
  Duration idle = 60s;
  Duration body = 60s;
  Duration gone_grace = 500ms;

  void visit(this auto& self, auto& field) {
    using namespace data::rules;
    field("headers", self.headers, at_least(Duration(1ms)), "For a request's header section, from its first byte.");
    field("idle", self.idle, at_least(Duration(1ms)), "How long a connection may wait for its next request.");
    field("body", self.body, at_least(Duration(1ms)), "How long a request body, or the client's reading of an answer, may stand still.");
    field("gone_grace", self.gone_grace, "From a client's end of stream during a request until the client counts as gone.");
  }
};

// How much an answer of ours says about what went wrong.
enum class Errors : uint8_t { public_, internal };
inline std::vector<data::Choice> choices_of(Errors) { return {{"public", Errors::public_}, {"internal", Errors::internal}}; }

struct Listener {
  std::optional<uint16_t> port;
  std::optional<Address> address;
  ListenerTimeouts timeouts;
  std::vector<std::string> trusted_proxies;
  std::optional<Errors> errors;
  std::vector<PolicyPart> policies;
  DestinationPart to;
  Position at;

  void visit(this auto& self, auto& field) {
    using namespace data::rules;
    field("port", self.port, "The port, on all addresses of both families; 0 takes a free one. Or `address`.");
    field("address", self.address, "Where to listen: `10.0.0.5:8443`, `\"[::1]:8443\"`, `unix:/run/x.sock`. Or `port`.");
    field("timeouts", self.timeouts, "How long a client may take.");
    field("trusted_proxies", self.trusted_proxies, valid(data::is_network, "an address range like 10.0.0.0/8"), "Whose X-Forwarded-For is believed.");
    field("errors", self.errors, "public: type, title, status, request_id. internal: and blame, limit, service, file:line. Default: internal on loopback only.");
    field("policies", self.policies, "Run before any route answers, in this order.");
    field("to", self.to, "Where everything goes. A listener with its own `to` has no routes.");
    field.later("tls", "proxy_protocol");
  }
  void check(data::Checker& checker) const;
  Address bind() const { return address ? *address : Address{.host = {}, .port = port.value_or(0), .unix_path = {}}; }
  bool internal_errors() const { return errors ? *errors == Errors::internal : bind().is_loopback(); }
};

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
    field("keys", self.keys, valid(is_key_digest, "sha256: and 64 hex digits (`portloom key new` prints them)"), "Digests of its API keys; two live keys rotate.");
    field("groups", self.groups, "Groups it is in.");
  }
};

enum class Protocol : uint8_t { http1 };
inline std::vector<data::Choice> choices_of(Protocol) { return {{"http1", Protocol::http1}, data::Choice("http2"), data::Choice("grpc")}; }

enum class Balance : uint8_t { least_request, round_robin, random };
inline std::vector<data::Choice> choices_of(Balance) {
  return {{"least_request", Balance::least_request}, {"round_robin", Balance::round_robin}, {"random", Balance::random},
          data::Choice("peak_ewma"), data::Choice("ring_hash"), data::Choice("maglev")};
}

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
  Balance balance = Balance::least_request;
  Duration connect_timeout = 1s;
  std::optional<Duration> first_byte_timeout;
  Duration idle_timeout = 60s;
  Pool pool;
  std::vector<PolicyPart> policies;

  void visit_settings(this auto& self, auto& field) {
    using namespace data::rules;
    field("protocol", self.protocol, "What its endpoints speak.");
    field("balance", self.balance, "How an endpoint is chosen.");
    field("connect_timeout", self.connect_timeout, at_least(Duration(1ms)), "For a connection to an endpoint.");
    field("first_byte_timeout", self.first_byte_timeout, at_least(Duration(1ms)), "From the sent request to the answer's head. Without it: the request's deadline.");
    field("idle_timeout", self.idle_timeout, at_least(Duration(1ms)), "How long an answer's body may stand still.");
    field("pool", self.pool, "Connections kept to its endpoints.");
    field("policies", self.policies, "Run for every caller of the service.");
    field.later("tls", "health", "breaker", "outliers", "concurrency");
  }
  void visit(this auto& self, auto& field) { self.visit_settings(field); }
};

struct Service : ServiceSettings {
  std::string context;
  std::vector<Address> endpoints;
  Position at;

  void visit(this auto& self, auto& field) {
    using namespace data::rules;
    field("context", self.context, "The bounded context that owns it: a label in metrics and errors.");
    field("endpoints", self.endpoints, required, at_least(1), "Its instances, host:port each. Host names are resolved.");
    self.visit_settings(field);
    field.later("dns", "registry", "etcd", "consul", "descriptors", "sidecar");
  }
  void check(data::Checker& checker) const;
};

struct RouteDefaults {
  std::vector<PolicyPart> policies;

  void visit(this auto& self, auto& field) {
    field("policies", self.policies, "For every route that does not write the same kind itself; outermost.");
  }
};

// One level, no further inheritance.
struct Defaults {
  ServiceSettings service;
  RouteDefaults route;

  void visit(this auto& self, auto& field) {
    field("service", self.service, "What a service has that it does not say itself, key by key.");
    field("route", self.route, "What a route has that it does not say itself.");
    field.later("call");
  }
};

struct Match {
  std::vector<std::string> host;
  std::vector<std::string> method;
  std::vector<std::string> path;
  std::vector<std::string> path_prefix;

  void visit(this auto& self, auto& field) {
    using namespace data::rules;
    field("host", self.host, valid(is_host_pattern, "a host name or *.name"), "Host names, without port; `*.` stands for one or more labels.");
    field("method", self.method, valid(is_method, "a method like GET"), "Methods.");
    field("path", self.path, valid(is_path_pattern, "a path that begins with /"), "The exact path; `{name}` stands for one segment.");
    field("path_prefix", self.path_prefix, valid(is_path_pattern, "a path that begins with /"), "A path and all below it, by segment.");
    field.later("path_regex", "headers", "query");
  }
  void check(data::Checker& checker) const;
  bool empty() const { return host.empty() && method.empty() && path.empty() && path_prefix.empty(); }
};

// A route, or a group of routes when it has `routes` in place of `to`. Read resolved_routes() of the Document instead.
struct Route {
  std::string name;
  std::string listener;
  Match match;
  std::vector<PolicyPart> policies;
  std::vector<std::string> skip;
  DestinationPart to;
  std::vector<Route> routes;
  Position at;

  void visit(this auto& self, auto& field) {
    using namespace data::rules;
    field("name", self.name, "Its label everywhere. Without it: method and path, \"GET /v1/orders/{id}\".");
    field("listener", self.listener, "The listener it belongs to; needed once there are two.");
    field("match", self.match, "Which requests it takes. Who wins does not depend on the order of routes.");
    field("policies", self.policies, "Run after the listener's and the group's, in this order.");
    field("skip", self.skip, "Policies of its listener that it does without, by kind or name.");
    field("to", self.to, "Where its requests go.");
    field("routes", self.routes, "A group: these routes, which have its listener, match, policies and skip.");
  }
  void check(data::Checker& checker) const;
};

// A chain: a named list of policies.
struct ChainList {
  std::vector<PolicyPart> policies;
  void visit(this auto& self, auto& field) { field("policies", self.policies, data::rules::short_form, "The policies."); }
};

// The policy `{chain: NAME}`; gone once a Document is resolved.
struct ChainUse {
  std::string chain;
  void visit(this auto& self, auto& field) {
    using namespace data::rules;
    field("chain", self.chain, required, short_form, "A name under `chains`.");
  }
};

// The destination `{service: NAME}` or a bare NAME.
struct ServiceDestination {
  std::string service;
  void visit(this auto& self, auto& field) {
    using namespace data::rules;
    field("service", self.service, required, short_form, "A name under `services`; path and query go on unchanged.");
    field.later("path", "query", "rpc", "body", "method");
  }
};

// The destination `{response: {…}}`.
struct ResponseDestination {
  uint16_t status = 200;
  std::optional<std::string> body;
  Named<std::string> headers;

  void visit(this auto& self, auto& field) {
    using namespace data::rules;
    field("status", self.status, required, at_least(200), at_most(599), "The status.");
    field("body", self.body, "The body, as it stands.");
    field("headers", self.headers, valid(data::is_header_name, "a header name"), "Its header fields.");
  }
  void check(data::Checker& checker) const;
};

enum class LogFormat : uint8_t { json };
inline std::vector<data::Choice> choices_of(LogFormat) { return {{"json", LogFormat::json}}; }

struct AccessLog {
  std::string to = "stdout";
  LogFormat format = LogFormat::json;

  void visit(this auto& self, auto& field) {
    using namespace data::rules;
    field("to", self.to, short_form, "stdout, stderr, none, or a file's path (reopened on SIGUSR1).");
    field("format", self.format, "One JSON object per line.");
    field.later("sample", "redact");
  }
  void check(data::Checker& checker) const;
};

struct Metrics {
  uint32_t routes = 2000;
  void visit(this auto& self, auto& field) {
    field("routes", self.routes, data::rules::at_least(1), "Different route labels; what is over counts as \"other\".");
    field.later("tenants");
  }
};

struct Telemetry {
  AccessLog access_log;
  Metrics metrics;
  void visit(this auto& self, auto& field) {
    field("access_log", self.access_log, "One line per request.");
    field("metrics", self.metrics, "What the metrics page may grow to.");
    field.later("traces");
  }
};

struct Probes {
  std::optional<uint16_t> port;
  std::optional<Address> address;
  void visit(this auto& self, auto& field) {
    field("port", self.port, "The port, on all addresses.");
    field("address", self.address, "Or where to listen.");
  }
  void check(data::Checker& checker) const;
  Address bind() const { return address ? *address : Address{.host = {}, .port = port.value_or(0), .unix_path = {}}; }
};

struct Admin {
  Address address{.host = "127.0.0.1", .port = 9900, .unix_path = {}};
  std::optional<Probes> probes;
  Position at;
  void visit(this auto& self, auto& field) {
    field("address", self.address, "Where the admin API listens: status, explain, drain, reload. Or unix:/path.");
    field("probes", self.probes, "A second door with /healthz, /readyz and /metrics alone, for kubelets and Prometheus.");
  }
};

struct Drain {
  Duration delay{};
  Duration deadline = 30s;
  void visit(this auto& self, auto& field) {
    field("delay", self.delay, "From \"not ready\" until listeners close: time for balancers to notice.");
    field("deadline", self.deadline, "From then on until what still runs is cut.");
  }
};

// A route as the router takes it: groups, defaults, chains and skips are worked in.
struct ResolvedRoute {
  std::string name;
  std::string listener;
  Match match;
  std::vector<Part> listener_policies;  // the listener's, without what the route skips
  std::vector<Part> policies;           // defaults, group, route: outermost first
  std::vector<std::string> skip;
  Part to;
  Position at;
  std::string path;  // in the document: "routes[0].routes[2]"
};

struct Document {
  uint32_t version = 1;
  std::string context;
  Limits limits;
  Named<Listener> listeners;
  Named<ChainList> chains;
  Named<Consumer> consumers;
  Defaults defaults;
  Named<Service> services;
  std::vector<Route> routes;
  Telemetry telemetry;
  std::optional<Admin> admin;
  Drain drain;

  std::vector<ResolvedRoute> resolved;  // made by load(), in the order written

  void visit(this auto& self, auto& field) {
    using namespace data::rules;
    field.open();
    field("version", self.version, required, at_least(1), at_most(1), "The version of this language.");
    field("context", self.context, "Owner of what this file defines, unless it says its own.");
    field("limits", self.limits, "Bounds of the process and of one request.");
    field("listeners", self.listeners, required, at_least(1), valid(is_name, "a name of letters, digits, _ - and ."), "Doors for clients.");
    field("chains", self.chains, valid(is_name, "a name of letters, digits, _ - and ."), "Named lists of policies, used as `{chain: name}`.");
    field("consumers", self.consumers, valid(is_name, "a name of letters, digits, _ - and ."), "Known callers.");
    field("defaults", self.defaults, "One level of defaults for services and routes.");
    field("services", self.services, valid(is_name, "a name of letters, digits, _ - and ."), "Instances we call.");
    field("routes", self.routes, "What goes where.");
    field("telemetry", self.telemetry, "Access log and metrics.");
    field("admin", self.admin, "The admin API's private listener. Without it there is none.");
    field("drain", self.drain, "How the process ends.");
    field.later("include", "tokens", "tenancy", "plans", "frontends", "compositions", "migrations", "sagas", "stores", "discovery", "identity", "control");
  }
  // `policies` with every `{chain: NAME}` replaced by what the chain holds. Parts keep their config's address.
  std::vector<Part> expand(const std::vector<PolicyPart>& policies) const;
};

}  // namespace portloom::config
