// RouteTable: every rule of precedence by example, what is refused, and agreement with the naive matcher over made-up tables.
#include "pipeline/router.h"

#include <gtest/gtest.h>

#include <random>

#include "pipeline/router_naive_for_tests.h"

namespace portloom::pipeline {

namespace {

using http::Method;

// "GET,POST shop.example /a/{id} x-app:phone ?v=2"; a path that ends with "*" is a prefix, one that begins with "~" a regex; "-" for
// any method or host; without a value any is taken.
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
  text.remove_prefix(space + 1);
  size_t end = text.find(" x-");
  end = std::min({end, text.find(" ?"), text.find(" accept"), text.size()});
  pattern.path = text.substr(0, end);
  text.remove_prefix(end);
  if (pattern.path.starts_with('~')) {
    pattern.form = Pattern::Form::regex;
    pattern.path.erase(0, 1);
  } else if (pattern.path.ends_with('*')) {
    pattern.form = Pattern::Form::prefix;
    pattern.path.pop_back();
  }
  while (!text.empty()) {
    text.remove_prefix(1);
    std::string_view word = text.substr(0, text.find(' '));
    text.remove_prefix(word.size());
    bool query = word.starts_with('?');
    if (query) word.remove_prefix(1);
    size_t split = word.find(query ? '=' : ':');
    (query ? pattern.query : pattern.headers)
        .push_back({std::string(word.substr(0, split)), split == word.npos ? "" : std::string(word.substr(split + 1)), split == word.npos});
  }
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
// `path` may have a query, and behind it header fields: "/a?v=2 x-app:phone".
std::string ask(const RouteTable& table, std::string_view method, std::string_view host, std::string_view path) {
  Params params;
  http::Headers headers;
  std::string_view fields = path.substr(std::min(path.find(' '), path.size()));
  path.remove_suffix(fields.size());
  while (!fields.empty()) {
    fields.remove_prefix(1);
    std::string_view field = fields.substr(0, fields.find(' '));
    fields.remove_prefix(field.size());
    headers.add(field.substr(0, field.find(':')), field.substr(field.find(':') + 1));
  }
  std::string_view query = path.substr(std::min(path.find('?'), path.size()));
  path.remove_suffix(query.size());
  if (!query.empty()) query.remove_prefix(1);
  RouteTable::Match match = table.match({0, http::method_of(method), host, path, query, &headers}, params);
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

TEST(RouteTable, OfEqualsTheFirstWrittenWins) {
  std::vector<std::string> texts = {"GET,POST - /a", "GET,PUT - /a"};
  for (int turn = 0; turn < 2; ++turn) {
    auto table = compile(texts);
    ASSERT_TRUE(table);
    EXPECT_EQ(ask(**table, "GET", "", "/a"), texts.front());
    std::ranges::reverse(texts);
  }
}

TEST(RouteTable, HeaderConditions) {
  expect({"- - /a x-app:phone", "- - /a", "- - /a x-app:phone x-beta", "- - /b x-app:phone"},
         {{"GET", "", "/a", "- - /a"},
          {"GET", "", "/a x-app:web", "- - /a"},
          {"GET", "", "/a X-App:phone", "- - /a x-app:phone"},
          {"GET", "", "/a x-app:Phone", "- - /a"},
          {"GET", "", "/a x-app:phone x-beta:", "- - /a x-app:phone x-beta"},
          {"GET", "", "/a x-beta:1", "- - /a"},
          {"GET", "", "/b x-app:phone", "- - /b x-app:phone"},
          {"GET", "", "/b", "404"}});
}

TEST(RouteTable, ARepeatedFieldIsOneValue) {
  expect({"- - /a x-app:phone", "- - /a accept:a,b", "- - /b accept:x"}, {{"GET", "", "/a x-app:phone x-app:evil", "404"},
                                                                          {"GET", "", "/a x-app:phone x-app:phone", "404"},
                                                                          {"GET", "", "/a accept:a,b", "- - /a accept:a,b"},
                                                                          {"GET", "", "/b accept:x accept:", "404"}});
  auto table = RouteTable::compile(std::vector<Route>(1), {{.path = "/", .headers = {{"accept", "a, b", false}}}});
  ASSERT_TRUE(table);
  http::Headers headers;
  headers.add("Accept", "a");
  headers.add("Accept", "b");
  Params params;
  EXPECT_NE((*table)->match({.path = "/", .headers = &headers}, params).route, nullptr);
}

TEST(RouteTable, QueryConditions) {
  expect({"- - /a ?v=2", "- - /a", "- - /a ?v=2 ?debug", "- - /a ?q=a%20b", "- - /a ?q=a"},
         {{"GET", "", "/a?v=1", "- - /a"},
          {"GET", "", "/a?x=1&v=2", "- - /a ?v=2"},
          {"GET", "", "/a?%76=%32", "- - /a ?v=2"},
          {"GET", "", "/a?v=1&v=2", "- - /a"},
          {"GET", "", "/a?v=2&v=1", "- - /a ?v=2"},
          {"GET", "", "/a?v=2&debug", "- - /a ?v=2 ?debug"},
          {"GET", "", "/a?v=22", "- - /a"},
          {"GET", "", "/a?q=a%2520b", "- - /a ?q=a%20b"},
          {"GET", "", "/a?q=a+b", "- - /a"}});
}

TEST(RouteTable, MethodBeforeHeadersBeforeQuery) {
  expect({"GET - /a", "- - /a x-app ?v ?w", "GET - /b ?v ?w", "GET,POST - /b x-app", "GET - /c x-app", "GET,POST - /c x-app"},
         {{"GET", "", "/a?v&w x-app:1", "GET - /a"},
          {"POST", "", "/a?v&w x-app:1", "- - /a x-app ?v ?w"},
          {"GET", "", "/b?v&w x-app:1", "GET,POST - /b x-app"},
          {"GET", "", "/b?v&w", "GET - /b ?v ?w"},
          {"GET", "", "/c x-app:1", "GET - /c x-app"}});
}

TEST(RouteTable, AMoreSpecificPathWithAConditionLetsOthersPass) {
  expect({"- - /a/b x-app:phone", "- - /a/{x}", "- - /a*", "- shop.example /a/b ?v=2"},
         {{"GET", "shop.example", "/a/b", "- - /a/{x} x=b"},
          {"GET", "shop.example", "/a/b?v=2", "- shop.example /a/b ?v=2"},
          {"GET", "", "/a/b x-app:phone", "- - /a/b x-app:phone"},
          {"GET", "", "/a/", "- - /a* rest="}});
}

TEST(RouteTable, AllowListsWhatTheseConditionsLeave) {
  expect({"GET - /a", "POST - /a x-app:phone", "PUT - /a ?v=2"}, {{"DELETE", "", "/a", "405 GET HEAD"},
                                                                  {"POST", "", "/a", "405 GET HEAD"},
                                                                  {"DELETE", "", "/a?v=2", "405 GET HEAD PUT"},
                                                                  {"DELETE", "", "/a?v=2 x-app:phone", "405 GET HEAD POST PUT"}});
  expect({"POST - /a x-app:phone"}, {{"GET", "", "/a", "404"}, {"GET", "", "/a x-app:phone", "405 POST"}});
}

TEST(RouteTable, RegexAfterPrefixesAndBeforeEveryPath) {
  expect({"- - /*", "- - ~/v[0-9]+/.*", "- - /v1*", "- - /v2/{x}", "GET - ~/only/get", "- shop.example ~.*"},
         {{"GET", "", "/v3/a", "- - ~/v[0-9]+/.*"},
          {"GET", "", "/v1/a", "- - /v1* rest=a"},
          {"GET", "", "/v2/a", "- - /v2/{x} x=a"},
          {"GET", "", "/v2/a/b", "- - ~/v[0-9]+/.*"},
          {"GET", "", "/x/v3/a", "- - /* rest=x/v3/a"},
          {"POST", "", "/only/get", "- - /* rest=only/get"},
          {"GET", "shop.example", "/v1/a", "- shop.example ~.*"}});
}

TEST(RouteTable, RegexesCaptureAndRank) {
  expect({"- - ~/(?P<lang>de|en)?/?(?P<page>[a-z]+)", "GET - ~/a.*", "- - ~/a.* x-app", "GET - ~/a.* x-app ?v"},
         {{"GET", "", "/de/start", "- - ~/(?P<lang>de|en)?/?(?P<page>[a-z]+) lang=de page=start"},
          {"GET", "", "/start", "- - ~/(?P<lang>de|en)?/?(?P<page>[a-z]+) page=start"},
          {"GET", "", "/a1", "GET - ~/a.*"},
          {"POST", "", "/a1 x-app:1", "- - ~/a.* x-app"},
          {"GET", "", "/a1 x-app:1", "GET - ~/a.*"},
          {"GET", "", "/a1?v x-app:1", "GET - ~/a.* x-app ?v"},
          {"PUT", "", "/a1", "405 GET HEAD"},
          {"GET", "", "/1", "404"}});
}

TEST(RouteTable, RivalsAndRegexesAreBounded) {
  for (bool regex : {false, true}) {
    std::vector<std::string> texts;
    for (int i = 0; i < 256; ++i) texts.push_back((regex ? "- - ~/a" + std::to_string(i) : "- - /a x-n:" + std::to_string(i)));
    EXPECT_TRUE(compile(texts));
    texts.emplace_back(regex ? "- - ~/b" : "- - /a");
    auto table = compile(texts);
    ASSERT_FALSE(table);
    EXPECT_NE(table.error().detail.find("more than 256"), std::string::npos) << table.error().detail;
  }
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
  EXPECT_EQ((*table)->match({.listener = 0, .host = "", .path = "/a"}, params).route, &(*table)->routes()[0]);
  EXPECT_EQ((*table)->match({.listener = 0, .host = "", .path = "/b"}, params).route, nullptr);
  EXPECT_EQ((*table)->match({.listener = 1, .host = "", .path = "/b"}, params).route, nullptr);
  EXPECT_EQ((*table)->match({.listener = 2, .host = "", .path = "/b"}, params).route, &(*table)->routes()[1]);
  EXPECT_EQ((*table)->match({.listener = 3, .host = "", .path = "/b"}, params).route, nullptr);
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
    RouteTable::Match match = (*table)->match({.listener = 0, .host = "any", .path = path}, params);
    ASSERT_NE(match.route, nullptr);
    EXPECT_EQ(match.route->index, i);
    EXPECT_EQ(params.find("id"), "42");
  }
}

TEST(RouteTable, AgreesWithTheNaiveMatcher) {
  std::mt19937_64 random(20240607);
  auto draw = [&](size_t below) { return static_cast<size_t>(random() % below); };
  size_t found = 0;
  // As released 100,000 tables with a request each and more; with sanitizers fewer, so that the run stays short.
#ifdef NDEBUG
  constexpr int tables = 100'000;
  constexpr size_t requests = 4;
#else
  constexpr int tables = 1'000;
  constexpr size_t requests = 100;
#endif
  for (int turn = 0; turn < tables; ++turn) {
    std::vector<Pattern> patterns;
    std::vector<Route> routes;
    for (uint32_t i = 0; i < 1 + static_cast<uint32_t>(turn) % 60; ++i) {
      routes.push_back({.index = i});
      patterns.push_back(made_up_pattern(draw, i));
    }
    auto table = RouteTable::compile(routes, patterns);
    ASSERT_TRUE(table) << table.error().detail;
    for (size_t i = 0; i < requests; ++i) {
      MadeUpRequest request = made_up_request(draw);
      Lookup asked = request.lookup();
      const std::string& path = request.path;
      NaiveMatch due = naive_match(patterns, asked);
      Params params;
      RouteTable::Match match = (*table)->match(asked, params);
      ASSERT_EQ(match.route == nullptr, due.pattern == nullptr) << request.host << path;
      ASSERT_EQ(match.allowed_methods, due.allowed_methods) << request.host << path;
      if (match.route == nullptr) continue;
      ++found;
      ASSERT_EQ(match.route->index, due.pattern->route) << request.host << path;
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
