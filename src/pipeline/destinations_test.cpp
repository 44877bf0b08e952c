// pipeline/destinations_test.cpp
//
// Rewrite, Split, Redirect and FixedAnswer, as a user writes them.
#include <gtest/gtest.h>

#include <cmath>

#include "config/destination.h"
#include "data/reader.h"
#include "pipeline/fixed_answer.h"
#include "pipeline/redirect.h"
#include "pipeline/request_for_tests.h"
#include "pipeline/rewrite.h"
#include "pipeline/split.h"

namespace portloom::pipeline {
namespace {

template <class T>
T read(const std::string& yaml) {
  Result<T> made = data::from_yaml<T>(yaml);
  EXPECT_TRUE(made) << made.error().detail;
  return made ? *made : T{};
}

Response call(Service& service, Request& request) {
  Task<Response> task = service.call(request);
  task.start();
  EXPECT_TRUE(task.done());
  return task.take();
}

class Destinations : public testing::Test {
 protected:
  StillAgenda agenda;
};
using RewriteTest = Destinations;
using SplitTest = Destinations;
using RedirectTest = Destinations;
using FixedAnswerTest = Destinations;

struct Rewritten {
  std::string said;
  std::string after;
};

Rewritten rewrite(const std::string& yaml, RequestForTests& asked) {
  Noting service;
  Rewrite rewriting(read<config::ServiceDestination>(yaml), service);
  Response response = call(rewriting, asked.request);
  Rewritten result;
  result.said = response.fault ? std::to_string(response.status) + " " + response.fault->detail : service.seen.at(0);
  result.after = std::string(asked.request.path_and_query()) + " " + std::string(asked.request.host());
  return result;
}

std::string rewrite(const std::string& yaml, std::string_view target) {
  RequestForTests asked(target);
  asked.request.headers.add("Host", "shop.test");
  asked.request.headers.add("X-App", "phone");
  asked.capture("id", "7");
  asked.capture("dots", "..");
  Rewritten result = rewrite(yaml, asked);
  EXPECT_EQ(result.after, std::string(target) + " shop.test");
  return result.said;
}

TEST_F(RewriteTest, PathAndQuery) {
  constexpr const char* rest = " shop.test | X-App: phone";
  EXPECT_EQ(rewrite("{service: s, path: \"/orders/{id}\"}", "/api/orders/7?a=1&b"), std::string("GET /orders/7?a=1&b") + rest);
  EXPECT_EQ(rewrite("{service: s, path: /orders, query: {user: \"{id}\", page: \"{query.page || '1'}\"}}", "/x?page="),
            std::string("GET /orders?user=7&page=1") + rest);
  EXPECT_EQ(rewrite("{service: s, query: {page: \"{query.page}\", q: \"{query.q}\"}}", "/x?q=a%26b&z=1"),
            std::string("GET /x?q=a%26b") + rest);
  EXPECT_EQ(rewrite("{service: s, query: {}}", "/x?q=1"), std::string("GET /x") + rest);
  EXPECT_EQ(rewrite("{service: s, query: {\"a b&c\": \"1\"}}", "/x"), std::string("GET /x?a%20b%26c=1") + rest);
  EXPECT_EQ(rewrite("{service: s, path: \"/a/{query.p}\"}", "/x"), "400 the query parameter \"p\" is missing");
}

TEST_F(RewriteTest, NoValueLeadsThePathElsewhere) {
  EXPECT_EQ(rewrite("{service: s, path: \"/files/{query.p}\"}", "/x?p=.."), "400 a value would make the path lead elsewhere");
  EXPECT_EQ(rewrite("{service: s, path: \"/files/{query.p}/{query.p}\"}", "/x?p=%2e"), "400 a value would make the path lead elsewhere");
  EXPECT_EQ(rewrite("{service: s, path: \"/files/{query.p}\"}", "/x?p=../admin"),
            "GET /files/..%2Fadmin?p=../admin shop.test | X-App: phone");
}

TEST_F(RewriteTest, HostAndHeaders) {
  EXPECT_EQ(rewrite("{service: s, host: \"{headers.x-app}.shop.internal:8080\"}", "/x"), "GET /x phone.shop.internal:8080 | X-App: phone");
  EXPECT_EQ(rewrite("{service: s, host: \"{query.h}\"}", "/x?h=a%2Fb"),
            "400 the query parameter \"h\" holds characters that cannot stand where it is used");
  // A field without a value is not the client's to fill; a field may be made from its old value.
  EXPECT_EQ(rewrite("{service: s, headers: {x-app: \"{headers.x-app}-2\", x-user: \"{consumer.name}\", x-fixed: \"1\"}}", "/x"),
            "GET /x shop.test | x-app: phone-2 | x-fixed: 1");
  EXPECT_EQ(rewrite("{service: s, headers: {x-app: \"{consumer.name}\"}}", "/x"), "GET /x shop.test");
}

TEST_F(RewriteTest, AnAbsoluteTargetKeepsItsHost) {
  RequestForTests asked("http://shop.test:81/api/7?a=1");
  asked.capture("id", "7");
  EXPECT_EQ(rewrite("{service: s, path: \"/orders/{id}\"}", asked).said, "GET /orders/7?a=1 shop.test:81");
  EXPECT_EQ(rewrite("{service: s, host: internal}", asked).said, "GET /api/7?a=1 internal");
}

TEST_F(RewriteTest, ADroppedCallLeavesTheRequestAsItWas) {
  struct Silent final : Service {
    Task<Response> call(Request&) override {
      co_await sleep_for(1h);
      co_return Response(200);
    }
  } silent;
  RequestForTests asked("/api?a=1");
  Rewrite rewriting(read<config::ServiceDestination>("{service: s, path: /other, headers: {x-new: \"1\"}}"), silent);
  {
    Task<Response> task = rewriting.call(asked.request);
    EXPECT_FALSE(task.start());
    EXPECT_EQ(asked.request.path_and_query(), "/other?a=1");
  }
  EXPECT_EQ(asked.request.path_and_query(), "/api?a=1");
  EXPECT_TRUE(asked.request.headers.empty());
}

TEST_F(SplitTest, SharesHold) {
  Noting a;
  Noting b;
  Split split({{&a, "a", 0.95}, {&b, "b", 0.05}}, {}, 1);
  RequestForTests asked;
  constexpr int count = 20'000;
  int second = 0;
  for (int i = 0; i < count; ++i) {
    bool fixed = true;
    second += split.choose(asked.request, fixed) == 1 ? 1 : 0;
    EXPECT_FALSE(fixed);
  }
  EXPECT_NEAR(second, 0.05 * count, 5 * std::sqrt(0.05 * 0.95 * count));
}

TEST_F(SplitTest, AKeyStaysOnItsSideAndAGrowingSideKeepsWhomItHas) {
  Noting a;
  Noting b;
  auto by = [] { return std::vector{*data::Expression::parse("headers.x-user"), *data::Expression::parse("client.address")}; };
  Split small({{&a, "a", 0.9}, {&b, "b", 0.1}}, by(), 1);
  Split again({{&a, "a", 0.9}, {&b, "b", 0.1}}, by(), 2);
  Split large({{&a, "a", 0.5}, {&b, "b", 0.5}}, by(), 3);
  int second = 0;
  for (int i = 0; i < 5'000; ++i) {
    RequestForTests asked;
    asked.request.headers.add("X-User", "user-" + std::to_string(i));
    bool fixed = false;
    size_t side = small.choose(asked.request, fixed);
    EXPECT_TRUE(fixed);
    EXPECT_EQ(again.choose(asked.request, fixed), side);
    if (side == 1) {
      ++second;
      EXPECT_EQ(large.choose(asked.request, fixed), 1u);
    }
  }
  EXPECT_NEAR(second, 500, 110);
}

TEST_F(SplitTest, ASideWithoutAShareGetsNothing) {
  Noting a;
  Noting b;
  Split split({{&a, "a", 0}, {&b, "b", 1}}, {}, 1);
  RequestForTests asked;
  for (int i = 0; i < 100; ++i) call(split, asked.request);
  EXPECT_EQ(a.seen.size(), 0u);
  EXPECT_EQ(b.seen.size(), 100u);
}

std::string redirect(const std::string& yaml, std::string_view target, std::string_view host = "shop.test:8080") {
  RequestForTests asked(target);
  if (!host.empty()) asked.request.headers.add("Host", host);
  asked.capture("rest", "a/b%2Fc");
  Redirect redirecting(read<config::RedirectDestination>(yaml));
  Response response = call(redirecting, asked.request);
  if (response.fault) return std::to_string(response.status) + " " + response.fault->detail;
  return std::to_string(response.status) + " " + std::string(response.headers.find(http::Name::location).value_or("-"));
}

TEST_F(RedirectTest, ToTls) {
  EXPECT_EQ(redirect("{scheme: https}", "/a?b=c"), "308 https://shop.test/a?b=c");
  EXPECT_EQ(redirect("{scheme: https, port: 8443}", "/a?b=c"), "308 https://shop.test:8443/a?b=c");
  EXPECT_EQ(redirect("{scheme: https, port: 443}", "/"), "308 https://shop.test/");
  EXPECT_EQ(redirect("{scheme: https}", "/", "[::1]:8080"), "308 https://[::1]/");
  EXPECT_EQ(redirect("{scheme: https}", "/", ""), "400 the request names no host");
}

TEST_F(RedirectTest, PartsThatAreNotWrittenStay) {
  EXPECT_EQ(redirect("{host: www.shop.test, status: 301}", "/a?b"), "301 //www.shop.test/a?b");
  EXPECT_EQ(redirect("{port: 9000}", "/a"), "308 //shop.test:9000/a");
  EXPECT_EQ(redirect("{path: \"/new/{rest}\"}", "/old/a/b%2Fc?x=1"), "308 /new/a/b%2Fc?x=1");
  EXPECT_EQ(redirect("{scheme: http, host: h, port: 81, path: /}", "/a"), "308 http://h:81/");
}

TEST_F(RedirectTest, AWholeLocation) {
  EXPECT_EQ(redirect("https://new.example/docs/{rest}?from={query.f}", "/x?f=a%26b"), "308 https://new.example/docs/a/b%2Fc?from=a%26b");
  EXPECT_EQ(redirect("/login?back={query.back}", "/x?back=https://evil/%23"), "308 /login?back=https%3A%2F%2Fevil%2F%23");
  EXPECT_EQ(redirect("{location: \"/a/{query.p}\", status: 302}", "/x?p=//evil.example"), "302 /a/%2F%2Fevil.example");
  EXPECT_EQ(redirect("/a/{query.p}", "/x?p=.."), "400 a value would make the path lead elsewhere");
  EXPECT_EQ(redirect("/a/{query.p}", "/x"), "400 the query parameter \"p\" is missing");
}

std::string answer(const std::string& yaml, std::string_view target) {
  RequestForTests asked(target);
  FixedAnswer fixed(read<config::ResponseDestination>(yaml));
  Response response = call(fixed, asked.request);
  if (response.fault) return std::to_string(response.status) + " " + response.fault->detail;
  std::string all = std::to_string(response.status);
  for (http::Headers::Field field : response.headers) all += " | " + std::string(field.name) + ": " + std::string(field.value);
  return all + " | " + std::string(response.body.bytes().view());
}

TEST_F(FixedAnswerTest, WhatWasWritten) {
  EXPECT_EQ(answer("{status: 200}", "/"), "200 | ");
  EXPECT_EQ(answer("{status: 404, headers: {x-a: b}, body: \"{{gone}}\"}", "/"), "404 | x-a: b | {gone}");
}

TEST_F(FixedAnswerTest, ValuesAreEscapedForTheBodysType) {
  std::string_view target = "/?q=%3Cb%3E%22%26";
  EXPECT_EQ(answer("{status: 200, body: \"you asked {query.q}{query.none}.\"}", target),
            "200 | Content-Type: text/plain; charset=utf-8 | X-Content-Type-Options: nosniff | you asked <b>\"&.");
  EXPECT_EQ(answer("{status: 200, headers: {content-type: text/html}, body: \"<p>{query.q}\"}", target),
            "200 | content-type: text/html | X-Content-Type-Options: nosniff | <p>&lt;b&gt;&quot;&amp;");
  EXPECT_EQ(answer("{status: 200, headers: {content-type: application/json}, body: '{{\"q\":\"{query.q}\"}}'}", target),
            "200 | content-type: application/json | X-Content-Type-Options: nosniff | {\"q\":\"\\u003cb>\\\"&\"}");
}

TEST_F(FixedAnswerTest, HeaderValues) {
  EXPECT_EQ(answer("{status: 204, headers: {x-q: \"{query.q}\", x-none: \"{query.none}\"}}", "/?q=a%20b"), "204 | x-q: a b | ");
  EXPECT_EQ(answer("{status: 204, headers: {x-q: \"{query.q}\"}}", "/?q=a%0D%0AX-Evil:1"),
            "400 the query parameter \"q\" holds characters that cannot stand where it is used");
}

template <class T>
std::string refusal(const std::string& yaml) {
  Result<T> made = data::from_yaml<T>(yaml);
  if (made) return "taken";
  std::string text = made.error().detail;
  text = text.substr(text.find("error: ") + 7);
  return text.substr(0, text.find('\n'));
}

TEST_F(Destinations, WhatMakesNoSenseIsRefused) {
  using config::RedirectDestination;
  using config::ResponseDestination;
  using config::ServiceDestination;
  using config::SplitDestination;
  EXPECT_EQ(refusal<ServiceDestination>("{service: s, path: x}"), "a path begins with /");
  EXPECT_EQ(refusal<ServiceDestination>("{service: s, path: \"{rest}\"}"), "a path begins with /");
  EXPECT_EQ(refusal<ServiceDestination>("{service: s, path: \"/a?b=c\"}"), "a path holds no ?");
  EXPECT_EQ(refusal<ServiceDestination>("{service: s, path: \"/a b\"}"), "a path holds visible ASCII without #");
  EXPECT_EQ(refusal<ServiceDestination>("{service: s, path: /a/../b}"), "a path has no \".\" and no \"..\" segments");
  EXPECT_EQ(refusal<ServiceDestination>("{service: s, host: \"a/b\"}"), "a host has letters, digits, - and dots, and perhaps a port");
  EXPECT_EQ(refusal<ServiceDestination>("{service: s, headers: {host: a}}"), "the host is not written as a header field");
  EXPECT_EQ(refusal<ServiceDestination>("{service: s, headers: {te: a}}"), "\"te\" is written by the gateway itself");
  EXPECT_EQ(refusal<ServiceDestination>("{service: s, headers: {x: \"{id\"}}"), "a brace without its }");
  EXPECT_EQ(refusal<SplitDestination>("{split: [{service: a, share: 50%}, {service: b, share: 40%}]}"), "the shares are 90% together");
  EXPECT_EQ(refusal<SplitDestination>("{split: [{service: a, share: 100%}]}"), "\"split\" must be at least 2 entries");
  EXPECT_EQ(refusal<SplitDestination>("{split: [{service: a, share: 50%}, {service: b, share: 50%}], by: \"{id}\"}"),
            "an expression stands here without braces");
  EXPECT_EQ(refusal<RedirectDestination>("{}"), "a redirect needs `location`, or what changes of the URL");
  EXPECT_EQ(refusal<RedirectDestination>("{location: /a, host: b}"), "a redirect has `location`, or `scheme`, `host`, `port` and `path`");
  EXPECT_EQ(refusal<RedirectDestination>("{scheme: https, status: 200}"), "200 is no redirect");
  EXPECT_EQ(refusal<RedirectDestination>("\"{query.to}\""), "a location begins with /, http:// or https://");
  EXPECT_EQ(refusal<RedirectDestination>("//evil"), "a location begins with /, http:// or https://");
  EXPECT_EQ(refusal<RedirectDestination>("\"https://{query.h}/\""), "the host of a location is literal, and a / follows it");
  EXPECT_EQ(refusal<RedirectDestination>("\"https://shop.example{query.h}\""), "the host of a location is literal, and a / follows it");
  EXPECT_EQ(refusal<RedirectDestination>("\"https://shop.example\""), "taken");
  EXPECT_EQ(refusal<ResponseDestination>("{status: 200, headers: {content-type: text/xml}, body: \"{query.a}\"}"),
            "nobody knows how to escape a value in a body of this content-type");
  EXPECT_EQ(refusal<ResponseDestination>("{status: 204, body: x}"), "status 204 has no body");
}

}  // namespace
}  // namespace portloom::pipeline
