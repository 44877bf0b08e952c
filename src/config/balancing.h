// config/balancing.h
//
// Which endpoint of a service a request goes to, as a user writes it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/duration.h"
#include "config/place.h"

namespace portloom::config {

enum class Balance : uint8_t { peak_ewma, least_request, round_robin, random, ring_hash, maglev };
inline std::vector<data::Choice> choices_of(Balance) {
  return {{"peak_ewma", Balance::peak_ewma}, {"least_request", Balance::least_request}, {"round_robin", Balance::round_robin},
          {"random", Balance::random},       {"ring_hash", Balance::ring_hash},         {"maglev", Balance::maglev}};
}
// What a request carries decides, and not how busy an endpoint is.
inline bool hashes(Balance balance) { return balance == Balance::ring_hash || balance == Balance::maglev; }

struct Balancing {
  Balance algorithm = Balance::peak_ewma;
  std::vector<std::string> by;

  void visit(this auto& self, auto& field) {
    using namespace data::rules;
    field("algorithm", self.algorithm, short_form,
          "How an endpoint is chosen: of two at random the one that answers sooner, counting who waits there (peak_ewma), or the one with "
          "fewer requests (least_request); in turn (round_robin); at random; by what `by` names, the same one for the same value "
          "(ring_hash, maglev).");
    field("by", self.by, expression, at_most(8),
          "With ring_hash and maglev: what keeps to one endpoint, the first of these that is there. Without it: client.address. A request "
          "without a value goes as with peak_ewma.");
  }
  void check(data::Checker& checker) const {
    if (!by.empty() && !hashes(algorithm)) checker.error("by", "only ring_hash and maglev choose by a value", "write algorithm: maglev");
  }
};

// SameSite of a cookie (draft-ietf-httpbis-rfc6265bis §4.1.2.7).
enum class SameSite : uint8_t { lax, strict, none };
inline std::vector<data::Choice> choices_of(SameSite) {
  return {{"lax", SameSite::lax}, {"strict", SameSite::strict}, {"none", SameSite::none}};
}

struct Sticky {
  std::string cookie;
  std::string header;
  data::Secret key;
  std::optional<Duration> max_age;
  std::string path = "/";
  bool secure = true;
  SameSite same_site = SameSite::lax;

  void visit(this auto& self, auto& field) {
    using namespace data::rules;
    field("cookie", self.cookie, valid(data::is_header_name, "a cookie's name"), "The cookie that names the instance.");
    field("header", self.header, valid(data::is_header_name, "a header name"),
          "Instead of `cookie`: the header field that names it, in answers and in the requests that follow.");
    field("key", self.key, required,
          "What the names are made with, 32 characters or more: {file: } or {env: }. All gateways in front of the service have the same.");
    field("max_age", self.max_age, at_least(Duration(1s)), "How long a browser keeps the cookie. Without it: until it is closed.");
    field("path", self.path, "The cookie's path.");
    field("secure", self.secure, "Whether browsers send the cookie over TLS alone.");
    field("same_site", self.same_site, "With which requests of other sites browsers send the cookie.");
  }
  void check(data::Checker& checker) const {
    if (cookie.empty() == header.empty())
      checker.error("", "an instance is named by a cookie or by a header field", "write cookie: instance");
    if (!header.empty())
      for (std::string_view name : {"max_age", "path", "secure", "same_site"})
        if (checker.written(name)) checker.error(name, "this is for a cookie");
    if (same_site == SameSite::none && !secure) checker.error("same_site", "browsers refuse such a cookie unless it is secure");
    bool plain = path.starts_with('/');
    for (char c : path) plain &= c > ' ' && c < 0x7f && c != ';';
    if (!plain) checker.error("path", "a cookie's path begins with / and has no ; and no spaces");
  }
};

}  // namespace portloom::config
