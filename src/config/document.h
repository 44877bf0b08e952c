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
#include "config/composition.h"
#include "config/etcd.h"
#include "config/listener.h"
#include "config/place.h"
#include "config/registry.h"
#include "config/route.h"
#include "config/service.h"

namespace portloom::config {

struct RouteDefaults {
  std::vector<PolicyPart> policies;

  void visit(this auto& self, auto& field) {
    field("policies", self.policies, "For every route that does not write the same kind itself; outermost.");
  }
};

// One level, no further inheritance.
struct CallDefaults {
  Duration timeout = 2s;
  void visit(this auto& self, auto& field) {
    field("timeout", self.timeout, data::rules::at_least(Duration(1ms)), "From a call's start to the end of its answer.");
  }
};

struct Defaults {
  ServiceSettings service;
  RouteDefaults route;
  CallDefaults call;

  void visit(this auto& self, auto& field) {
    field("service", self.service, "What a service has that it does not say itself, key by key.");
    field("route", self.route, "What a route has that it does not say itself.");
    field("call", self.call, "What a composition's call has that it does not say itself.");
  }
};

enum class LogFormat : uint8_t { json };
inline std::vector<data::Choice> choices_of(LogFormat) { return {{"json", LogFormat::json}}; }

// Which share of the lines is written. A request failed when its status is 400 or above, its answer was degraded or not whole.
struct LogSample {
  Percent ok{1.0};
  Percent failed{1.0};

  void visit(this auto& self, auto& field) {
    field("ok", self.ok, "Of requests that went well.");
    field("failed", self.failed, "Of those with a status of 400 or above, degraded, or cut short.");
  }
  void check(data::Checker& checker) const;
};

// "headers.NAME" or "query.NAME", for rules::valid.
bool is_redaction(std::string_view text);

struct AccessLog {
  std::string to = "stdout";
  LogFormat format = LogFormat::json;
  LogSample sample;
  std::vector<std::string> redact = {"headers.authorization", "headers.cookie", "query.access_token", "query.api_key",
                                     "query.password",        "query.secret",   "query.token"};

  void visit(this auto& self, auto& field) {
    using namespace data::rules;
    field("to", self.to, short_form, "stdout, stderr, none, or a file's path (reopened on SIGUSR1).");
    field("format", self.format, "One JSON object per line.");
    field("sample", self.sample, "The share of lines that are written, apart for requests that went well and that failed.");
    field("redact", self.redact, valid(is_redaction, "headers.NAME or query.NAME"),
          "Whose values are never written: `***` stands in their place. A list of yours replaces the default.");
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

struct Traces {
  Percent sample{1.0};
  void visit(this auto& self, auto& field) {
    field("sample", self.sample, "Of the traces that begin here: the share whose services are asked to record them (traceparent's flag).");
    field.later("otlp");
  }
  void check(data::Checker& checker) const;
};

struct Telemetry {
  AccessLog access_log;
  Metrics metrics;
  Traces traces;
  void visit(this auto& self, auto& field) {
    field("access_log", self.access_log, "One line per request.");
    field("metrics", self.metrics, "What the metrics page may grow to.");
    field("traces", self.traces, "W3C Trace Context: a request's traceparent goes on; where there is none, a trace begins.");
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

struct Dns {
  std::vector<Address> servers;
  Duration keep_stale = 1h;
  void visit(this auto& self, auto& field) {
    field("servers", self.servers, "The name servers to ask, address:port each. Without it: those of /etc/resolv.conf.");
    field("keep_stale", self.keep_stale, "How long a last answer is used while no name server can say.");
  }
  void check(data::Checker& checker) const;
};

struct Discovery {
  Dns dns;
  std::optional<RegistryPlace> registry;
  std::optional<EtcdPlace> etcd;
  void visit(this auto& self, auto& field) {
    field("dns", self.dns, "How host names of endpoints are looked up.");
    field("registry", self.registry, "Where the registry is that services name with `registry: NAME`.");
    field("etcd", self.etcd, "Where the etcd cluster is that services name keys of with `etcd: PATH`.");
    field.later("consul");
  }
};

struct Document {
  uint32_t version = 1;
  std::string context;
  std::vector<std::string> include;  // worked in by load(), and empty afterwards
  Limits limits;
  Named<Listener> listeners;
  Named<ChainList> chains;
  Named<Consumer> consumers;
  Defaults defaults;
  Named<Service> services;
  Named<Composition> compositions;
  std::vector<Route> routes;
  Discovery discovery;
  Telemetry telemetry;
  std::optional<Admin> admin;
  Drain drain;

  std::vector<ResolvedRoute> resolved;  // made by load(), in the order written

  void visit(this auto& self, auto& field) {
    using namespace data::rules;
    field.open();
    field("version", self.version, required, at_least(1), at_most(1), "The version of this language.");
    field("context", self.context, "Owner of what this file defines, unless it says its own.");
    field("include", self.include,
          "Files whose maps unite with this one's and whose lists are appended; relative to this file, `*` fits any.");
    field("limits", self.limits, "Bounds of the process and of one request.");
    field("listeners", self.listeners, required, at_least(1), valid(is_name, "a name of letters, digits, _ - and ."), "Doors for clients.");
    field("chains", self.chains, valid(is_name, "a name of letters, digits, _ - and ."),
          "Named lists of policies, used as `{chain: name}`.");
    field("consumers", self.consumers, valid(is_name, "a name of letters, digits, _ - and ."), "Known callers.");
    field("defaults", self.defaults, "One level of defaults for services and routes.");
    field("services", self.services, valid(is_name, "a name of letters, digits, _ - and ."), "Instances we call.");
    field("compositions", self.compositions, valid(is_name, "a name of letters, digits, _ - and ."),
          "Several services as one answer, used as `to: {composition: name}`.");
    field("routes", self.routes, "What goes where.");
    field("discovery", self.discovery, "Where services' instances are found.");
    field("telemetry", self.telemetry, "Access log and metrics.");
    field("admin", self.admin, "The admin API's private listener. Without it there is none.");
    field("drain", self.drain, "How the process ends.");
    field.later("tokens", "tenancy", "plans", "frontends", "migrations", "sagas", "stores", "identity", "control");
  }
  // `policies` with every `{chain: NAME}` replaced by what the chain holds. Parts keep their config's address.
  std::vector<Part> expand(const std::vector<PolicyPart>& policies) const;
};

}  // namespace portloom::config
