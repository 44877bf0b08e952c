// compose/asked_test.cpp
//
// The client's body in a composition's texts.
#include "compose/asked.h"

#include "testing/kitchen.h"

namespace portloom::compose {
namespace {

using testing::Kitchen;

constexpr const char* order =
    "    calls:\n"
    "      price: {service: a, path: \"/prices/{body.items[0].sku}\", query: {currency: \"{body.currency || 'EUR'}\", code: "
    "\"{body.code}\"}}\n"
    "      stock: {service: b, path: /stock, method: POST, body: {items: \"{body.items}\", note: \"for {body.who.name}\"}}\n"
    "      gift: {service: c, path: /gift, when: body.gift, fallback: [{omit: true}]}\n"
    "    body: {price: \"{price}\", stock: \"{stock}\", echo: \"{body.total}\", gift: \"{gift}\"}\n";

void serve(Kitchen& kitchen) {
  kitchen.cooks["a"].body = "1";
  kitchen.cooks["b"].body = "2";
  kitchen.cooks["c"].body = "3";
}

TEST(Asked, PartsOfItGoOnAsTheBytesThatCame) {
  Kitchen kitchen{order};
  serve(kitchen);
  kitchen.body = R"({"items":[{"sku":"a/b", "n":1.0}],"currency":"a&b","total":10.50,"who":{"name":"J\u00f6\""},"gift":true})";
  EXPECT_EQ(kitchen.said(), R"(200 {"price":1,"stock":2,"echo":10.50,"gift":3})");
  EXPECT_EQ(kitchen.cooks["a"].asked.front(), "GET /prices/a%2Fb?currency=a%26b");
  EXPECT_EQ(kitchen.cooks["b"].asked.front(), R"(POST /stock {"items":[{"sku":"a/b", "n":1.0}],"note":"for J\u00f6\""})");
}

TEST(Asked, WhatIsNotThereIsMissing) {
  Kitchen kitchen{order};
  serve(kitchen);
  EXPECT_EQ(kitchen.said(), "502 failed: price");  // no body at all: the path has no value
  kitchen.body = R"({"items":[{"sku":"x"}],"total":null,"gift":[]})";
  EXPECT_EQ(kitchen.said(), R"(200 {"price":1,"stock":2,"echo":null,"gift":null})");
  EXPECT_EQ(kitchen.cooks["a"].asked.back(), "GET /prices/x?currency=EUR");
  EXPECT_TRUE(kitchen.cooks["c"].asked.empty());
}

TEST(Asked, WhatCannotBeReadIsRefusedBeforeAnyCall) {
  Kitchen kitchen{order};
  serve(kitchen);
  auto refused = [&](std::string body) {
    kitchen.body = std::move(body);
    pipeline::Response answer = kitchen.ask();
    return std::to_string(answer.status) + " " + (answer.fault ? answer.fault->detail : "");
  };
  EXPECT_EQ(refused("<order/>"), "400 the request's body is not JSON: expected a value at byte 0");
  EXPECT_TRUE(refused("{\"items\":[").starts_with("400 "));
  EXPECT_TRUE(refused(std::string(100'000, '[')).starts_with("400 "));
  EXPECT_TRUE(refused("\"" + std::string(1024 * 1024, 'x') + "\"").starts_with("413 "));
  kitchen.plan.held_max = 1000;
  EXPECT_EQ(refused("\"" + std::string(1000, 'x') + "\""), "413 the request's body exceeds limits.buffered");
  EXPECT_EQ(kitchen.exchange->held, 0u);
  for (const auto& [name, cook] : kitchen.cooks) EXPECT_TRUE(cook.asked.empty());
}

TEST(Asked, ACompositionInsideSeesIt) {
  Kitchen kitchen{"    calls:\n      x: {composition: inner}\n", "  inner: {calls: {y: {service: a, path: \"/{body.id}\"}}}\n"};
  kitchen.cooks["a"].body = "1";
  kitchen.body = R"({"id":7})";
  EXPECT_EQ(kitchen.said(), R"(200 {"x":{"y":1}})");
  EXPECT_EQ(kitchen.cooks["a"].asked.front(), "GET /7");
}

TEST(Asked, WhereNobodyWantsItItIsNotRead) {
  Kitchen kitchen{"    calls:\n      x: {service: a, path: /}\n"};
  kitchen.cooks["a"].body = "1";
  kitchen.body = "<no json>";
  EXPECT_EQ(kitchen.said(), R"(200 {"x":1})");
}

}  // namespace
}  // namespace portloom::compose
