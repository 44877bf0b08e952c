// compose/fallback_test.cpp
//
// What stands in for a call that fails, the form that an answer is given, and that no value leaves the place it is put in.
#include <thread>

#include "testing/kitchen.h"

namespace portloom::compose {
namespace {

using testing::Kitchen;

TEST(Fallback, AlternativesAreTriedInOrder) {
  Kitchen kitchen{
      "    calls:\n"
      "      x: {service: a, path: /, fallback: [{service: b, path: /best, query: {for: \"{id}\"}}, {value: {n: [1, \"{id}\"]}}]}\n"};
  kitchen.cooks["a"].status = 500;
  kitchen.cooks["b"].body = "[\"best\"]";
  EXPECT_EQ(kitchen.said(), "200 {\"x\":[\"best\"],\"degraded\":true,\"failedServices\":[\"x\"]}");
  EXPECT_EQ(kitchen.cooks["b"].asked.front(), "GET /best?for=7");
  kitchen.cooks["b"].status = 500;
  EXPECT_EQ(kitchen.said(), "200 {\"x\":{\"n\":[1,\"7\"]},\"degraded\":true,\"failedServices\":[\"x\"]}");
}

TEST(Fallback, OneThatCannotServeLeavesTheCallRequired) {
  Kitchen kitchen{"    calls:\n      x: {service: a, path: /, fallback: [{service: b, path: /}]}\n"};
  kitchen.cooks["a"].status = kitchen.cooks["b"].status = 500;
  EXPECT_EQ(kitchen.said(), "502 failed: x");
}

TEST(Fallback, AStaleAnswerIsTheSameQuestionsAndSaysItsAge) {
  Kitchen kitchen{
      "    calls:\n      x: {service: a, path: \"/{id}\", fallback: [{stale: 1m}, {value: null}]}\n    answer: {failures: true}\n"};
  kitchen.fields = {{"Authorization", "Bearer one"}};
  kitchen.cooks["a"].body = "{\"secret\":1}";
  EXPECT_EQ(kitchen.said(), "200 {\"x\":{\"secret\":1}}");
  kitchen.cooks["a"].status = 500;
  kitchen.loop.run_for(42s);
  pipeline::Response answer = kitchen.ask();
  EXPECT_EQ(answer.headers.find("Age"), "42");
  EXPECT_EQ(answer.headers.find("Cache-Control"), "no-store");
  std::string text = kitchen.text_of(answer);
  EXPECT_TRUE(
      text.starts_with("{\"x\":{\"secret\":1},\"degraded\":true,\"failedServices\":[\"x\"],\"failures\":[{\"call\":\"x\",\"service\":\"a\","
                       "\"reason\":\"status\",\"status\":500,\"elapsed_ms\":"))
      << text;
  EXPECT_TRUE(text.ends_with(",\"fallback\":\"stale\",\"age\":42}]}")) << text;
  EXPECT_TRUE(kitchen.said("/home/8").starts_with("200 {\"x\":null,\"degraded\""));  // another path
  kitchen.fields = {{"Authorization", "Bearer two"}};
  EXPECT_TRUE(kitchen.said().starts_with("200 {\"x\":null,\"degraded\""));  // another user
  kitchen.fields = {{"Authorization", "Bearer one"}};
  kitchen.loop.run_for(19s);
  EXPECT_TRUE(kitchen.said().starts_with("200 {\"x\":null,\"degraded\""));  // too old
}

TEST(Fallback, WhatSaysNoStoreIsNotKept) {
  Kitchen kitchen{"    calls:\n      x: {service: a, path: /, fallback: [{stale: 1m}, {value: null}]}\n"};
  kitchen.cooks["a"].body = "1";
  kitchen.cooks["a"].fields.add("Cache-Control", "private, No-Store");
  pipeline::Response answer = kitchen.ask();
  EXPECT_EQ(answer.headers.find("Cache-Control"), "no-store");
  kitchen.cooks["a"].status = 500;
  EXPECT_EQ(kitchen.said(), "200 {\"x\":null,\"degraded\":true,\"failedServices\":[\"x\"]}");
}

TEST(Fallback, AStaleAnswerOutlivesTheConfigurationThatAskedForIt) {
  Kitchen kitchen{"    calls:\n      x: {service: a, path: /, fallback: [{stale: 1m}, {value: null}]}\n"};
  kitchen.cooks["a"].body = "1";
  EXPECT_EQ(kitchen.said(), "200 {\"x\":1}");
  kitchen.cooks["a"].status = 500;
  kitchen.reload("    calls:\n      x: {service: a, path: /, timeout: 1s, fallback: [{stale: 2m}, {value: 0}]}\n");
  EXPECT_EQ(kitchen.said(), "200 {\"x\":1,\"degraded\":true,\"failedServices\":[\"x\"]}");
  kitchen.reload(
      "    calls:\n      x: {service: a, path: /, pick: [y], fallback: [{stale: 2m}, {value: 0}]}\n");  // asks for something else
  EXPECT_EQ(kitchen.said(), "200 {\"x\":0,\"degraded\":true,\"failedServices\":[\"x\"]}");
}

TEST(Stale, IsBoundedAndForgetsWhatIsUnusedForLongest) {
  StaleStore store({});
  for (int i = 0; i < 4000; ++i) {
    store.keep("q" + std::to_string(i), "1", Instant{});
    store.find("q0", 1h, Instant{});
  }
  EXPECT_EQ(store.size(), StaleStore::entries_max);
  EXPECT_TRUE(store.find("q0", 1h, Instant{}));
  EXPECT_FALSE(store.find("q1", 1h, Instant{}));
  for (int i = 0; i < 30; ++i) store.keep("large" + std::to_string(i), std::string(1024 * 1024, 'x'), Instant{});
  EXPECT_LE(store.bytes(), StaleStore::bytes_max);
  store.keep("huge", std::string(4 * 1024 * 1024, 'x'), Instant{});
  EXPECT_FALSE(store.find("huge", 1h, Instant{}));
  store.keep("large29", "2", Instant{} + 5s);
  EXPECT_EQ(*store.find("large29", 1h, Instant{} + 6s)->answer, "2");
  EXPECT_FALSE(store.find("large29", 1s, Instant{} + 7s));
}

TEST(Stale, IsOneForAllWorkers) {
  StaleStore store({});
  std::vector<std::thread> workers;
  for (int worker = 0; worker < 4; ++worker)
    workers.emplace_back([&store, worker] {
      for (int i = 0; i < 5000; ++i) {
        std::string question = "q" + std::to_string((i * 7 + worker) % 2000);
        store.keep(question, question + " answered", Instant{});
        std::optional<StaleStore::Kept> kept = store.find(question, 1h, Instant{});
        if (kept) EXPECT_EQ(*kept->answer, question + " answered");
      }
    });
  for (std::thread& worker : workers) worker.join();
  EXPECT_LE(store.size(), StaleStore::entries_max);
  EXPECT_GE(store.size(), StaleStore::entries_max - StaleStore::shards);
}

TEST(Fallback, NamesOfOurMembersAndTimesOnRequest) {
  Kitchen kitchen{
      "    calls:\n      x: {service: a, path: /, fallback: [{omit: true}]}\n      y: {service: b, path: /}\n"
      "    answer: {degraded: partial, failed_services: missing, server_timing: true}\n"};
  kitchen.cooks["a"].status = 500;
  kitchen.cooks["b"].body = "1";
  kitchen.cooks["b"].after = 0ms;
  pipeline::Response answer = kitchen.ask();
  EXPECT_EQ(kitchen.text_of(answer), "{\"y\":1,\"partial\":true,\"missing\":[\"x\"]}");
  EXPECT_EQ(answer.headers.find("Server-Timing"), "x;dur=0.0;desc=\"status\", y;dur=0.0");
}

TEST(Fallback, NothingButFailuresIsAnAnswerToo) {
  Kitchen all{"    calls:\n      x: {service: a, path: /, fallback: [{omit: true}]}\n"};
  all.cooks["a"].status = 500;
  EXPECT_EQ(all.said(), "200 {\"degraded\":true,\"failedServices\":[\"x\"]}");
}

TEST(Body, IsTheAnswerAsItWillLook) {
  Kitchen kitchen{
      "    calls:\n"
      "      product: {service: a, path: \"/{id}\"}\n"
      "      stock: {service: b, path: /, fallback: [{value: {available: null}}]}\n"
      "      unused: {service: c, path: /}\n"
      "    body:\n"
      "      id: \"{id}\"\n"
      "      name: \"{product.name}\"\n"
      "      price: \"{product.price.amount}\"\n"
      "      label: \"{product.name} by {product.brand} ({product.price.amount})\"\n"
      "      image: \"{product.images[1].url || product.images[0].url || 'none'}\"\n"
      "      stock: {available: \"{stock.available}\", literal: [1, true, null, \"1\", \"{{x}}\"]}\n"
      "      all: \"{stock}\"\n"};
  kitchen.cooks["a"].body = R"({"name":"B\u00fcste \"A\"","brand":"N&<","price":{"amount":10.50},"images":[{"url":"/1"},{"url":""}]})";
  kitchen.cooks["b"].body = "{ \"available\":1e1 }";
  EXPECT_EQ(kitchen.said(),
            R"x(200 {"id":"7","name":"B\u00fcste \"A\"","price":10.50,"label":"B\u00fcste \"A\" by N&< (10.50)","image":"/1",)x"
            R"("stock":{"available":1e1,"literal":[1,true,null,"1","{x}"]},"all":{ "available":1e1 }})");
  EXPECT_TRUE(kitchen.cooks["c"].asked.empty());
  kitchen.cooks["b"].status = 500;
  EXPECT_TRUE(kitchen.said().ends_with(R"("all":{"available":null},"degraded":true,"failedServices":["stock"]})"));
}

TEST(Body, PickAndOmitKeepBytes) {
  Kitchen kitchen{
      "    calls:\n      x: {service: a, path: /, pick: [id, n\"]}\n      y: {service: a, path: /, omit: [id, gone]}\n      z: {service: "
      "b, path: /, pick: [id]}\n"
      "      w: {service: a, path: /, pick: [none]}\n"};
  kitchen.cooks["a"].body = R"( { "id" : 1.0 , "n\"":{"}":[1,"]"]}, "rest":[ ] } )";
  kitchen.cooks["b"].body = "[{\"id\":1}]";
  EXPECT_EQ(kitchen.said(), R"x(200 {"x":{"id" : 1.0,"n\"":{"}":[1,"]"]}},"y":{"n\"":{"}":[1,"]"]},"rest":[ ]},"z":[{"id":1}],"w":{}})x");
}

TEST(Nested, ACompositionInACompositionSaysWhatItMisses) {
  Kitchen kitchen{
      "    calls:\n      block: {composition: block}\n      other: {service: c, path: /, fallback: [{omit: true}]}\n",
      "  block: {calls: {x: {service: a, path: \"/{id}\"}, y: {service: b, path: /, query: {x: \"{x.id}\"}, fallback: [{value: 0}]}}}\n"};
  kitchen.cooks["a"].body = "{\"id\":1}";
  kitchen.cooks["b"].status = 500;
  kitchen.cooks["c"].body = "2";
  pipeline::Response answer = kitchen.ask();
  EXPECT_EQ(kitchen.text_of(answer), "{\"block\":{\"x\":{\"id\":1},\"y\":0,\"degraded\":true,\"failedServices\":[\"y\"]},\"other\":2}");
  EXPECT_EQ(answer.headers.find("Cache-Control"), "no-store");
  EXPECT_TRUE(kitchen.exchange->record.degraded);
  EXPECT_EQ(kitchen.exchange->record.failed_services, "block.y");
  EXPECT_EQ(kitchen.cooks["a"].asked.front(), "GET /7");
  kitchen.cooks["a"].status = 500;
  EXPECT_EQ(kitchen.said(), "502 failed: block");
}

// Whatever a service answers, it stays one value in the place that the configuration gave it.
TEST(Injection, NoValueLeavesItsPlace) {
  Kitchen kitchen{
      "    calls:\n"
      "      a: {service: a, path: /}\n"
      "      b: {service: b, path: \"/u/{a.v}/x\", method: POST, query: {q: \"{a.v}\", fixed: 1}, body: {v: \"{a.v}\", t: \"<{a.v}>\"}, "
      "fallback: [{value: 0}]}\n"};
  kitchen.cooks["b"].body = "1";
  for (auto [value, path, query] :
       {std::tuple{R"(a/b)", "a%2Fb", "a%2Fb"},
        {R"(a?x=1#y&z=2)", "a%3Fx%3D1%23y%26z%3D2", "a%3Fx%3D1%23y%26z%3D2"},
        {R"(%2e%2e%2f;\\\" )", "%252e%252e%252f%3B%5C%22%20", "%252e%252e%252f%3B%5C%22%20"},
        {R"(\r\nHost: evil\u0000)", "%0D%0AHost%3A%20evil%00", "%0D%0AHost%3A%20evil%00"},
        {R"(\",\"admin\":true,\"x\":\")", "%22%2C%22admin%22%3Atrue%2C%22x%22%3A%22", "%22%2C%22admin%22%3Atrue%2C%22x%22%3A%22"},
        {R"({a.v}{{)", "%7Ba.v%7D%7B%7B", "%7Ba.v%7D%7B%7B"}}) {
    kitchen.cooks["a"].body = "{\"v\":\"" + std::string(value) + "\"}";
    kitchen.ask();
    ASSERT_FALSE(kitchen.cooks["b"].asked.empty());
    EXPECT_EQ(kitchen.cooks["b"].asked.back(),
              "POST /u/" + std::string(path) + "/x?q=" + query + "&fixed=1 {\"v\":\"" + value + "\",\"t\":\"<" + value + ">\"}");
  }
  size_t asked = kitchen.cooks["b"].asked.size();
  for (std::string_view value : {"\"..\"", "\".\"", "\"\"", "null", "[1]", "{}", "\"\\ud800\""}) {  // no segment of a path, or another path
    kitchen.cooks["a"].body = "{\"v\":" + std::string(value) + "}";
    EXPECT_TRUE(kitchen.said().ends_with("\"b\":0,\"degraded\":true,\"failedServices\":[\"b\"]}")) << value;
  }
  EXPECT_EQ(kitchen.cooks["b"].asked.size(), asked);
}

TEST(Injection, AHeaderTakesNoLineBreak) {
  Kitchen kitchen{
      "    calls:\n      a: {service: a, path: /}\n      b: {service: b, path: /, headers: {X-V: \"{a.v}\"}, fallback: [{value: 0}]}\n"};
  kitchen.cooks["a"].body = R"({"v":"x\r\nX-Evil: 1"})";
  kitchen.cooks["b"].body = "1";
  EXPECT_TRUE(kitchen.said().ends_with("\"b\":0,\"degraded\":true,\"failedServices\":[\"b\"]}"));
  EXPECT_TRUE(kitchen.cooks["b"].asked.empty());
}

}  // namespace
}  // namespace portloom::compose
