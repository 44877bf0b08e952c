// pipeline/router.h
//
// RouteTable: which route a request belongs to. Immutable, compiled once per snapshot, shared by all workers; match() is a
// pure function and does not allocate (RE2's automaton grows within its budget). Who wins: host (exact, then the longest
// wildcard), then path (exact, then {name} segments, then the longest prefix, then a regex, then "every path"), then method,
// then most header conditions, then most query conditions; the order written decides only between equals.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "http/message.h"

namespace portloom::pipeline {

// What a match captured: {name} segments as they stand in the normalised path, {rest} of a prefix. Views into the path.
struct Params {
  static constexpr size_t count_max = 16;
  struct Param {
    std::string_view name;
    std::string_view value;
  };
  std::array<Param, count_max> items;
  size_t count = 0;
  std::optional<std::string_view> find(std::string_view name) const {
    for (size_t i = 0; i < count; ++i)
      if (items[i].name == name) return items[i].value;
    return std::nullopt;
  }
};

// A route as the table and the record know it.
struct Route {
  uint32_t index = 0;             // in the order written
  std::string name;               // the label: `name`, or "GET /v1/orders/{id}"
  uint16_t methods = 0;           // bits by http::Method; 0: every method
  std::vector<std::string> skip;  // kinds of listener policies left out
  std::string config;             // FILE:LINE
};

// A header field or query parameter that a request must have.
struct Condition {
  std::string name;
  std::string value;  // exactly this one
  bool any = false;   // or whatever value
};

// One way to a route: a (host, path) pattern with methods and conditions. A route with several paths has several.
struct Pattern {
  enum class Form : uint8_t { exact, prefix, regex };
  uint32_t route = 0;     // index into the routes
  uint16_t listener = 0;  // index of the listener it belongs to
  std::string host;       // "" any, "shop.example" exact, "*.shop.example" any depth of subdomains; lower case
  std::string path;       // "/a/{id}"; a prefix "/a" (matches /a and /a/..., by segment; "/" matches all); a regex for the whole path
  Form form = Form::exact;
  uint16_t methods = 0;
  std::vector<Condition> headers;
  std::vector<Condition> query;
};

// What of a request the table looks at. Views; they live as long as the look-up and what it captured.
struct Lookup {
  uint16_t listener = 0;
  http::Method method = http::Method::GET;
  std::string_view host;                   // in any case, with or without port
  std::string_view path;                   // normalised (http/path.h), without query
  std::string_view query;                  // without "?"
  const http::Headers* headers = nullptr;  // null: none
};
inline Lookup lookup_of(uint16_t listener, const http::RequestHead& request) {
  return {listener, request.method(), request.host(), request.path(), request.query(), &request.headers};
}

class RouteTable {
 public:
  static constexpr size_t rivals_max = 256;   // patterns of one host and path, which differ in method and conditions only
  static constexpr size_t regexes_max = 256;  // of one host: a request that no path fits is compared with each

  // Refuses (Code::invalid) malformed patterns: an unclosed brace, two equal names, more than Params::count_max names, and what is
  // over a bound. Two patterns equal in everything: the first one written wins.
  static Result<std::shared_ptr<const RouteTable>> compile(std::vector<Route> routes, std::vector<Pattern> patterns);

  struct Match {
    const Route* route = nullptr;
    uint16_t allowed_methods = 0;  // when route is null: the methods that would have a route; 0: there is no such path
  };
  // HEAD also takes a route for GET.
  Match match(const Lookup& asked, Params& params) const;
  const std::vector<Route>& routes() const { return routes_; }

  ~RouteTable();

 private:
  RouteTable();
  struct Tree;
  std::vector<Route> routes_;
  std::unique_ptr<Tree> tree_;
};

}  // namespace portloom::pipeline
