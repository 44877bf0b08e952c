// config/document.cpp
//
// What one structure of the document can check by itself.
#include "config/document.h"

#include <algorithm>

#include "base/text.h"
#include "data/regex.h"

namespace portloom::config {

bool is_name(std::string_view text) {
  for (char c : text)
    if (!is_alpha(c) && !is_digit(c) && c != '_' && c != '-' && c != '.') return false;
  return !text.empty() && text.size() <= 128;
}

bool is_key_digest(std::string_view text) {
  if (!text.starts_with("sha256:") || text.size() != 7 + 64) return false;
  for (char c : text.substr(7))
    if (!is_digit(c) && !(c >= 'a' && c <= 'f')) return false;
  return true;
}

bool is_host_pattern(std::string_view text) {
  if (text == "*") return true;
  if (text.starts_with("*.")) text.remove_prefix(2);
  if (text.starts_with("[") && text.ends_with("]"))
    return data::is_network(text.substr(1, text.size() - 2)) && text.find('/') == std::string_view::npos;
  for (char c : text)
    if (!is_alpha(c) && !is_digit(c) && c != '-' && c != '.' && c != '_') return false;
  return !text.empty() && text.size() <= 253 && text.front() != '.' && text.back() != '.' && text.find("..") == std::string_view::npos;
}

bool is_method(std::string_view text) {
  if (!data::is_header_name(text)) return false;  // the same grammar: token
  for (char c : text)
    if (c >= 'a' && c <= 'z') return false;
  return true;
}

bool is_path_pattern(std::string_view text) { return text.starts_with('/'); }

void Listener::check(data::Checker& checker) const {
  if (port && address) checker.error("address", "a listener has `port` or `address`, not both");
  if (!port && !address) checker.error("", "a listener needs `port` or `address`", "write port: 8080");
  if (proxy_protocol && trusted_proxies.empty() && !bind().is_unix())
    checker.warning("proxy_protocol", "whoever can connect may claim any address", "write the balancer's under trusted_proxies");
}

void Certificate::check(data::Checker& checker) const {
  if (client_certificate && client_ca.empty()) checker.error("client_certificate", "there is no `client_ca` beside it to check with");
}

void ListenerTls::check(data::Checker& checker) const {
  if (client_certificate && client_ca.empty()) checker.error("client_certificate", "there is no `client_ca` to check with");
}

void ServiceTls::check(data::Checker& checker) const {
  bool own_key = key.source != data::Secret::Source::none;
  if (own_key && cert.empty()) checker.error("key", "a `key` needs its `cert`");
  if (!own_key && !cert.empty()) checker.error("cert", "a `cert` needs its `key`");
  if (!verify && !ca.empty()) checker.error("ca", "with `verify: false` nobody looks at `ca`");
  if (!verify) checker.warning("verify", "any certificate is believed: whoever is on the way can read along", "use `ca`");
}

void Probes::check(data::Checker& checker) const {
  if (port.has_value() == address.has_value()) checker.error("", "probes need one of `port` and `address`");
}

void Dns::check(data::Checker& checker) const {
  for (const Address& server : servers) {
    bool numbers = !server.is_unix() && server.port != 0 && server.host.find_first_not_of("0123456789abcdefABCDEF.:") == std::string::npos;
    if (!numbers) checker.error("servers", server.text() + ": a name server needs an address and a port", "write 10.0.0.2:53");
  }
}

void Breaker::check(data::Checker& checker) const {
  if (checker.written("slow_rate") && !slow) checker.error("slow_rate", "no request is slow without `slow`", "write slow: 1s beside it");
  if (checker.written("open_for_max") && open_for_max < open_for)
    checker.error("open_for_max", "this is shorter than `open_for`, " + format_duration(open_for));
}

void Outliers::check(data::Checker& checker) const {
  if (checker.written("eject_for_max") && eject_for_max < eject_for)
    checker.error("eject_for_max", "this is shorter than `eject_for`, " + format_duration(eject_for));
}

bool is_check_path(std::string_view text) {
  return text.starts_with('/') && std::ranges::all_of(text, [](char c) { return c > 0x20 && c < 0x7f && c != '#'; });
}

void HealthCheck::check(data::Checker& checker) const {
  if (kind && *kind != CheckKind::http && checker.written("path")) checker.error("path", "a path is asked for with `kind: http` alone");
  if (kind && *kind != CheckKind::grpc && checker.written("grpc_service"))
    checker.error("grpc_service", "this is asked about with `kind: grpc` alone");
  if (grpc_service.size() > 100) checker.error("grpc_service", "a name of at most 100 characters");
  if (timeout > every) checker.error("timeout", "this is longer than `every`, " + format_duration(every));
}

void Service::check(data::Checker& checker) const {
  std::vector<std::string_view> sources;
  if (!endpoints.empty()) sources.emplace_back("endpoints");
  if (dns) sources.emplace_back("dns");
  if (!registry.empty()) sources.emplace_back("registry");
  if (!etcd.empty()) sources.emplace_back("etcd");
  if (sources.empty()) checker.error("", "\"endpoints\" is missing", "endpoints: [\"host:port\"], or one of dns, registry and etcd");
  if (sources.size() > 1)
    checker.error(sources[1], "a service has `" + std::string(sources[0]) + "` or `" + std::string(sources[1]) + "`, not both");
  if (!found().source.empty() && tls && tls->use == TlsUse::verified && tls->verify && tls->server_name.empty())
    checker.warning("tls", "a registered instance has an address and no name: its certificate is checked against that address",
                    "write server_name");
  bool all_draining = !endpoints.empty();
  for (const auto& [address, weight] : endpoints) all_draining = all_draining && weight == 0;
  if (all_draining) checker.error("endpoints", "every endpoint has the weight 0: nobody is left to ask");
  if (proxy_protocol && protocol != Protocol::http1)
    checker.error("proxy_protocol", "a connection of HTTP/2 serves many clients, and a PROXY header names one", "use protocol: http1");
  for (const auto& [endpoint, weight] : endpoints) {
    if (!endpoint.is_unix() && endpoint.host.empty())
      checker.error("endpoints", "an endpoint needs a host", "write 127.0.0.1" + endpoint.text());
    bool named = !endpoint.is_unix() || !tls || tls->use == TlsUse::none || !tls->verify || !tls->server_name.empty();
    if (!named) checker.error("tls", "a Unix socket has no name to check a certificate against", "write server_name");
    if (!endpoint.is_unix() && endpoint.port == 0) checker.error("endpoints", "an endpoint needs a port from 1 to 65535");
  }
}

namespace {

// Segments are literal or one whole {name}: what the router can index.
void check_spelling(std::string_view field, const std::string& path, data::Checker& checker) {
  for (char c : path)
    if (static_cast<unsigned char>(c) <= 0x20 || c == 0x7f) return checker.error(field, "a path has no spaces: " + path, "write %20");
  if (path.find('?') != std::string::npos)
    return checker.error(field, "a path holds no query: " + path, "match it with query: {name: value}");
  if (path.find('#') != std::string::npos) return checker.error(field, "no request has a # in its path: " + path);
  for (std::string_view rest = path; !rest.empty();) {
    rest.remove_prefix(1);
    std::string_view segment = rest.substr(0, rest.find('/'));
    rest.remove_prefix(segment.size());
    if (segment.find_first_of("{}") == std::string_view::npos) continue;
    bool whole = segment.size() > 2 && segment.front() == '{' && segment.find('}') == segment.size() - 1;
    std::string_view name = whole ? segment.substr(1, segment.size() - 2) : std::string_view();
    if (!is_name(name) || name.find('.') != std::string_view::npos)
      return checker.error(field, "a {name} is a whole segment, of letters, digits, _ and -: " + std::string(segment),
                           "a part of a segment is captured by path_regex");
  }
}

// What the router can take of a path with {name}s, beyond its spelling.
void check_names(std::string_view field, const std::string& path, data::Checker& checker) {
  std::vector<std::string_view> names;
  size_t segments = 0;
  for (std::string_view rest = path; !rest.empty(); ++segments) {
    rest.remove_prefix(1);
    std::string_view segment = rest.substr(0, rest.find('/'));
    rest.remove_prefix(segment.size());
    if (!segment.starts_with('{')) continue;
    if (std::find(names.begin(), names.end(), segment) != names.end())
      checker.error(field, "two segments of " + path + " are called " + std::string(segment));
    if (segment == "{rest}" && field == "path_prefix")
      checker.error(field, "{rest} is what follows a prefix", "give the segment another name");
    names.push_back(segment);
  }
  if (segments > 64) checker.error(field, "a path has at most 64 segments");
  if (names.size() > (field == "path" ? 16 : 15)) checker.error(field, "a path captures at most 16 values, {rest} included");
}

// Fields of one connection never reach a match, and the host has a key of its own.
void check_fields(const Named<std::string>& fields, data::Checker& checker) {
  for (const auto& [name, value] : fields) {
    for (std::string_view hop :
         {"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "content-length"})
      if (equals_ignoring_case(name, hop)) checker.error("headers", "\"" + name + "\" belongs to one connection and is not matched");
    if (equals_ignoring_case(name, "host")) checker.error("headers", "the host is not matched as a header field", "write host: NAME");
    for (const auto& [other, ignored] : fields)
      if (&other < &name && equals_ignoring_case(name, other)) checker.error("headers", "\"" + name + "\" is written twice");
  }
}

}  // namespace

void Match::check(data::Checker& checker) const {
  if ((path.empty() ? 0 : 1) + (path_prefix.empty() ? 0 : 1) + (path_regex.empty() ? 0 : 1) > 1)
    checker.error(path.empty()                     ? "path_regex"
                  : checker.written("path_prefix") ? "path_prefix"
                                                   : "path_regex",
                  "a match has one of `path`, `path_prefix` and `path_regex`", "write two routes");
  for (const std::string& one : path) check_spelling("path", one, checker);
  for (const std::string& one : path_prefix) check_spelling("path_prefix", one, checker);
  for (const std::string& one : path) check_names("path", one, checker);
  for (const std::string& one : path_prefix) check_names("path_prefix", one, checker);
  for (const std::string& one : path_regex) {
    Result<data::Regex> regex = data::Regex::compile(one);
    if (!regex) checker.error("path_regex", "not a regular expression: " + regex.error().detail);
    if (std::any_of(one.begin(), one.end(), [](char c) { return static_cast<unsigned char>(c) >= 0x80; }))
      checker.error("path_regex", "a path is matched as it is sent, in ASCII", "write bytes beyond it as %C3%A9");
  }
  check_fields(headers, checker);
  for (const auto* conditions : {&headers, &query})
    for (const auto& [name, value] : *conditions)
      if (value.find_first_of("{}") != std::string::npos)
        checker.error(conditions == &headers ? "headers" : "query",
                      "braces do not compute in a match: the value of " + name + " is literal");
}

void Route::check(data::Checker& checker) const {
  bool group = checker.written("routes");
  if (group && !to.empty()) checker.error("to", "a route has `to`, a group has `routes`; this has both");
  if (!group && to.empty()) checker.error("", "a route needs `to`, or `routes` when it is a group", "write to: NAME-OF-A-SERVICE");
  if (group && !name.empty()) checker.error("name", "a group has no name: its routes have");
  if (group && routes.empty()) checker.error("routes", "a group without routes");
}

namespace {
void check_share(data::Checker& checker, std::string_view key, Percent share) {
  if (share.fraction > 1) checker.error(key, "a share of all is at most 100%, found " + data::format_percent(share));
}
}  // namespace

void LogSample::check(data::Checker& checker) const {
  check_share(checker, "ok", ok);
  check_share(checker, "failed", failed);
}

void Traces::check(data::Checker& checker) const { check_share(checker, "sample", sample); }

bool is_redaction(std::string_view text) {
  if (text.starts_with("headers.")) return data::is_header_name(text.substr(8));
  return text.starts_with("query.") && text.size() > 6;
}

void AccessLog::check(data::Checker& checker) const {
  if (to == "stdout" || to == "stderr" || to == "none") return;
  if (to == "off") return checker.error("to", "\"off\" is read as false by some YAML tools", "write none");
  if (to.find('/') == std::string::npos)
    checker.error("to", "expected stdout, stderr, none or a path, found \"" + to + "\"", "a path has a slash: ./" + to);
}

std::vector<Part> Document::expand(const std::vector<PolicyPart>& policies) const {
  std::vector<Part> expanded;
  for (const PolicyPart& part : policies) {
    const ChainUse* use = part.as<ChainUse>();
    if (use == nullptr) {
      expanded.push_back(part);
      continue;
    }
    const ChainList* chain = chains.find(use->chain);
    if (chain == nullptr) continue;                  // load() has refused it
    for (const PolicyPart& inner : chain->policies)  // a chain in a chain was refused too
      if (inner.kind != "chain") expanded.push_back(inner);
  }
  return expanded;
}

}  // namespace portloom::config
