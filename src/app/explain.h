// app/explain.h
//
// What would become of a request: which rules were tried and why each was rejected, the chain that would run with the line of each
// policy, where it would go. Nothing is sent. Control thread, or a command of its own.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "app/sights.h"
#include "compose/outline.h"
#include "config/load.h"
#include "pipeline/router.h"
#include "pipeline/verdict.h"
#include "policy/build.h"
#include "upstream/breaker.h"
#include "upstream/endpoints.h"
#include "upstream/health.h"

namespace portloom::app {

struct Question {
  std::string method = "GET";
  std::string url;  // "https://shop.example/a?b", or "/a?b" with the host among the headers
  std::vector<std::pair<std::string, std::string>> headers;
  std::string listener;  // empty: the only one, or the one whose port the URL names
  std::string from = "127.0.0.1";
};

struct Explanation {
  struct Rule {
    std::string name;
    std::string place;  // FILE:LINE
    pipeline::Verdict::Reason reason = pipeline::Verdict::Reason::chosen;
    std::string why;
  };
  struct Step {
    std::string level;   // listener, route, service; "usual" for what nobody wrote
    std::string policy;  // "timeout: 3s"
    std::string place;
    std::string note;  // "skipped by the route", "key is the client's address: 127.0.0.1; flood: 41 of 300 left"
  };
  // A service that the request may go to; of a split or a composition there are several.
  struct Way {
    std::string service;
    std::string place;
    std::string share;  // "5%"; empty: it is the only one
    bool chosen = true;
    std::string request;  // "GET /orders/7 with the host orders.internal"; of a composition its call says it
    std::string refusal;  // in place of it: "400: the query parameter "id" is missing"
    std::vector<Step> steps;
    std::vector<std::string> endpoints;
    std::string pick;
    Sights sights;  // of a running gateway
  };

  std::string request;  // "GET /a?b", as it is matched
  std::string host;
  std::string client;
  std::string listener;
  std::string listener_place;
  std::string listener_why;
  std::string refusal;  // the request is refused before any route is looked up
  std::vector<Rule> rules;
  size_t omitted = 0;  // rules that are not listed
  std::string route;   // empty: none
  std::string route_place;
  // "404", "405 with Allow: GET", "308 to https://…", "200, an answer of the gateway's own", "to catalog", "3 calls in 2 stages"
  std::string outcome;
  std::vector<std::pair<std::string, std::string>> captured;
  std::vector<Step> steps;
  std::vector<compose::Outline> compositions;  // the destination, and those that it asks
  std::vector<Way> ways;
};

inline constexpr size_t rules_listed_max = 20;  // of those that are rejected; the nearest ones

// What only a running gateway knows.
struct Running {
  using Look = std::function<Sights(const std::string& service)>;
  const policy::States* limits = nullptr;
  const upstream::EndpointsByService* endpoints = nullptr;
  const upstream::CircuitsByService* circuits = nullptr;
  const upstream::HealthByService* health = nullptr;
  Look look{};
};

// `table` was compiled from `loaded`, which has a document. Code::invalid: the question makes no sense, and why.
Result<Explanation> explain(const config::Loaded& loaded, const pipeline::RouteTable& table, const Question& question,
                            const Running& running = {});

std::string explain_text(const Explanation& explanation);
std::string explain_json(const Explanation& explanation);

// "timeout: 3s": a policy or destination on one line, without what is as it would be anyway; and the same cut off where it is long.
std::string part_text(const data::Part& part);
std::string policy_text(const data::Part& part);

}  // namespace portloom::app
