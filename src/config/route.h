// config/route.h
//
// What goes where: routes and groups as written, and routes as the router takes them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/duration.h"
#include "config/destination.h"
#include "config/place.h"

namespace portloom::config {

struct Match {
  std::vector<std::string> host;
  std::vector<std::string> method;
  std::vector<std::string> path;
  std::vector<std::string> path_prefix;
  std::vector<std::string> path_regex;
  Named<std::string> headers;
  Named<std::string> query;

  static constexpr std::string_view any_value = "*";  // of a header field or a query parameter: whatever it is

  void visit(this auto& self, auto& field) {
    using namespace data::rules;
    field("host", self.host, valid(is_host_pattern, "a host name or *.name"),
          "Host names, without port; `*.` stands for one or more labels.");
    field("method", self.method, valid(is_method, "a method like GET"), "Methods.");
    field("path", self.path, valid(is_path_pattern, "a path that begins with /"), "The exact path; `{name}` stands for one segment.");
    field("path_prefix", self.path_prefix, valid(is_path_pattern, "a path that begins with /"), "A path and all below it, by segment.");
    field("path_regex", self.path_regex, "A regular expression (RE2) for the whole path; `(?P<name>…)` captures.");
    field("headers", self.headers, at_most(16), valid(data::is_header_name, "a header name"),
          "Header fields that are there, with exactly this value; `\"*\"` takes any.");
    field("query", self.query, at_most(16), "Query parameters that are there, with exactly this value; `\"*\"` takes any.");
  }
  void check(data::Checker& checker) const;
  bool has_path() const { return !path.empty() || !path_prefix.empty() || !path_regex.empty(); }
};

// What a route's answers are to be measured by (docs/availability.md); nothing is refused or cut because of it.
struct Objective {
  Duration latency{};
  void visit(this auto& self, auto& field) {
    using namespace data::rules;
    field("latency", self.latency, required, at_least(Duration(1ms)), "An answer is in time when its last byte is sent within this.");
  }
};

// A route, or a group of routes when it has `routes` in place of `to`. Read resolved_routes() of the Document instead.
struct Route {
  std::string name;
  std::string listener;
  Match match;
  std::vector<PolicyPart> policies;
  std::vector<std::string> skip;
  std::optional<Objective> objective;
  DestinationPart to;
  std::vector<Route> routes;
  Position at;

  void visit(this auto& self, auto& field) {
    using namespace data::rules;
    field("name", self.name, "Its label everywhere. Without it: method and path, \"GET /v1/orders/{id}\".");
    field("listener", self.listener, refers_to("listener"), "The listener it belongs to; needed once there are two.");
    field("match", self.match, "Which requests it takes. Who wins does not depend on the order of routes.");
    field("policies", self.policies, "Run after the listener's and the group's, in this order.");
    field("skip", self.skip, "Policies of its listener that it does without, by kind or name.");
    field("objective", self.objective, "What counts as good: a share of answers in /status and metrics. A group's holds for its routes.");
    field("to", self.to, "Where its requests go.");
    field("routes", self.routes, "A group: these routes, which have its listener, match, policies, skip and objective.");
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
    field("chain", self.chain, required, short_form, refers_to("chain"), "A name under `chains`.");
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
  Duration latency{};  // the objective's; 0: it has none
  Part to;
  Position at;
  std::string path;  // in the document: "routes[0].routes[2]"
};

}  // namespace portloom::config
