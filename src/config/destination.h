// config/destination.h
//
// What may stand at `to`. Each destination is a struct here and a Service in pipeline/ of the same name.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/place.h"

namespace portloom::config {

// What is changed of a request on its way to a service.
struct Rewrite {
  static constexpr size_t headers_max = 16;
  std::string path;
  std::optional<Named<std::string>> query;
  std::string host;
  Named<std::string> headers;

  bool empty() const { return path.empty() && !query && host.empty() && headers.empty(); }
  void visit_rewrite(this auto& self, auto& field) {
    using namespace data::rules;
    field("path", self.path, computes, "The path that the service sees. Without it: the request's own.");
    field("query", self.query, computes,
          "The whole query that the service sees; a parameter without a value is left out. Without it: the "
          "request's own.");
    field("host", self.host, computes, "The host that the service sees. Without it: the request's own.");
    field("headers", self.headers, computes, at_most(headers_max), valid(data::is_header_name, "a header name"),
          "Header fields that have this one value; one without a value is left out.");
  }
  void check_rewrite(data::Checker& checker) const;
};

// The destination `{service: NAME}` or a bare NAME.
struct ServiceDestination : Rewrite {
  std::string service;
  void visit(this auto& self, auto& field) {
    using namespace data::rules;
    field("service", self.service, required, short_form, refers_to("service"), "A name under `services`.");
    self.visit_rewrite(field);
    field.later("rpc", "body", "method");
  }
  void check(data::Checker& checker) const { check_rewrite(checker); }
};

// One side of a split.
struct SplitSide : Rewrite {
  std::string service;
  Percent share;
  void visit(this auto& self, auto& field) {
    using namespace data::rules;
    field("service", self.service, required, refers_to("service"), "A name under `services`.");
    field("share", self.share, required, at_most(Percent{1}), "How much of what `by` names, or of the requests, goes there.");
    self.visit_rewrite(field);
  }
  void check(data::Checker& checker) const { check_rewrite(checker); }
};

// The destination `{split: […], by: …}`.
struct SplitDestination {
  std::vector<SplitSide> split;
  std::vector<std::string> by;
  void visit(this auto& self, auto& field) {
    using namespace data::rules;
    field("split", self.split, required, at_least(2), at_most(16), "The services that share the requests; their shares are 100% together.");
    field("by", self.by, expression,
          "What stays on one side: the first of these that is there. Without it, or without a value: each request for itself.");
  }
  void check(data::Checker& checker) const;
};

// The destination `{redirect: {…}}`.
struct RedirectDestination {
  std::string location;
  uint16_t status = 308;
  std::string scheme;
  std::string host;
  std::optional<uint16_t> port;
  std::string path;
  void visit(this auto& self, auto& field) {
    using namespace data::rules;
    field("location", self.location, short_form, computes,
          "The whole URL; or the keys below, of which what is not written stays as it was.");
    field("status", self.status, "301, 302, 303, 307 or 308. 307 and 308 keep method and body.");
    field("scheme", self.scheme, one_of("http", "https"), "The new scheme.");
    field("host", self.host, valid(is_plain_host, "a host name"), "The new host.");
    field("port", self.port, at_least(1), "The new port. A new scheme without it has its usual port.");
    field("path", self.path, computes, "The new path; the query stays.");
  }
  void check(data::Checker& checker) const;
};

// The destination `{response: {…}}`.
struct ResponseDestination {
  uint16_t status = 200;
  std::optional<std::string> body;
  Named<std::string> headers;

  void visit(this auto& self, auto& field) {
    using namespace data::rules;
    field("status", self.status, required, at_least(200), at_most(599), "The status.");
    field("body", self.body, computes, "The body; `{{` is a brace. Values are escaped for its `content-type`.");
    field("headers", self.headers, computes, valid(data::is_header_name, "a header name"), "Its header fields.");
  }
  void check(data::Checker& checker) const;
};

// How values are escaped in a body of this type; nothing: nobody knows how.
enum class BodyForm : uint8_t { text, json, html };
std::optional<BodyForm> body_form(const Named<std::string>& headers);

}  // namespace portloom::config
