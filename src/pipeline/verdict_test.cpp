// pipeline/verdict_test.cpp
//
// What is said about a route agrees with what the table does.
#include "pipeline/verdict.h"

#include <gtest/gtest.h>

#include "base/random.h"
#include "pipeline/router_naive_for_tests.h"

namespace portloom::pipeline {
namespace {

using Reason = Verdict::Reason;

TEST(Verdict, SaysWhatDoesNotFit) {
  http::Headers headers;
  headers.add("X-App", "web");
  Lookup asked{0, http::Method::GET, "www.Shop.example:8443", "/orders/7", "page=2&q=a%20b", &headers};
  auto judged = [&](Pattern pattern) {
    Verdict verdict = judge(pattern, asked);
    return std::string(name_of(verdict.reason)) + (verdict.text.empty() ? "" : ": " + verdict.text);
  };
  using Form = Pattern::Form;
  EXPECT_EQ(judged({.host = "*.shop.example", .path = "/orders/{id}"}), "chosen");
  EXPECT_EQ(judged({.listener = 1, .path = "/orders/{id}"}), "listener: it belongs to another listener");
  EXPECT_EQ(judged({.host = "shop.example", .path = "/orders/{id}"}), "host: its host is shop.example");
  EXPECT_EQ(judged({.path = "/orders"}), "path: its path is /orders");
  EXPECT_EQ(judged({.path = "/products", .form = Form::prefix}), "path: its path is /products or below");
  EXPECT_EQ(judged({.path = "/v[0-9]", .form = Form::regex}), "path: its path fits /v[0-9]");
  EXPECT_EQ(judged({.path = "/orders/{id}", .methods = 0b1101}), "chosen");
  EXPECT_EQ(judged({.path = "/orders/{id}", .methods = 0b1100}), "method: it takes POST, PUT");
  EXPECT_EQ(judged({.path = "/orders/{id}", .headers = {{"x-app", "phone"}}}),
            "header: it wants the header x-app: phone; the request has \"web\"");
  EXPECT_EQ(judged({.path = "/orders/{id}", .headers = {{"x-beta", "", true}}}), "header: it wants the header x-beta");
  EXPECT_EQ(judged({.path = "/orders/{id}", .query = {{"q", "a b"}}}), "chosen");
  EXPECT_EQ(judged({.path = "/orders/{id}", .query = {{"page", "1"}}}),
            "query: it wants the query parameter page: 1; the request has \"2\"");
}

// The pattern that judge and compare prefer is the table's.
TEST(Verdict, AgreesWithTheTable) {
  Random random(7);
  auto draw = [&](size_t below) { return static_cast<size_t>(random.below(below)); };
  for (int turn = 0; turn < 2'000; ++turn) {
    std::vector<Pattern> patterns;
    std::vector<Route> routes;
    for (size_t count = 1 + draw(12); patterns.size() < count;) {
      auto route = static_cast<uint32_t>(patterns.size());
      routes.emplace_back().index = route;
      patterns.push_back(made_up_pattern(draw, route));
    }
    auto table = RouteTable::compile(routes, patterns);
    ASSERT_TRUE(table.has_value());
    for (int ask = 0; ask < 10; ++ask) {
      MadeUpRequest request = made_up_request(draw);
      Lookup asked = request.lookup();
      const Pattern* best = nullptr;
      for (const Pattern& pattern : patterns)
        if (judge(pattern, asked).reason == Reason::chosen && (best == nullptr || compare(pattern, *best, asked).first)) best = &pattern;
      Params params;
      RouteTable::Match found = (*table)->match(asked, params);
      ASSERT_EQ(found.route == nullptr, best == nullptr) << request.path << " on " << request.host;
      if (best == nullptr) continue;
      EXPECT_EQ(found.route->index, best->route) << patterns[found.route->index].path << " or " << best->path << " for " << request.path;
      for (const Pattern& other : patterns)
        if (&other != best && judge(other, asked).reason == Reason::chosen) EXPECT_TRUE(compare(*best, other, asked).first);
    }
  }
}

}  // namespace
}  // namespace portloom::pipeline
