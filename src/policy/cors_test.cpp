// Tests of cors: which preflights pass, what a page is told on whatever answer, and that no cache mixes origins up.
#include "base/text.h"
#include "policy/bench_for_tests.h"

namespace portloom::policy {
namespace {

using Fields = std::vector<std::pair<std::string_view, std::string_view>>;

struct Answer {
  uint16_t status = 0;
  http::Headers fields;  // as they leave: the response's and the exchange's
  std::optional<Error> fault;
  std::string policy;
  std::string operator[](std::string_view name) const {
    std::string all;
    for (http::Headers::Field field : fields)
      if (equals_ignoring_case(field.name, name)) all += (all.empty() ? "" : " | ") + std::string(field.value);
    return all.empty() ? "-" : all;
  }
};

Answer ask(Bench& bench, std::string_view method, const Fields& fields) {
  EXPECT_EQ(bench.messages, "");
  Bench::Call call(bench, method);
  for (const auto& [name, value] : fields) call.request.headers.add(name, value);
  pipeline::Response response = bench.answer(call);
  Answer answer{response.status, response.headers, response.fault, std::string(call.exchange.record.policy)};
  for (http::Headers::Field field : call.exchange.reply_headers) answer.fields.add(field.name, field.value);
  return answer;
}

Answer preflight(Bench& bench, std::string_view origin, std::string_view method, std::string_view fields = {}) {
  Fields asked = {{"Origin", origin}, {"Access-Control-Request-Method", method}};
  if (!fields.empty()) asked.emplace_back("Access-Control-Request-Headers", fields);
  return ask(bench, "OPTIONS", asked);
}

constexpr std::string_view shop = "https://shop.example";
constexpr std::string_view preflight_vary = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers";

class CorsOfAShop : public testing::Test {
 protected:
  Bench bench{
      "[{cors: {origins: [\"https://shop.example\", \"https://*.shop.example\"], methods: [GET, PUT], headers: [Authorization, "
      "x-trace], expose: [x-request-id, etag], credentials: true, max_age: 2h}}]"};
};

TEST_F(CorsOfAShop, AnswersAPreflightItself) {
  Answer answer = preflight(bench, shop, "PUT", "authorization,content-type, X-Trace");
  EXPECT_EQ(answer.status, 204);
  EXPECT_EQ(answer["Access-Control-Allow-Origin"], shop);
  EXPECT_EQ(answer["Access-Control-Allow-Credentials"], "true");
  EXPECT_EQ(answer["Access-Control-Allow-Methods"], "GET, PUT");
  EXPECT_EQ(answer["Access-Control-Allow-Headers"], "authorization, content-type, X-Trace");
  EXPECT_EQ(answer["Access-Control-Max-Age"], "7200");
  EXPECT_EQ(answer["Vary"], preflight_vary);
  EXPECT_EQ(answer.policy, "cors");
  EXPECT_FALSE(answer.fault.has_value());
  EXPECT_TRUE(bench.service.seen.empty());
  EXPECT_EQ(preflight(bench, shop, "GET")["Access-Control-Allow-Headers"], "-");
}

TEST_F(CorsOfAShop, RefusesPreflightsForWhatIsNotOpen) {
  for (const auto& [origin, method, fields] : std::vector<std::array<std::string_view, 3>>{{"https://evil.example", "GET", ""},
                                                                                           {"http://shop.example", "GET", ""},
                                                                                           {"https://shop.example:8443", "GET", ""},
                                                                                           {"https://shop.example.evil", "GET", ""},
                                                                                           {"https://evilshop.example", "GET", ""},
                                                                                           {"https://.shop.example", "GET", ""},
                                                                                           {"https://a/.shop.example", "GET", ""},
                                                                                           {"https://a@.shop.example", "GET", ""},
                                                                                           {"null", "GET", ""},
                                                                                           {"", "GET", ""},
                                                                                           {shop, "DELETE", ""},
                                                                                           {shop, "put", ""},
                                                                                           {shop, "", ""},
                                                                                           {shop, "PUT", "x-other"},
                                                                                           {shop, "PUT", "authorization, x-other"},
                                                                                           {shop, "PUT", "a b"}}) {
    Answer answer = preflight(bench, origin, method, fields);
    EXPECT_EQ(answer.status, 403) << origin << ' ' << method << ' ' << fields;
    ASSERT_TRUE(answer.fault.has_value());
    EXPECT_EQ(answer.fault->code, Code::forbidden);
    EXPECT_EQ(answer["Access-Control-Allow-Origin"], "-");
    EXPECT_EQ(answer["Vary"], preflight_vary);
    EXPECT_EQ(answer.policy, "cors");
  }
  EXPECT_TRUE(bench.service.seen.empty());
}

TEST_F(CorsOfAShop, NamesBelowAWildcardAreLetIn) {
  for (std::string_view origin : {"https://a.shop.example", "https://a.b.shop.example"})
    EXPECT_EQ(preflight(bench, origin, "GET")["Access-Control-Allow-Origin"], origin);
}

TEST_F(CorsOfAShop, OtherOptionsAreAnOrdinaryRequest) {
  EXPECT_EQ(ask(bench, "OPTIONS", {{"Origin", shop}}).status, 200);
  EXPECT_EQ(ask(bench, "OPTIONS", {{"Access-Control-Request-Method", "GET"}}).status, 200);
  EXPECT_EQ(bench.service.seen.size(), 2u);
}

TEST_F(CorsOfAShop, SaysWhoMayReadAnyAnswer) {
  bench.service.script = {{.status = 200}, {.status = 502, .fault = Error{Code::refused, Side::upstream, Progress::nothing, {}}}};
  for (int i = 0; i < 2; ++i) {
    Answer answer = ask(bench, "GET", {{"Origin", shop}});
    EXPECT_EQ(answer["Access-Control-Allow-Origin"], shop);
    EXPECT_EQ(answer["Access-Control-Allow-Credentials"], "true");
    EXPECT_EQ(answer["Access-Control-Expose-Headers"], "x-request-id, etag");
    EXPECT_EQ(answer["Access-Control-Allow-Methods"], "-");
    EXPECT_EQ(answer["Vary"], "Origin");
  }
}

TEST_F(CorsOfAShop, SaysThatTheAnswerDependsOnTheOriginAlsoToOthers) {
  for (const Fields& fields : {Fields{}, Fields{{"Origin", "https://evil.example"}}, Fields{{"Origin", shop}, {"Origin", shop}}}) {
    Answer answer = ask(bench, "GET", fields);
    EXPECT_EQ(answer.status, 200);
    EXPECT_EQ(answer["Access-Control-Allow-Origin"], "-");
    EXPECT_EQ(answer["Access-Control-Allow-Credentials"], "-");
    EXPECT_EQ(answer["Vary"], "Origin");
  }
}

TEST_F(CorsOfAShop, WhatTheServiceSaysOfTheSubjectIsTakenOff) {
  bench.service.fields.add("Access-Control-Allow-Origin", "*");
  bench.service.fields.add("access-control-max-age", "1");
  bench.service.fields.add("Vary", "Accept");
  Answer evil = ask(bench, "GET", {{"Origin", "https://evil.example"}});
  EXPECT_EQ(evil["Access-Control-Allow-Origin"], "-");
  EXPECT_EQ(evil["Access-Control-Max-Age"], "-");
  EXPECT_EQ(evil["Vary"], "Accept | Origin");
  EXPECT_EQ(ask(bench, "GET", {{"Origin", shop}})["Access-Control-Allow-Origin"], shop);
}

TEST(Cors, EverybodyMayReadWhatIsForEverybody) {
  Bench bench("[{cors: \"*\"}]");
  for (const Fields& fields : {Fields{}, Fields{{"Origin", "https://a.example"}}, Fields{{"Origin", "null"}}}) {
    Answer answer = ask(bench, "GET", fields);
    EXPECT_EQ(answer["Access-Control-Allow-Origin"], "*");
    EXPECT_EQ(answer["Access-Control-Allow-Credentials"], "-");
    EXPECT_EQ(answer["Vary"], "-");
  }
  Answer answer = preflight(bench, "https://a.example", "POST", "content-type");
  EXPECT_EQ(answer.status, 204);
  EXPECT_EQ(answer["Access-Control-Allow-Origin"], "*");
  EXPECT_EQ(answer["Access-Control-Allow-Methods"], "GET, HEAD, POST");
  EXPECT_EQ(answer["Access-Control-Max-Age"], "600");
  EXPECT_EQ(preflight(bench, "https://a.example", "PUT").status, 403);
  EXPECT_EQ(preflight(bench, "https://a.example", "POST", "authorization").status, 403);
}

TEST(Cors, StarsOfMethodsAndFieldsAreAnsweredWithWhatWasAskedFor) {
  Bench bench("[{cors: {origins: [\"http://localhost:3000\"], methods: \"*\", headers: \"*\", credentials: true}}]");
  Answer answer = preflight(bench, "http://localhost:3000", "PATCH", "authorization");
  EXPECT_EQ(answer.status, 204);
  EXPECT_EQ(answer["Access-Control-Allow-Methods"], "PATCH");  // with credentials a star means nothing to a browser
  EXPECT_EQ(answer["Access-Control-Allow-Headers"], "authorization");
  EXPECT_EQ(preflight(bench, "http://localhost:3000", "a b").status, 403);
  std::string many;
  for (int i = 0; i < 65; ++i) many += "x" + std::to_string(i) + ",";
  EXPECT_EQ(preflight(bench, "http://localhost:3000", "PATCH", many).status, 403);
}

TEST(Cors, ARepeatedCallSaysItOnce) {
  Bench bench("[{retry: {attempts: 2}}, {cors: {origins: [\"https://shop.example\"]}}]");
  bench.service.script = {{.status = 502, .fault = Error{Code::refused, Side::upstream, Progress::nothing, {}}}};
  Answer answer = ask(bench, "GET", {{"Origin", shop}});
  EXPECT_EQ(bench.service.seen.size(), 2u);
  EXPECT_EQ(answer["Vary"], "Origin");
  EXPECT_EQ(answer["Access-Control-Allow-Origin"], shop);
}

TEST(Cors, RefusesConfigurationsThatWouldBeOpenByMistake) {
  for (const char* wrong :
       {R"({origins: "*", credentials: true})", R"({origins: ["*", "https://a.example"]})", R"({origins: ["null"]})", R"({origins: []})",
        "{}", R"({origins: ["shop.example"]})", R"({origins: ["https://shop.example/"]})", R"({origins: ["https://shop.example:443"]})",
        R"({origins: ["http://shop.example:80"]})", R"({origins: ["https://*"]})", R"({origins: ["https://a.*.example"]})",
        R"({origins: ["https://shop.example:0"]})", R"({origins: ["https://u@shop.example"]})",
        R"({origins: ["https://a.example"], methods: [get]})", R"({origins: ["https://a.example"], headers: ["a b"]})",
        R"({origins: ["https://a.example"], max_age: 25h})"})
    EXPECT_NE(Bench("[{cors: " + std::string(wrong) + "}]").messages, "") << wrong;
  for (const char* right : {R"({origins: "https://[::1]:3000"})", R"({origins: "https://*.a.example:8443"})", R"({origins: "app://x"})"})
    EXPECT_EQ(Bench("[{cors: " + std::string(right) + "}]").messages, "") << right;
}

}  // namespace
}  // namespace portloom::policy
