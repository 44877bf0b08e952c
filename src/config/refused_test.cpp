// config/refused_test.cpp
//
// Every kind of wrong document, with the message as a user sees it.
#include <gtest/gtest.h>

#include "config/load.h"

namespace portloom::config {
namespace {

struct Limit {
  std::string name;
  void visit(this auto& self, auto& field) { field("name", self.name, "Its name."); }
};

// What is shown for `text`, which stands below a head of four lines: lines count from 5.
std::string shown(std::string text) {
  Catalogue catalogue;
  catalogue.policy<Limit>("rate_limit", "Counts.");
  std::string head =
      "version: 1\nlisteners: {a: {port: 1, policies: [{chain: c}]}}\nchains: {c: [{rate_limit: {name: flood}}]}\nservices: {s: "
      "{endpoints: x:1}, t: {endpoints: y:1}}\n";
  return data::render(load_text("f", head + text, catalogue, [](std::string_view) { return std::optional<std::string>(); }).problems);
}

std::string whole(std::string text) {
  return data::render(load_text("f", std::move(text), Catalogue(), [](std::string_view) { return std::optional<std::string>(); }).problems);
}

constexpr const char* both = "  - {match: {path: /t}, to: t}\n";

TEST(Refused, AnUnknownService) {
  EXPECT_EQ(
      shown("routes:\n  - {match: {path: /a}, to: orderz}\n  - {match: {path: /b}, to: {service: s}}\n  - {match: {path: /t}, to: t}\n"),
      "f:6:29: error: there is no service \"orderz\"\n"
      "  - {match: {path: /a}, to: orderz}\n"
      "                            ^\n");
  EXPECT_EQ(whole("version: 1\nlisteners: {a: {port: 1, to: order}}\nservices: {orders: {endpoints: x:1}}\n"),
            "f:2:30: error: there is no service \"order\"\n"
            "listeners: {a: {port: 1, to: order}}\n"
            "                             ^ did you mean \"orders\"?\n"
            "f:3:12: warning: no route leads to the service \"orders\"\n"
            "services: {orders: {endpoints: x:1}}\n"
            "           ^\n");
}

TEST(Refused, AnUnknownChain) {
  EXPECT_EQ(shown(std::string("routes:\n  - {policies: [{chain: cc}], to: s}\n") + both),
            "f:6:25: error: there is no chain \"cc\"\n"
            "  - {policies: [{chain: cc}], to: s}\n"
            "                        ^ did you mean \"c\"?\n");
}

TEST(Refused, AnUnknownListener) {
  EXPECT_EQ(shown(std::string("routes:\n  - {listener: edge, to: s}\n") + both),
            "f:6:16: error: there is no listener \"edge\"\n"
            "  - {listener: edge, to: s}\n"
            "               ^\n");
}

TEST(Refused, ARouteWithoutListenerAmongSeveral) {
  EXPECT_EQ(whole("version: 1\nlisteners: {a: {port: 1}, b: {port: 2}}\nservices: {s: {endpoints: x:1}}\nroutes:\n  - to: s\n"),
            "f:5:5: error: with several listeners a route names its own\n"
            "  - to: s\n"
            "    ^ write listener: a\n");
}

TEST(Refused, SkippingAPolicyThatIsNotThere) {
  EXPECT_EQ(shown(std::string("routes:\n  - {skip: [floot], to: s}\n") + both),
            "f:6:13: error: its listener has no policy \"floot\"\n"
            "  - {skip: [floot], to: s}\n"
            "            ^ did you mean \"flood\"?\n");
}

TEST(Refused, ANameTwice) {
  EXPECT_EQ(shown("routes:\n  - {name: r, match: {path: /s}, to: s}\n  - {name: r, match: {path: /t}, to: t}\n"),
            "f:7:12: error: the name \"r\" is taken\n"
            "  - {name: r, match: {path: /t}, to: t}\n"
            "           ^ by the route at f:6\n");
}

TEST(Warned, ARouteThatIsNeverReached) {
  EXPECT_EQ(shown("routes:\n  - {match: {method: GET, path: \"/x/{a}\"}, to: s}\n  - {match: {method: GET, path: \"/x/{b}\"}, to: t}\n"),
            "f:7:5: warning: this route is never reached\n"
            "  - {match: {method: GET, path: \"/x/{b}\"}, to: t}\n"
            "    ^ the same match stands at f:6\n");
  EXPECT_EQ(shown("routes:\n  - {match: {path_prefix: /x}, to: s}\n  - {match: {path_prefix: [/x/, /y]}, to: t}\n"),
            "f:7:5: warning: a part of this route is never reached\n"
            "  - {match: {path_prefix: [/x/, /y]}, to: t}\n"
            "    ^ the same match stands at f:6\n");
  // Who lists fewer methods ranks first, wherever it stands.
  EXPECT_EQ(shown("routes:\n  - {match: {method: [GET, PUT], path: /x}, to: s}\n  - {match: {method: GET, path: /x}, to: t}\n"),
            "f:6:5: warning: a part of this route is never reached\n"
            "  - {match: {method: [GET, PUT], path: /x}, to: s}\n"
            "    ^ the same match stands at f:7\n");
  EXPECT_EQ(shown("routes:\n  - {match: {path: /x, headers: {X-A: b}, query: {v: \"1\"}}, to: s}\n"
                  "  - {match: {path: /x, query: {v: \"1\"}, headers: {x-a: b}}, to: t}\n"),
            "f:7:5: warning: this route is never reached\n"
            "  - {match: {path: /x, query: {v: \"1\"}, headers: {x-a: b}}, to: t}\n"
            "    ^ the same match stands at f:6\n");
  EXPECT_EQ(shown("routes:\n  - {match: {path: /x, headers: {x-a: b}}, to: s}\n  - {match: {path: /x, headers: {x-a: B}}, to: t}\n"), "");
}

TEST(Warned, ARegexBehindAPrefix) {
  EXPECT_EQ(shown("routes:\n  - {match: {path_prefix: /v1}, to: s}\n  - {match: {path_regex: \"/v1/[a-z]+\"}, to: t}\n"),
            "f:7:5: warning: this route is never reached\n"
            "  - {match: {path_regex: \"/v1/[a-z]+\"}, to: t}\n"
            "    ^ a prefix is asked before a regex, and this one takes all of it: f:6\n");
  EXPECT_EQ(shown("routes:\n  - {match: {path_prefix: /}, to: s}\n  - {match: {path_regex: \"/v1/[a-z]+\"}, to: t}\n"), "");
  EXPECT_EQ(shown("routes:\n  - {match: {method: GET, path_prefix: /v1}, to: s}\n  - {match: {path_regex: \"/v1/[a-z]+\"}, to: t}\n"), "");
}

TEST(Refused, AMatchThatMakesNoSense) {
  auto of = [](const std::string& match) {
    std::string text = shown("routes:\n  - {match: {" + match + "}, to: s}\n  - {match: {path: /t}, to: t}\n");
    return text.substr(0, text.find('\n'));
  };
  EXPECT_EQ(of("path_regex: \"/a(\""), "f:6:14: error: not a regular expression: missing ): /a(");
  EXPECT_EQ(of("path_regex: \"/(?=a)\""), "f:6:14: error: not a regular expression: invalid perl operator: (?=");
  EXPECT_EQ(of("path: /a, path_regex: /a"), "f:6:24: error: a match has one of `path`, `path_prefix` and `path_regex`");
  EXPECT_EQ(of("path: \"/{a}/{a}\""), "f:6:14: error: two segments of /{a}/{a} are called {a}");
  EXPECT_EQ(of("path_prefix: \"/{rest}\""), "f:6:14: error: {rest} is what follows a prefix");
  EXPECT_EQ(of("headers: {\"a b\": c}"), "f:6:24: error: expected a header name, found \"a b\"");
  EXPECT_EQ(of("headers: {upgrade: websocket}"), "f:6:14: error: \"upgrade\" belongs to one connection and is not matched");
  EXPECT_EQ(of("headers: {Host: a}"), "f:6:14: error: the host is not matched as a header field");
  EXPECT_EQ(of("headers: {a: b, A: c}"), "f:6:14: error: \"A\" is written twice");
  EXPECT_EQ(of("query: {v: \"{id}\"}"), "f:6:14: error: braces do not compute in a match: the value of v is literal");
}

TEST(Refused, GroupsThatContradict) {
  EXPECT_EQ(shown(std::string("routes:\n  - match: {host: h.example}\n    routes:\n      - {match: {host: i.example}, to: s}\n") + both),
            "f:8:24: error: the group around this route says `host` already\n"
            "      - {match: {host: i.example}, to: s}\n"
            "                       ^ say it in one of the two places\n");
  EXPECT_EQ(shown(std::string("routes:\n  - match: {path_prefix: /v1}\n    routes:\n      - {match: {path: /x}, to: s}\n") + both),
            "f:8:17: error: the group around this route has a path already\n"
            "      - {match: {path: /x}, to: s}\n"
            "                ^ write whole paths in its routes\n");
  EXPECT_EQ(shown("routes:\n  - {to: s, routes: [{to: t}]}\n"),
            "f:6:6: error: a route has `to`, a group has `routes`; this has both\n"
            "  - {to: s, routes: [{to: t}]}\n"
            "     ^\n");
  EXPECT_EQ(shown("routes:\n  - {match: {path: /x}}\n"),
            "f:6:5: error: a route needs `to`, or `routes` when it is a group\n"
            "  - {match: {path: /x}}\n"
            "    ^ write to: NAME-OF-A-SERVICE\n");
}

TEST(Refused, AMatchThatIsNone) {
  EXPECT_EQ(shown("routes:\n  - {match: {path: x}, to: s}\n"),
            "f:6:20: error: expected a path that begins with /, found \"x\"\n"
            "  - {match: {path: x}, to: s}\n"
            "                   ^\n");
  EXPECT_EQ(shown("routes:\n  - {match: {method: get}, to: s}\n"),
            "f:6:22: error: expected a method like GET, found \"get\"\n"
            "  - {match: {method: get}, to: s}\n"
            "                     ^\n");
  EXPECT_EQ(shown("routes:\n  - {match: {path: /x, path_prefix: /y}, to: s}\n"),
            "f:6:24: error: a match has one of `path`, `path_prefix` and `path_regex`\n"
            "  - {match: {path: /x, path_prefix: /y}, to: s}\n"
            "                       ^ write two routes\n");
}

TEST(Refused, WhatBelongsToALaterVersion) {
  EXPECT_EQ(shown("sagas: {}\n"), "f:5:1: error: \"sagas\" is not in this version\nsagas: {}\n^\n");
  EXPECT_EQ(shown("routes:\n  - {to: {saga: checkout}}\n"),
            "f:6:11: error: \"saga\" is not in this version\n"
            "  - {to: {saga: checkout}}\n"
            "          ^\n");
  EXPECT_EQ(shown("routes:\n  - {policies: [{retry: {}}], to: s}\n"),
            "f:6:18: error: \"retry\" is not in this version\n"
            "  - {policies: [{retry: {}}], to: s}\n"
            "                 ^\n");
  EXPECT_EQ(shown("routes:\n  - {to: {service: s, rpc: x}}\n"),
            "f:6:23: error: \"rpc\" is not in this version\n"
            "  - {to: {service: s, rpc: x}}\n"
            "                      ^\n");
  EXPECT_EQ(shown("defaults: {service: {tls: mesh}}\n"),
            "f:5:27: error: \"mesh\" is not in this version\n"
            "defaults: {service: {tls: mesh}}\n"
            "                          ^ expected one of true, false\n");
}

TEST(Refused, Listeners) {
  EXPECT_EQ(whole("version: 1\nlisteners: {a: {}}\n"),
            "f:2:16: error: a listener needs `port` or `address`\n"
            "listeners: {a: {}}\n"
            "               ^ write port: 8080\n");
  EXPECT_EQ(whole("version: 1\nlisteners: {a: {port: 1, address: \"x:1\"}}\n"),
            "f:2:26: error: a listener has `port` or `address`, not both\n"
            "listeners: {a: {port: 1, address: \"x:1\"}}\n"
            "                         ^\n");
  EXPECT_EQ(whole("version: 1\nlisteners: {a: {port: 1, to: {response: {status: 200}}}, b: {port: 1, to: {response: {status: 200}}}}\n"),
            "f:2:58: error: listens on :1, and so does listeners.a\n"
            "listeners: {a: {port: 1, to: {response: {status: 200}}}, b: {port: 1, to: {response: {status: 200}}}}\n"
            "                                                         ^\n");
  EXPECT_EQ(whole("version: 1\nlisteners: {\"a b\": {port: 1}}\n"),
            "f:2:13: error: expected a name of letters, digits, _ - and ., found \"a b\"\n"
            "listeners: {\"a b\": {port: 1}}\n"
            "            ^\n");
}

// What is said of `discovery: {registry: ...}`, without the place.
std::string of_registry(const std::string& registry, const std::string& service = "registry: s") {
  std::string text =
      whole("version: 1\nlisteners: {a: {port: 1, to: s}}\nservices: {s: {" + service + "}}\ndiscovery: {registry: {" + registry + "}}\n");
  size_t begin = text.find("error: ");
  return begin == std::string::npos ? text : text.substr(begin + 7, text.find('\n') - begin - 7);
}

TEST(Refused, Registry) {
  EXPECT_EQ(of_registry(""), "");
  EXPECT_EQ(of_registry("address: unix:/run/registry"), "");
  EXPECT_EQ(of_registry("port: 9910"), "whoever can connect could register instances");
  EXPECT_EQ(of_registry("address: \"10.0.0.1:9910\""), "whoever can connect could register instances");
  EXPECT_EQ(of_registry("port: 9910, token: {env: T}"), "");
  EXPECT_EQ(of_registry("port: 9910, address: \"127.0.0.1:9910\", token: {env: T}"), "the registry has `port` or `address`, not both");
  EXPECT_EQ(of_registry("port: 1, token: {env: T}, address: \"127.0.0.1:1\""), "the registry has `port` or `address`, not both");
  EXPECT_EQ(of_registry("ca: x.pem"), "without `url` nobody looks at `ca`");
  EXPECT_EQ(of_registry("url: \"https://control.internal:9910\", ca: x.pem"), "");
  EXPECT_EQ(of_registry("url: \"http://[::1]:9910/\""), "");
  for (std::string bad : {"control:9910", "http://", "http://a/b", "http://user@a", "http://a:0", "http://a:x", "ftp://a"})
    EXPECT_EQ(of_registry("url: \"" + bad + "\""), "expected http(s)://host[:port], found \"" + bad + "\"") << bad;
  EXPECT_EQ(of_registry("url: \"http://a\", port: 1"), "the registry is at `url` or in this process, not both");
  EXPECT_EQ(of_registry("url: \"http://a\", token: {env: T}"), "a gateway that follows a registry shows no token");
  EXPECT_EQ(of_registry("url: \"http://a\", ca: x.pem"), "a `ca` needs an https `url`");
  EXPECT_EQ(of_registry("", "registry: s, endpoints: \"a:1\""), "a service has `endpoints` or `registry`, not both");
  EXPECT_EQ(of_registry("", "registry: \"a b\""), "expected a name of letters, digits, _ - and ., found \"a b\"");
}

TEST(Refused, Etcd) {
  auto of = [](const std::string& etcd, const std::string& service = "etcd: /services/s") {
    std::string head = "version: 1\nlisteners: {a: {port: 1, to: s}}\nservices: {s: {" + service + "}}\n";
    std::string text = whole(head + (etcd.empty() ? "" : "discovery: {etcd: {" + etcd + "}}\n"));
    size_t begin = text.find("error: ");
    return begin == std::string::npos ? text : text.substr(begin + 7, text.find('\n') - begin - 7);
  };
  std::string here = R"(endpoints: ["http://127.0.0.1:2379"])";
  std::string secure = R"(endpoints: ["https://etcd-1:2379", "https://etcd-2:2379"])";
  EXPECT_EQ(of(here), "");
  EXPECT_EQ(of(here + ", username: gateway, password: {env: P}, file: /x"), "");
  EXPECT_EQ(of(secure + ", ca: ca.pem, cert: c.pem, key: {file: c.key}"), "");
  EXPECT_EQ(of(""), "nothing says where etcd is");
  EXPECT_EQ(of("file: /x"), "\"endpoints\" is missing");
  EXPECT_EQ(of("endpoints: [\"127.0.0.1:2379\"]"), "expected http(s)://host[:port], found \"127.0.0.1:2379\"");
  EXPECT_EQ(of(here + ", password: {env: P}"), "nobody logs in without `username`");
  EXPECT_EQ(of(here + ", username: gateway"), "a user needs `password`");
  EXPECT_EQ(of(here + ", ca: ca.pem"), "a `ca` needs an https endpoint");
  EXPECT_EQ(of(here + ", cert: ca.pem, key: {env: K}"), "a `cert` needs an https endpoint");
  EXPECT_EQ(of(secure + ", key: {env: K}"), "a `key` belongs to a `cert`");
  EXPECT_EQ(of(secure + ", cert: c.pem"), "a `cert` needs its `key`");
  EXPECT_EQ(of(here, "etcd: /a, endpoints: \"a:1\""), "a service has `endpoints` or `etcd`, not both");
  EXPECT_EQ(of(here, "etcd: /a, registry: a"), "a service has `registry` or `etcd`, not both");
  for (std::string bad : {"orders", "/", "/a/", "//a", "/a//b", "/a b"})
    EXPECT_EQ(of(here, "etcd: \"" + bad + "\""), "expected a path such as /services/orders, found \"" + bad + "\"") << bad;
}

TEST(Refused, Dns) {
  auto of = [](const std::string& dns) {
    std::string text = whole("version: 1\nlisteners: {a: {port: 1, to: s}}\nservices: {s: {" + dns + "}}\n");
    size_t begin = text.find("error: ");
    return begin == std::string::npos ? text : text.substr(begin + 7, text.find('\n') - begin - 7);
  };
  EXPECT_EQ(of("dns: \"reviews.internal:8080\""), "");
  EXPECT_EQ(of("dns: {address: \"localhost:8080\"}"), "");
  EXPECT_EQ(of("dns: {srv: _http._tcp.reviews.internal}"), "");
  EXPECT_EQ(of("dns: {}"), "nothing is asked for");
  EXPECT_EQ(of("dns: \"10.0.0.1:80\""), "10.0.0.1:80 is no host name");
  EXPECT_EQ(of("dns: {address: \"a.b:1\", srv: a.b}"), "a name has `address` or `srv`, not both");
  EXPECT_EQ(of("dns: \"a.b:1\", endpoints: \"a.b:1\""), "a service has `endpoints` or `dns`, not both");
  for (std::string bad : std::vector<std::string>{"localhost", ".a.b", "a..b", "a.b c", std::string(64, 'a') + ".b"})
    EXPECT_EQ(of("dns: {srv: \"" + bad + "\"}"), "expected a name such as _http._tcp.orders.internal, found \"" + bad + "\"") << bad;
}

TEST(Refused, Services) {
  EXPECT_EQ(shown("defaults: {service: {pool: {connections: 0}}}\n").find("must be at least 1") == std::string::npos, false);
  EXPECT_EQ(whole("version: 1\nlisteners: {a: {port: 1, to: s}}\nservices: {s: {}}\n"),
            "f:3:15: error: \"endpoints\" is missing\n"
            "services: {s: {}}\n"
            "              ^ endpoints: [\"host:port\"], or one of dns, registry and etcd\n");
  EXPECT_EQ(whole("version: 1\nlisteners: {a: {port: 1, to: s}}\nservices: {s: {endpoints: \":80\"}}\n"),
            "f:3:16: error: an endpoint needs a host\n"
            "services: {s: {endpoints: \":80\"}}\n"
            "               ^ write 127.0.0.1:80\n");
  std::string head = "version: 1\nlisteners: {a: {port: 1, to: s}}\n";
  EXPECT_EQ(whole(head + "services: {s: {endpoints: x:1, protocol: grpc, proxy_protocol: v2}}\n"),
            "f:3:48: error: a connection of HTTP/2 serves many clients, and a PROXY header names one\n"
            "services: {s: {endpoints: x:1, protocol: grpc, proxy_protocol: v2}}\n"
            "                                               ^ use protocol: http1\n");
  std::string inherited = whole(head + "defaults: {service: {proxy_protocol: v2}}\nservices: {s: {endpoints: x:1, protocol: http2}}\n");
  EXPECT_NE(inherited.find("a PROXY header names one"), std::string::npos) << inherited;
}

TEST(Refused, AValueThatNothingCaptures) {
  EXPECT_EQ(shown(std::string("routes:\n  - {match: {path: \"/x/{id}\"}, to: {service: s, path: \"/y/{query.a || di}\"}}\n") + both),
            "f:6:71: error: no path has a parameter {di}\n"
            "  - {match: {path: \"/x/{id}\"}, to: {service: s, path: \"/y/{query.a || di}\"}}\n"
            "                                                                      ^ did you mean \"id\"?\n");
  EXPECT_EQ(shown(std::string("routes:\n  - match: {path: [\"/x\", \"/x/{id}\"]}\n    to: {service: s, path: \"/y/{id}\"}\n") + both),
            "f:7:33: warning: one of the route's paths has no {id}: its requests get 400\n"
            "    to: {service: s, path: \"/y/{id}\"}\n"
            "                                ^ write {id || '…'}, or two routes\n");
  EXPECT_EQ(shown(std::string("routes:\n  - match: {path_regex: \"/(?P<tail>.*)\"}\n    to: {service: s, path: \"/y/{tail}\"}\n") + both),
            "");
  EXPECT_EQ(shown(std::string("routes:\n  - {to: {service: s, path: \"/{rest}\"}}\n") + both), "");
}

TEST(Refused, AnExpressionWithItsPlace) {
  EXPECT_EQ(shown(std::string("routes:\n  - {to: {service: s, query: {a: \"x{length(id)}\"}}}\n") + both),
            "f:6:37: error: functions are not in this version\n"
            "  - {to: {service: s, query: {a: \"x{length(id)}\"}}}\n"
            "                                    ^\n");
}

TEST(Refused, ALaterSourceOfEndpointsInOneMessage) {
  EXPECT_EQ(whole("version: 1\nlisteners: {a: {port: 1, to: s}}\nservices: {s: {consul: x}}\n"),
            "f:3:16: error: \"consul\" is not in this version\n"
            "services: {s: {consul: x}}\n"
            "               ^\n");
}

TEST(Refused, AKeyOfTwoConsumers) {
  std::string key = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
  std::string text = whole("version: 1\nlisteners: {a: {port: 1, to: {response: {status: 200}}}}\nconsumers:\n  a: {keys: \"" + key +
                           "\"}\n  b: {keys: \"" + key + "\"}\n");
  EXPECT_TRUE(text.starts_with("f:5:13: error: this key is also a key of the consumer \"a\"\n")) << text;
}

TEST(Refused, AnAnswerThatHttpDoesNotAllow) {
  EXPECT_EQ(whole("version: 1\nlisteners: {a: {port: 1, to: {response: {status: 204, body: x}}}}\n"),
            "f:2:55: error: status 204 has no body\n"
            "listeners: {a: {port: 1, to: {response: {status: 204, body: x}}}}\n"
            "                                                      ^\n");
}

TEST(Refused, AVersionThatWeDoNotKnow) {
  EXPECT_EQ(whole("version: 2\nlisteners: {a: {port: 1}}\n"), "f:1:10: error: \"version\" must be at most 1\nversion: 2\n         ^\n");
  EXPECT_EQ(whole(""), "f:1:1: error: \"listeners\" is missing\n\n^\nf:1:1: error: \"version\" is missing\n\n^\n");
  EXPECT_EQ(whole("- 1\n"), "f:1:1: error: a configuration is a map, this is a list\n- 1\n^\n");
}

TEST(Refused, WhatNobodyUsesIsAWarning) {
  EXPECT_EQ(shown("routes:\n  - to: s\n"),
            "f:4:33: warning: no route leads to the service \"t\"\n"
            "services: {s: {endpoints: x:1}, t: {endpoints: y:1}}\n"
            "                                ^\n");
}

}  // namespace
}  // namespace portloom::config
