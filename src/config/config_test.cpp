// config/config_test.cpp
//
// Documents that are taken, and what they become.
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "config/commands.h"
#include "data/print.h"

namespace portloom::config {
namespace {

struct Timeout {
  Duration total = 15s;
  void visit(this auto& self, auto& field) { field("total", self.total, data::rules::short_form, "The whole."); }
};
struct Limit {
  std::string name;
  uint32_t requests = 0;
  void visit(this auto& self, auto& field) {
    field("name", self.name, "Its name.");
    field("requests", self.requests, data::rules::required, "How many.");
  }
};

Catalogue catalogue() {
  Catalogue made;
  made.policy<Timeout>("timeout", "Bounds a request.");
  made.policy<Limit>("rate_limit", "Counts requests.");
  return made;
}

Loaded good(std::string text) {
  Loaded loaded = load_text("f.yaml", std::move(text), catalogue());
  EXPECT_TRUE(loaded) << data::render(loaded.problems);
  return loaded;
}

constexpr const char* shop = R"(version: 1
x-note: ignored
limits: {connections: 100, headers: 32KiB}
listeners:
  edge:
    port: 8080
    trusted_proxies: 10.0.0.0/8
    policies: [{chain: front}]
chains:
  front:
    - rate_limit: {name: flood, requests: 300}
    - timeout: 60s
consumers:
  acme: {tenant: acme, plan: pro, keys: ["sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"]}
defaults:
  service: {connect_timeout: 250ms, balance: random}
  route: {policies: [{timeout: 15s}]}
services:
  monolith: {endpoints: ["127.0.0.1:9000"]}
  orders: {endpoints: ["a:80", "unix:/run/b"], balance: round_robin, policies: [{timeout: 2s}]}
routes:
  - match: {host: api.shop.example}
    policies: [{rate_limit: {requests: 5}}]
    routes:
      - {match: {path: /health}, skip: [flood], to: {response: {status: 200, body: ok}}}
      - {match: {method: GET, path: "/orders/{id}"}, policies: [{timeout: 1s}], to: orders}
  - {match: {path_prefix: /v1}, to: {service: monolith}}
telemetry: {access_log: none}
admin: {address: 127.0.0.1:9900, probes: {port: 9901}}
drain: {delay: 5s}
)";

TEST(Document, ReadsTheWholeLanguageOfThisVersion) {
  Loaded loaded = good(shop);
  ASSERT_TRUE(loaded);
  EXPECT_TRUE(loaded.problems.empty()) << data::render(loaded.problems);
  const Document& document = *loaded.document;
  EXPECT_EQ(document.limits.headers.bytes, 32768U);
  EXPECT_EQ(document.listeners.find("edge")->bind().text(), ":8080");
  EXPECT_FALSE(document.listeners.find("edge")->internal_errors());
  EXPECT_EQ(document.consumers.find("acme")->plan, "pro");
  EXPECT_EQ(document.telemetry.access_log.to, "none");
  EXPECT_EQ(document.admin->probes->port, 9901);
  EXPECT_EQ(document.drain.delay, Duration(5s));
  EXPECT_EQ(loaded.hash.size(), 16U);
}

TEST(Document, DefaultsSpeakWhereAServiceSaysNothing) {
  Loaded loaded = good(shop);
  ASSERT_TRUE(loaded);
  EXPECT_EQ(loaded.document->services.find("orders")->balance.algorithm, Balance::round_robin);
  EXPECT_EQ(loaded.document->services.find("orders")->connect_timeout, Duration(250ms));
  EXPECT_EQ(loaded.document->services.find("monolith")->balance.algorithm, Balance::random);
}

TEST(Document, ResolvesGroupsChainsDefaultsAndSkips) {
  Loaded loaded = good(shop);
  ASSERT_TRUE(loaded);
  const auto& routes = loaded.document->resolved;
  ASSERT_EQ(routes.size(), 3U);
  EXPECT_EQ(routes[0].name, "/health");
  EXPECT_EQ(routes[0].listener, "edge");
  EXPECT_EQ(routes[0].match.host, (std::vector<std::string>{"api.shop.example"}));
  ASSERT_EQ(routes[0].listener_policies.size(), 1U);  // flood is skipped
  EXPECT_EQ(routes[0].listener_policies[0].kind, "timeout");
  ASSERT_EQ(routes[0].policies.size(), 2U);
  EXPECT_EQ(routes[0].policies[0].kind, "timeout");  // the default, outermost
  EXPECT_EQ(routes[0].policies[1].kind, "rate_limit");
  EXPECT_EQ(routes[0].to.as<ResponseDestination>()->body, "ok");
  EXPECT_EQ(routes[1].name, "GET /orders/{id}");
  ASSERT_EQ(routes[1].policies.size(), 2U);  // its own timeout replaces the default
  EXPECT_EQ(routes[1].policies[1].as<Timeout>()->total, Duration(1s));
  EXPECT_EQ(routes[1].policies[0].config, routes[0].policies[1].config);  // written once, one set of counters
  EXPECT_EQ(routes[2].name, "/v1/*");
  EXPECT_EQ(routes[2].to.as<ServiceDestination>()->service, "monolith");
  EXPECT_EQ(loaded.place(routes[2].at), "f.yaml:27");
  EXPECT_EQ(loaded.place(loaded.origins->find("services.orders.balance")), "f.yaml:20");
}

TEST(Document, AGroupLendsConditions) {
  Loaded loaded = good(
      "version: 1\nlisteners: {a: {port: 1}}\nservices: {s: {endpoints: x:1}}\nroutes:\n"
      "  - match: {headers: {x-app: phone}, path_regex: \"/v[0-9]+\"}\n    routes:\n"
      "      - {match: {headers: {x-beta: \"*\"}, query: {v: \"2\"}}, to: s}\n");
  ASSERT_TRUE(loaded);
  const Match& match = loaded.document->resolved[0].match;
  ASSERT_EQ(match.headers.size(), 2U);
  EXPECT_EQ(*match.headers.find("x-app"), "phone");
  EXPECT_EQ(*match.headers.find("x-beta"), Match::any_value);
  EXPECT_EQ(*match.query.find("v"), "2");
  EXPECT_EQ(match.path_regex.front(), "/v[0-9]+");
  EXPECT_EQ(loaded.document->resolved[0].name, "~/v[0-9]+");
}

TEST(Document, MadeNamesAreUnique) {
  Loaded loaded = good(
      "version: 1\nlisteners: {a: {port: 1}}\nservices: {s: {endpoints: x:1}}\nroutes:\n"
      "  - {match: {host: a.example, path: /x}, to: s}\n  - {match: {host: b.example, path: /x}, to: s}\n");
  ASSERT_TRUE(loaded);
  EXPECT_EQ(loaded.document->resolved[0].name, "/x");
  EXPECT_EQ(loaded.document->resolved[1].name, "b.example /x");
}

TEST(Document, InternalErrorsAreTheDefaultOnLoopbackOnly) {
  Loaded loaded = good(
      "version: 1\nlisteners: {a: {address: 127.0.0.1:1, to: s}, b: {port: 2, to: s}, c: {port: 3, errors: internal, to: s}}\nservices: "
      "{s: {endpoints: x:1}}\n");
  ASSERT_TRUE(loaded);
  EXPECT_TRUE(loaded.document->listeners.find("a")->internal_errors());
  EXPECT_FALSE(loaded.document->listeners.find("b")->internal_errors());
  EXPECT_TRUE(loaded.document->listeners.find("c")->internal_errors());
}

class Files : public testing::Test {
 protected:
  Files() {
    std::string pattern = (std::filesystem::temp_directory_path() / "config_test_XXXXXX").string();
    directory = mkdtemp(pattern.data());
  }
  ~Files() override { std::filesystem::remove_all(directory); }
  std::string write(const std::string& name, const std::string& text) {
    std::ofstream(directory + "/" + name) << text;
    return directory + "/" + name;
  }
  std::string directory;
};

TEST_F(Files, LaterFilesLieOnEarlierOnes) {
  std::string base = write(
      "base.yaml", "version: 1\nlisteners: {a: {port: 1, to: s}, b: {port: 2, to: s}}\nservices: {s: {endpoints: [\"x:1\", \"y:1\"]}}\n");
  std::string prod = write("prod.yaml", "listeners:\n  a: {port: 9}\n  b: null\nservices: {s: {endpoints: [\"z:1\"]}}\n");
  Loaded loaded = load({base, prod}, catalogue());
  ASSERT_TRUE(loaded) << data::render(loaded.problems);
  EXPECT_EQ(loaded.document->listeners.size(), 1U);
  EXPECT_EQ(loaded.document->listeners.find("a")->port, 9);
  EXPECT_EQ(loaded.document->services.find("s")->endpoints.size(), 1U);
  EXPECT_EQ(loaded.place(loaded.origins->find("listeners.a.port")), prod + ":2");
}

TEST_F(Files, CheckReportsAndExitsWithOne) {
  std::string file = write("f.yaml", "version: 2\n");
  std::ostringstream out, err;
  EXPECT_EQ(check_command(load({file}, catalogue()), data::ProblemFormat::text, false, out, err), 1);
  EXPECT_EQ(out.str(), "");
  EXPECT_EQ(err.str(), file + ":1:1: error: \"listeners\" is missing\nversion: 2\n^\n" + file +
                           ":1:10: error: \"version\" must be at most 1\nversion: 2\n         ^\n2 errors\n");
  std::ostringstream json;
  EXPECT_EQ(check_command(load({directory + "/nope.yaml"}, catalogue()), data::ProblemFormat::json, false, json, err), 1);
  EXPECT_EQ(json.str(), "{\"file\":\"\",\"line\":0,\"column\":0,\"severity\":\"error\",\"key\":\"\",\"message\":\"cannot read " +
                            directory + "/nope.yaml\",\"hint\":\"there is no such file\"}\n");
}

TEST_F(Files, CheckSaysWhatItFoundAndListsSkips) {
  std::string file = write("f.yaml", shop);
  std::ostringstream out, err;
  EXPECT_EQ(check_command(load({file}, catalogue()), data::ProblemFormat::text, false, out, err), 0);
  EXPECT_EQ(out.str(), file + ":25: /health skips flood\nok: 1 listener, 3 routes, 2 services\n");
}

TEST_F(Files, WhatPrintPrintsIsReadBackTheSame) {
  std::string file = write("f.yaml", shop);
  std::ostringstream out, err;
  EXPECT_EQ(check_command(load({file}, catalogue()), data::ProblemFormat::text, true, out, err), 0);
  EXPECT_NE(out.str().find("algorithm: round_robin"), std::string::npos);
  EXPECT_NE(out.str().find("# " + file + ":20"), std::string::npos) << out.str();
  Loaded again = good(out.str());
  ASSERT_TRUE(again) << out.str();
  data::Origins none;
  data::Sources no_files;
  Loaded first = load({file}, catalogue());
  const data::Shape& shape = data::shape_of<Document>();
  EXPECT_EQ(data::print_yaml(shape, again.document.get(), none, no_files), data::print_yaml(shape, first.document.get(), none, no_files));
}

TEST_F(Files, WhatPrintPrintsOfCompositionsIsReadBackTheSame) {
  std::string file = write("f.yaml", R"(version: 1
listeners: {edge: {port: 8080}}
services: {a: {endpoints: ["a:1"]}}
routes:
  - {match: {path: "/named/{id}"}, to: {composition: home}}
  - {match: {path: "/inline/{id}"}, to: {composition: {calls: {x: {composition: home, timeout: 1s}}, answer: {failures: true}}}}
compositions:
  home:
    calls:
      x: {service: a, path: "/{id}", query: {q: "{query.q || '1'}"}, fallback: [{stale: 5m}, {value: {a: ["{id}", 1.0, null]}}]}
      y: {service: a, method: POST, path: /, body: {x: "{x.a[0]}", all: "{body}"}, when: x, pick: [a], fallback: [{omit: true}]}
    body: {x: "{x}", y: "{y} {{}}"}
)");
  Loaded first = load({file}, catalogue());
  ASSERT_TRUE(first) << data::render(first.problems);
  std::ostringstream out, err;
  EXPECT_EQ(check_command(first, data::ProblemFormat::text, true, out, err), 0);
  Loaded again = good(out.str());
  ASSERT_TRUE(again) << out.str();
  data::Origins none;
  data::Sources no_files;
  const data::Shape& shape = data::shape_of<Document>();
  EXPECT_EQ(data::print_yaml(shape, again.document.get(), none, no_files), data::print_yaml(shape, first.document.get(), none, no_files));
}

// Is this text JSON? Enough of a reader to catch a forgotten comma or bracket.
bool is_json(std::string_view& text) {
  auto space = [&] {
    while (!text.empty() && (text[0] == ' ' || text[0] == '\n')) text.remove_prefix(1);
  };
  auto take = [&](char c) {
    space();
    bool is = !text.empty() && text[0] == c;
    if (is) text.remove_prefix(1);
    return is;
  };
  auto string = [&] {
    if (!take('"')) return false;
    while (!text.empty() && text[0] != '"') text.remove_prefix(text[0] == '\\' ? 2 : 1);
    return take('"');
  };
  space();
  for (char open : {'{', '['}) {
    if (!take(open)) continue;
    char close = open == '{' ? '}' : ']';
    if (take(close)) return true;
    do {
      if (open == '{' && !(string() && take(':'))) return false;
      if (!is_json(text)) return false;
    } while (take(','));
    return take(close);
  }
  if (!text.empty() && text[0] == '"') return string();
  size_t length = 0;
  while (length < text.size() && std::string_view("-+.0123456789aeflnrstu").find(text[length]) != std::string_view::npos) ++length;
  text.remove_prefix(length);
  return length > 0;
}

TEST(Schema, IsJsonAndNamesEveryKey) {
  std::string made = schema(catalogue());
  std::string_view rest = made;
  EXPECT_TRUE(is_json(rest));
  EXPECT_EQ(rest, "\n");
  for (const data::Field& field : data::shape_of<Document>().fields)
    EXPECT_NE(made.find("\"" + std::string(field.name) + "\": {"), std::string::npos) << field.name;
  EXPECT_NE(made.find("\"$ref\": \"#/$defs/policy\""), std::string::npos);
  EXPECT_NE(made.find("\"config.Route\": {"), std::string::npos);
}

// The policies' part of the page is app/'s: only there all kinds are known.
TEST(Reference, TheFileOnDiskIsUpToDate) {
  std::string path = REFERENCE_FILE;
  std::string made = reference(Catalogue());
  made.resize(made.find("\n## Policies"));
  std::ifstream file(path);
  std::string disk{std::istreambuf_iterator<char>(file), {}};
  size_t end = std::min(disk.find("\n## Policies"), disk.size());
  if (std::getenv("UPDATE") != nullptr) {
    std::ofstream(path) << made << disk.substr(end);
    return;
  }
  EXPECT_EQ(disk.substr(0, end), made) << "run the test with UPDATE=1";
}

}  // namespace
}  // namespace portloom::config
