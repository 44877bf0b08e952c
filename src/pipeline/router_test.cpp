// RouteTable: every rule of precedence by example, what is refused, and agreement with the naive matcher over made-up tables.
#include "pipeline/router.h"

#include <gtest/gtest.h>

#include <random>

#include "pipeline/router_naive_for_tests.h"

namespace portloom::pipeline {

namespace {

using http::Method;

// "GET,POST shop.example /a/{id}"; a path that ends with "*" is a prefix; "-" for any method or host.
Pattern read_pattern(uint32_t route, std::string_view text) {
  Pattern pattern{.route = route};
  size_t space = text.find(' ');
  std::string_view methods = text.substr(0, space);
  text.remove_prefix(space + 1);
  while (methods != "-" && !methods.empty()) {
    size_t comma = std::min(methods.find(','), methods.size() - 1);
    Method method = http::method_of(methods.substr(0, comma + (methods[comma] == ',' ? 0 : 1)));
    pattern.methods |= static_cast<uint16_t>(1u << static_cast<unsigned>(method));
    methods.remove_prefix(comma + 1);
  }
  space = text.find(' ');
  if (text.substr(0, space) != "-") pattern.host = text.substr(0, space);
  pattern.path = text.substr(space + 1);
  pattern.prefix = pattern.path.ends_with('*');
  if (pattern.prefix) pattern.path.pop_back();
  return pattern;
}

Result<std::shared_ptr<const RouteTable>> compile(const std::vector<std::string>& texts) {
  std::vector<Route> routes;
  std::vector<Pattern> patterns;
  for (uint32_t i = 0; i < texts.size(); ++i) {
    routes.push_back({.index = i, .name = texts[i], .methods = 0, .skip = {}, .config = "portloom.yaml:" + std::to_string(i + 1)});
    patterns.push_back(read_pattern(i, texts[i]));
  }
  return RouteTable::compile(std::move(routes), std::move(patterns));
}

// The route that wins, with what was captured: "GET - /a/{id} id=7"; "404"; "405 GET HEAD".
std::string ask(const RouteTable& table, std::string_view method, std::string_view host, std::string_view path) {
  Params params;
  RouteTable::Match match = table.match(0, http::method_of(method), host, path, params);
  std::string answer;
  if (match.route != nullptr) {
    answer = match.route->name;
    EXPECT_EQ(match.allowed_methods, 0);
  } else {
    answer = match.allowed_methods == 0 ? "404" : "405";
    for (unsigned i = 0; i < 9; ++i)
      if ((match.allowed_methods >> i & 1) != 0) answer.append(" ").append(http::text_of(static_cast<Method>(i)));
  }
  for (size_t i = 0; i < params.count; ++i) answer.append(" ").append(params.items[i].name).append("=").append(params.items[i].value);
  return answer;
}

struct Asked {
  const char* method;
  const char* host;
  const char* path;
  const char* due;
};

void expect(std::vector<std::string> texts, const std::vector<Asked>& table) {
  for (int turn = 0; turn < 2; ++turn) {  // who wins does not depend on the order written
    auto compiled = compile(texts);
    ASSERT_TRUE(compiled) << compiled.error().detail;
    for (const Asked& row : table)
      EXPECT_EQ(ask(**compiled, row.method, row.host, row.path), row.due) << row.method << ' ' << row.host << row.path;
    std::ranges::reverse(texts);
  }
}

}  // namespace

TEST(RouteTable, HostExactThenLongestWildcardThenAny) {
  expect({"- shop.example /*", "- *.example /*", "- *.shop.example /*", "- - /*"},
         {{"GET", "shop.example", "/", "- shop.example /* rest="},
          {"GET", "SHOP.Example:8443", "/", "- shop.example /* rest="},
          {"GET", "shop.example.", "/", "- shop.example /* rest="},
          {"GET", "www.example", "/", "- *.example /* rest="},
          {"GET", "a.b.example", "/", "- *.example /* rest="},
          {"GET", "a.b.shop.example", "/", "- *.shop.example /* rest="},
          {"GET", "example", "/", "- - /* rest="},
          {"GET", ".example", "/", "- - /* rest="},
          {"GET", "", "/", "- - /* rest="},
          {"GET", "xshop.example.org", "/", "- - /* rest="}});
}

TEST(RouteTable, HostLiteralsAndOversizedHosts) {
  std::string wide = std::string(256, 'a') + ".example";
  expect({"- [::1] /", "- 10.0.0.1 /", "- *.example /"}, {{"GET", "[::1]", "/", "- [::1] /"},
                                                          {"GET", "[::1]:8080", "/", "- [::1] /"},
                                                          {"GET", "[::2]:8080", "/", "404"},
                                                          {"GET", "[::1", "/", "404"},
                                                          {"GET", "10.0.0.1:80", "/", "- 10.0.0.1 /"},
                                                          {"GET", wide.c_str(), "/", "404"}});
}

TEST(RouteTable, LessSpecificHostServesWhatAMoreSpecificOneHasNot) {
  expect({"GET shop.example /a", "POST *.example /a", "- - /b"}, {{"POST", "shop.example", "/a", "POST *.example /a"},
                                                                  {"PUT", "shop.example", "/a", "405 GET HEAD POST"},
                                                                  {"GET", "shop.example", "/b", "- - /b"},
                                                                  {"GET", "shop.example", "/c", "404"}});
}

TEST(RouteTable, PathExactThenNamesThenLongestPrefix) {
  expect({"- - /a/b", "- - /a/{x}", "- - /{y}/b", "- - /a*", "- - /*", "- - /a/{z}/c*"},
         {{"GET", "", "/a/b", "- - /a/b"},
          {"GET", "", "/a/c", "- - /a/{x} x=c"},
          {"GET", "", "/q/b", "- - /{y}/b y=q"},
          {"GET", "", "/a", "- - /a* rest="},
          {"GET", "", "/a/", "- - /a* rest="},
          {"GET", "", "/a/b/q", "- - /a* rest=b/q"},
          {"GET", "", "/a/b/c", "- - /a/{z}/c* z=b rest="},
          {"GET", "", "/a/b/c/", "- - /a/{z}/c* z=b rest="},
          {"GET", "", "/a/b/c/d/", "- - /a/{z}/c* z=b rest=d/"},
          {"GET", "", "/ab", "- - /* rest=ab"},
          {"GET", "", "/", "- - /* rest="}});
}

TEST(RouteTable, NamesComeBeforePrefixesHoweverLongThese) {
  expect({"- - /{x}/b/c", "- - /a/b*", "- - /{x}/{y}*"}, {{"GET", "", "/a/b/c", "- - /{x}/b/c x=a"},
                                                          {"GET", "", "/a/b/d", "- - /a/b* rest=d"},
                                                          {"GET", "", "/q/b/d", "- - /{x}/{y}* x=q y=b rest=d"}});
}

TEST(RouteTable, SearchTurnsBack) {
  expect({"- - /a/{x}/b", "- - /a/c/d", "- - /{u}/c/{v}/w"}, {{"GET", "", "/a/c/b", "- - /a/{x}/b x=c"},
                                                              {"GET", "", "/a/c/d", "- - /a/c/d"},
                                                              {"GET", "", "/a/c/d/w", "- - /{u}/c/{v}/w u=a v=d"},
                                                              {"GET", "", "/a/c/e", "404"}});
}

TEST(RouteTable, SlashAtTheEndIsASegment) {
  expect({"- - /a", "- - /b/", "- - /c/*", "- - /n/{x}"}, {{"GET", "", "/a/", "404"},
                                                           {"GET", "", "/b", "404"},
                                                           {"GET", "", "/b/", "- - /b/"},
                                                           {"GET", "", "/c", "- - /c/* rest="},
                                                           {"GET", "", "/c/d", "- - /c/* rest=d"},
                                                           {"GET", "", "/cd", "404"},
                                                           {"GET", "", "/n/", "404"},
                                                           {"GET", "", "/n/%2F", "- - /n/{x} x=%2F"}});
}

TEST(RouteTable, MethodsAfterThePath) {
  expect({"GET - /a", "GET,POST - /a", "- - /a", "POST - /b", "GET - /{x}"}, {{"GET", "", "/a", "GET - /a"},
                                                                              {"POST", "", "/a", "GET,POST - /a"},
                                                                              {"BREW", "", "/a", "- - /a"},
                                                                              {"POST", "", "/b", "POST - /b"},
                                                                              {"GET", "", "/b", "GET - /{x} x=b"},
                                                                              {"PUT", "", "/b", "405 GET HEAD POST"},
                                                                              {"PUT", "", "/c", "405 GET HEAD"},
                                                                              {"BREW", "", "/c", "405 GET HEAD"}});
}

TEST(RouteTable, HeadTakesGet) {
  expect({"GET - /a", "HEAD - /b", "GET - /b", "- - /c", "GET - /c", "HEAD,POST - /*"}, {{"HEAD", "", "/a", "GET - /a"},
                                                                                         {"HEAD", "", "/b", "HEAD - /b"},
                                                                                         {"HEAD", "", "/c", "GET - /c"},
                                                                                         {"GET", "", "/d", "405 HEAD POST"}});
}

TEST(RouteTable, NoPathNoRoute) {
  expect({"- - /*"}, {{"OPTIONS", "", "*", "404"}, {"CONNECT", "a:443", "", "404"}, {"GET", "", "a", "404"}});
}

TEST(RouteTable, EqualPatternsFirstWins) {
  auto table = compile({"GET - /a/{x}", "GET - /a/{y}"});
  ASSERT_TRUE(table);
  EXPECT_EQ(ask(**table, "GET", "", "/a/1"), "GET - /a/{x} x=1");
}

TEST(RouteTable, EqualBreadthDoesNotDependOnOrder) {
  expect({"GET,POST - /a", "GET,PUT - /a"}, {{"GET", "", "/a", "GET,POST - /a"}, {"PUT", "", "/a", "GET,PUT - /a"}});
}

TEST(RouteTable, PatternsAreNormalised) {
  expect({"- - /a//b", "- - /caf\xc3\xa9", "- - /%7e%2f", "- *.Shop.Example /c"}, {{"GET", "", "/a/b", "- - /a//b"},
                                                                                   {"GET", "", "/caf%C3%A9", "- - /caf\xc3\xa9"},
                                                                                   {"GET", "", "/~%2F", "- - /%7e%2f"},
                                                                                   {"GET", "x.shop.example", "/c", "- *.Shop.Example /c"}});
}

TEST(RouteTable, ListenersAreApart) {
  std::vector<Route> routes(2);
  auto table = RouteTable::compile(routes, {{.route = 0, .listener = 0, .path = "/a"}, {.route = 1, .listener = 2, .path = "/b"}});
  ASSERT_TRUE(table);
  Params params;
  EXPECT_EQ((*table)->match(0, Method::GET, "", "/a", params).route, &(*table)->routes()[0]);
  EXPECT_EQ((*table)->match(0, Method::GET, "", "/b", params).route, nullptr);
  EXPECT_EQ((*table)->match(1, Method::GET, "", "/b", params).route, nullptr);
  EXPECT_EQ((*table)->match(2, Method::GET, "", "/b", params).route, &(*table)->routes()[1]);
  EXPECT_EQ((*table)->match(3, Method::GET, "", "/b", params).route, nullptr);
}

TEST(RouteTable, Refuses) {
  std::string names;
  for (int i = 0; i < 16; ++i) names += "/{n" + std::to_string(i) + "}";
  std::string deep;
  for (int i = 0; i < 64; ++i) deep += "/a";
  for (const std::string& path :
       {std::string("a"), std::string(""), std::string("/{a"), std::string("/a}"), std::string("/{}"), std::string("/{a}b"),
        std::string("/{a}{b}"), std::string("/{{a}}"), std::string("/{a b}"), std::string("/{a}/{a}"), std::string("/{rest}*"),
        std::string("/a?b"), std::string("/%zz"), std::string("/a b"), names + "/{x}", names + "*", deep + "/a"}) {
    auto table = compile({"- - /ok", "- - " + path});
    ASSERT_FALSE(table) << path;
    EXPECT_EQ(table.error().code, Code::invalid);
    EXPECT_TRUE(table.error().detail.starts_with("portloom.yaml:2: route ")) << table.error().detail;
  }
  for (const char* host : {"*", "*.", "a:80", "a.*.b", "*.*.b", "::1", "a/b", "[::1]:80", ".a", "a b"})
    EXPECT_FALSE(compile({std::string("- ") + host + " /"})) << host;
  EXPECT_TRUE(compile({"- - " + names, "- - " + deep, "- - /{rest}"}));
}

TEST(RouteTable, ShapesAreBounded) {
  std::vector<std::string> texts;
  for (unsigned shape = 0; shape < 1024; ++shape) {
    std::string path = "- - ";
    for (unsigned i = 0; i < 10; ++i) path += (shape >> i & 1) != 0 ? "/{n" + std::to_string(i) + "}" : "/a";
    texts.push_back(path);
  }
  auto table = compile(texts);
  ASSERT_FALSE(table);
  EXPECT_NE(table.error().detail.find("too many ways"), std::string::npos);
}

TEST(RouteTable, HundredThousandRoutes) {
  std::vector<Route> routes;
  std::vector<Pattern> patterns;
  for (uint32_t i = 0; i < 100'000; ++i) {
    routes.push_back({.index = i});
    patterns.push_back({.route = i, .path = "/api/v1/resource-" + std::to_string(i) + "/items/{id}"});
  }
  auto table = RouteTable::compile(std::move(routes), std::move(patterns));
  ASSERT_TRUE(table);
  for (uint32_t i = 0; i < 100'000; i += 7) {
    Params params;
    std::string path = "/api/v1/resource-" + std::to_string(i) + "/items/42";
    RouteTable::Match match = (*table)->match(0, Method::GET, "any", path, params);
    ASSERT_NE(match.route, nullptr);
    EXPECT_EQ(match.route->index, i);
    EXPECT_EQ(params.find("id"), "42");
  }
}

TEST(RouteTable, AgreesWithTheNaiveMatcher) {
  std::mt19937_64 random(20240607);
  auto draw = [&](size_t below) { return static_cast<size_t>(random() % below); };
  size_t found = 0;
  for (int turn = 0; turn < 400; ++turn) {
    std::vector<Pattern> patterns;
    std::vector<Route> routes;
    for (uint32_t i = 0; i < 1 + static_cast<uint32_t>(turn) % 60; ++i) {
      routes.push_back({.index = i});
      patterns.push_back(made_up_pattern(draw, i));
    }
    auto table = RouteTable::compile(routes, patterns);
    ASSERT_TRUE(table) << table.error().detail;
    for (int i = 0; i < 200; ++i) {
      std::string host = made_up_host(draw);
      std::string path = made_up_path(draw, false);
      auto method = static_cast<Method>(draw(4));
      auto listener = static_cast<uint16_t>(draw(2));
      NaiveMatch due = naive_match(patterns, listener, method, host, path);
      Params params;
      RouteTable::Match match = (*table)->match(listener, method, host, path, params);
      ASSERT_EQ(match.route == nullptr, due.pattern == nullptr) << host << path;
      ASSERT_EQ(match.allowed_methods, due.allowed_methods) << host << path;
      if (match.route == nullptr) continue;
      ++found;
      ASSERT_EQ(match.route->index, due.pattern->route) << host << path;
      Params captured = naive_params(*due.pattern, path);
      ASSERT_EQ(params.count, captured.count);
      for (size_t k = 0; k < params.count; ++k) {
        EXPECT_EQ(params.items[k].name, captured.items[k].name);
        EXPECT_EQ(params.items[k].value, captured.items[k].value);
      }
    }
  }
  EXPECT_GT(found, 10'000u);
}

}  // namespace portloom::pipeline
