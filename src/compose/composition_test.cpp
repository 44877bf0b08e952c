// compose/composition_test.cpp
//
// What a composed answer is, byte for byte, whatever becomes of its calls; in virtual time.
#include "compose/composition.h"

#include <cstdlib>
#include <functional>
#include <random>
#include <set>

#include "testing/kitchen.h"

namespace portloom::compose {
namespace {

using testing::Cook;
using testing::Kitchen;

constexpr std::string_view three =
    "    calls:\n"
    "      user: {service: a, path: \"/users/{id}\"}\n"
    "      orders: {service: b, path: /orders, query: {user: \"{user.id}\"}, fallback: [{value: null}]}\n"
    "      similar: {service: c, path: \"/for/{id}\", timeout: 300ms, fallback: [{value: []}]}\n";

// Timers ring within a tick of the wheel.
bool is_about(Duration measured, Duration due) { return measured >= due && measured < due + 2ms; }

// All three answer.
void serve(Kitchen& kitchen) {
  kitchen.cooks["a"].body = "{\"id\": 12345678901234567890, \"name\":\"J\\u00fcrgen\"}";
  kitchen.cooks["b"].body = "[ {\"total\":10.50} ]\n";
  kitchen.cooks["c"].body = "[1e2]";
}

TEST(Composition, SplicesWhatCameInTheOrderWritten) {
  Kitchen kitchen{std::string(three)};
  serve(kitchen);
  EXPECT_EQ(
      kitchen.said(),
      "200 {\"user\":{\"id\": 12345678901234567890, \"name\":\"J\\u00fcrgen\"},\"orders\":[ {\"total\":10.50} ]\n,\"similar\":[1e2]}");
  EXPECT_EQ(kitchen.cooks["a"].asked, std::vector<std::string>{"GET /users/7"});
  EXPECT_EQ(kitchen.cooks["b"].asked, std::vector<std::string>{"GET /orders?user=12345678901234567890"});
  EXPECT_FALSE(kitchen.exchange->record.degraded);
  EXPECT_EQ(kitchen.exchange->record.subcalls.size(), 3u);
}

TEST(Composition, HoldsNoMoreThanARequestMay) {
  for (bool in_pieces : {false, true}) {
    Kitchen kitchen{std::string(three)};
    serve(kitchen);
    kitchen.cooks["b"].body = "\"" + std::string(500, 'x') + "\"";
    kitchen.cooks["c"].body = "\"" + std::string(400, 'x') + "\"";
    kitchen.cooks["c"].in_pieces = in_pieces;
    kitchen.cooks["b"].after = 10ms;
    kitchen.plan.held_max = 1000;
    EXPECT_TRUE(kitchen.said().ends_with("x\"}"));
    EXPECT_EQ(kitchen.exchange->held, 0u);  // it goes with the answer
    kitchen.plan.held_max = 900;
    std::string answer = kitchen.said();
    // Whichever comes last: pieces take their time.
    EXPECT_TRUE(answer.ends_with(in_pieces ? "\"failedServices\":[\"similar\"]}" : "\"failedServices\":[\"orders\"]}"));
  }
}

TEST(Composition, RunsInStagesAndOtherwiseAtOnce) {
  Kitchen kitchen{std::string(three)};
  serve(kitchen);
  for (const char* name : {"a", "b", "c"}) kitchen.cooks[name].after = 100ms;
  Instant begun = kitchen.loop.now();
  kitchen.ask();
  EXPECT_EQ(kitchen.cooks["a"].when.front(), kitchen.cooks["c"].when.front());
  EXPECT_TRUE(is_about(kitchen.cooks["b"].when.front() - kitchen.cooks["a"].when.front(), 100ms));
  EXPECT_TRUE(is_about(kitchen.loop.now() - begun, 200ms));
}

// Every way in which an optional call fails, and the bytes that come of it.
TEST(Composition, AnOptionalFailureIsSaidBehindTheResults) {
  const std::string degraded = "200 {\"user\":{\"id\":1},\"orders\":[],\"similar\":[],\"degraded\":true,\"failedServices\":[\"similar\"]}";
  struct Case {
    const char* name;
    std::function<void(Cook&)> make;
  };
  const std::vector<Case> cases = {
      {"not 2xx", [](Cook& cook) { cook.status = 500; }},
      {"not found", [](Cook& cook) { cook.status = 404; }},
      {"redirect", [](Cook& cook) { cook.status = 302; }},
      {"timeout", [](Cook& cook) { cook.after = 1h; }},
      {"refused", [](Cook& cook) { cook.fault = Error{Code::refused, Side::upstream, Progress::nothing, {}}; }},
      {"broken", [](Cook& cook) { cook.body = "[1,2,3", cook.breaks = true; }},
      {"HTML", [](Cook& cook) { cook.body = "<!doctype html><h1>Oops</h1>"; }},
      {"empty", [](Cook& cook) { cook.body = ""; }},
      {"truncated", [](Cook& cook) { cook.body = "[1,2"; }},
      {"two values", [](Cook& cook) { cook.body = "[] []"; }},
      {"depth bomb", [](Cook& cook) { cook.body = std::string(100'000, '['); }},
      {"over its bound", [](Cook& cook) { cook.body = "\"" + std::string(1024 * 1024, 'x') + "\""; }},
      {"over its bound in pieces",
       [](Cook& cook) { cook.body = "\"" + std::string(1200, 'x') + "\"", cook.in_pieces = true, cook.after = 0ms; }},
      {"not UTF-8", [](Cook& cook) { cook.body = "\"\xff\""; }},
  };
  for (const Case& one : cases) {
    bool small = std::string_view(one.name) == "over its bound in pieces";
    std::string text(three);
    if (small) text.replace(text.find("timeout: 300ms"), 14, "timeout: 900ms, limit: 1KiB");
    Kitchen kitchen{text};
    kitchen.cooks["a"].body = "{\"id\":1}";
    kitchen.cooks["b"].body = "[]";
    kitchen.cooks["c"].body = "[9]";
    one.make(kitchen.cooks["c"]);
    EXPECT_EQ(kitchen.said(), degraded) << one.name;
    EXPECT_TRUE(kitchen.exchange->record.degraded) << one.name;
    EXPECT_EQ(kitchen.exchange->record.failed_services, "similar") << one.name;
  }
}

TEST(Composition, WhatIsUnusualAndJsonIsTakenAsItIs) {
  for (std::string_view body : {"{\"a\":1,\"a\":2}", "\"\\ud800\"", "123456789012345678901234567890", "null", " [ ] ", "false", "\"x\""}) {
    Kitchen kitchen{"    calls:\n      x: {service: a, path: /}\n"};
    kitchen.cooks["a"].body = body;
    EXPECT_EQ(kitchen.said(), "200 {\"x\":" + std::string(body) + "}");
  }
  Kitchen kitchen{"    calls:\n      x: {service: a, path: /}\n"};
  kitchen.cooks["a"].status = 204;
  EXPECT_EQ(kitchen.said(), "200 {\"x\":null}");
  kitchen.cooks["a"].status = 201;
  kitchen.cooks["a"].body = "\xef\xbb\xbf{}";
  EXPECT_EQ(kitchen.said(), "200 {\"x\":{}}");
  kitchen.cooks["a"].body = "\xef\xbb\xbf\xef\xbb\xbf{}";  // the slicer passes over one of them, and the other would stay
  EXPECT_EQ(kitchen.said(), "502 failed: x");
  kitchen.cooks["a"].in_pieces = true;
  kitchen.cooks["a"].body = "[1,2,3,4,5,6,7,8]";
  EXPECT_EQ(kitchen.said(), "200 {\"x\":[1,2,3,4,5,6,7,8]}");
}

TEST(Composition, ARequiredFailureAnswersAtOnceAndCancelsTheRest) {
  for (auto [late, status] : {std::pair{false, 502}, {true, 504}}) {
    Kitchen kitchen{std::string(three)};
    serve(kitchen);
    kitchen.cooks["c"].after = 250ms;
    kitchen.cooks["a"].after = late ? 1h : 50ms;
    kitchen.cooks["a"].status = 404;
    if (late) kitchen.cooks["c"].after = 290ms;
    Instant begun = kitchen.loop.now();
    EXPECT_EQ(kitchen.said(), std::to_string(status) + " failed: user");
    EXPECT_TRUE(is_about(kitchen.loop.now() - begun, late ? 2s : 50ms));
    EXPECT_EQ(kitchen.cooks["c"].dropped, late ? 0 : 1);
    EXPECT_TRUE(kitchen.cooks["b"].asked.empty());
    EXPECT_FALSE(kitchen.exchange->record.degraded);
  }
}

TEST(Composition, ATimeoutOfTheWholeAndADeadlineStillLeaveAnAnswer) {
  Kitchen kitchen{"    timeout: 100ms\n" + std::string(three)};
  serve(kitchen);
  kitchen.cooks["c"].after = kitchen.cooks["b"].after = 1h;
  Instant begun = kitchen.loop.now();
  std::string due =
      "200 {\"user\":{\"id\": 12345678901234567890, \"name\":\"J\\u00fcrgen\"},\"orders\":null,\"similar\":[],"
      "\"degraded\":true,\"failedServices\":[\"orders\",\"similar\"]}";
  EXPECT_EQ(kitchen.said(), due);
  EXPECT_TRUE(is_about(kitchen.loop.now() - begun, 100ms));
  kitchen.deadline = 60ms;  // of the request: shorter, and there is still time to say what is missing
  begun = kitchen.loop.now();
  EXPECT_EQ(kitchen.said(), due);
  EXPECT_TRUE(is_about(kitchen.loop.now() - begun, 50ms));
}

TEST(Composition, ACallThatCannotMakeItIsNotStarted) {
  Kitchen kitchen{"    timeout: 100ms\n" + std::string(three)};
  serve(kitchen);
  kitchen.cooks["a"].after = 100ms;  // as long as all may take
  EXPECT_TRUE(kitchen.said().ends_with("\"orders\":null,\"similar\":[1e2],\"degraded\":true,\"failedServices\":[\"orders\"]}"));
  EXPECT_TRUE(kitchen.cooks["b"].asked.empty());
}

TEST(Composition, TheClientLeavesAtEachStage) {
  for (Duration moment : {0ms, 1ms, 50ms, 149ms}) {
    Kitchen kitchen{std::string(three)};
    serve(kitchen);
    for (const char* name : {"a", "b", "c"}) kitchen.cooks[name].after = 100ms;
    kitchen.begin();
    kitchen.loop.run_for(moment);
    size_t underway = 0;
    for (const auto& [name, cook] : kitchen.cooks) underway += cook.asked.size();
    underway -= moment > 100ms ? 2 : 0;  // a and c have answered by then
    kitchen.leave();
    size_t dropped = 0;
    for (const auto& [name, cook] : kitchen.cooks) dropped += static_cast<size_t>(cook.dropped);
    EXPECT_EQ(dropped, underway) << moment.count();
    kitchen.loop.run_for(1s);
    EXPECT_EQ(kitchen.cooks["b"].asked.size(), moment > 100ms ? 1u : 0u);
  }
}

// The same outcomes give the same bytes, whoever answers first.
TEST(Composition, DelaysChangeNothing) {
  std::string runs = std::getenv("COMPOSE_RUNS") == nullptr ? "1000" : std::getenv("COMPOSE_RUNS");
  std::mt19937 random(7);
  std::set<std::string> answers;
  for (int run = 0; run < std::stoi(runs); ++run) {
    Kitchen kitchen{
        "    calls:\n"
        "      one: {service: a, path: /}\n"
        "      two: {service: b, path: \"/{one.id}\", fallback: [{value: 2}]}\n"
        "      three: {service: c, path: /, fallback: [{omit: true}]}\n"
        "      four: {service: d, path: /, query: {x: \"{two || one.id}\"}, fallback: [{value: {four: true}}]}\n",
        {},
        random()};
    for (const char* name : {"a", "b", "c", "d"}) {
      kitchen.cooks[name].after = Duration(1ms) * (random() % 50);
      kitchen.cooks[name].in_pieces = random() % 2 == 0;
    }
    kitchen.cooks["a"].body = "{\"id\":1}";
    kitchen.cooks["b"].status = 503;
    kitchen.cooks["c"].body = "oops";
    kitchen.cooks["d"].body = "[4]";
    answers.insert(kitchen.said());
  }
  ASSERT_EQ(answers.size(), 1u);
  EXPECT_EQ(*answers.begin(), "200 {\"one\":{\"id\":1},\"two\":2,\"four\":[4],\"degraded\":true,\"failedServices\":[\"two\",\"three\"]}");
}

TEST(Composition, AnInputThatFailedFailsTheCall) {
  Kitchen kitchen{
      "    calls:\n"
      "      user: {service: a, path: /, fallback: [{omit: true}]}\n"
      "      orders: {service: b, path: /orders, query: {user: \"{user.id}\"}, fallback: [{value: []}]}\n"};
  kitchen.cooks["a"].status = 500;
  EXPECT_EQ(kitchen.said(), "200 {\"orders\":[],\"degraded\":true,\"failedServices\":[\"user\",\"orders\"]}");
  EXPECT_TRUE(kitchen.cooks["b"].asked.empty());  // all orders of everybody, had it been asked
  kitchen.cooks["a"].status = 200;
  kitchen.cooks["a"].body = "{}";
  kitchen.cooks["b"].body = "[1]";
  EXPECT_EQ(kitchen.said(), "200 {\"user\":{},\"orders\":[1]}");  // it answered, and has no id: a query without a value
  EXPECT_EQ(kitchen.cooks["b"].asked.back(), "GET /orders");
}

TEST(Composition, ForksCarryWhoAsksAndNotWhatIsAskedOfUs) {
  Kitchen kitchen{
      "    calls:\n      x: {service: a, path: /, method: POST, headers: {X-App: \"{query.app}\"}, body: {id: \"{id}\", n: 1}}\n"};
  kitchen.cooks["a"].body = "1";
  kitchen.cooks["a"].fields.add("Set-Cookie", "session=1; HttpOnly");
  kitchen.cooks["a"].fields.add("X-Secret", "y");
  kitchen.fields = {{"Authorization", "Bearer t"}, {"Cookie", "a=b"},       {"Accept-Encoding", "gzip"}, {"If-None-Match", "\"1\""},
                    {"Range", "bytes=0-1"},        {"Content-Type", "x/y"}, {"Content-Length", "3"},     {"Accept", "text/html"}};
  pipeline::Response answer = kitchen.ask("/home/a%20b?app=1");
  EXPECT_EQ(kitchen.text_of(answer), "{\"x\":1}");
  EXPECT_EQ(kitchen.cooks["a"].asked.front(), "POST / {\"id\":\"a b\",\"n\":1}");
  std::string seen;
  for (http::Headers::Field field : kitchen.cooks["a"].heads.front())
    seen += std::string(field.name) + ": " + std::string(field.value) + "\n";
  EXPECT_EQ(seen, "Host: shop\nAuthorization: Bearer t\nCookie: a=b\nAccept: application/json\nX-App: 1\nContent-Type: application/json\n");
  std::string fields;
  for (http::Headers::Field field : answer.headers) fields += std::string(field.name) + ": " + std::string(field.value) + "\n";
  EXPECT_EQ(fields, "Content-Type: application/json\nSet-Cookie: session=1; HttpOnly\nCache-Control: no-store\n");
}

TEST(Composition, WhenDecidesWhetherACallIsMade) {
  Kitchen kitchen{
      "    calls:\n"
      "      user: {service: a, path: /}\n"
      "      offers: {service: b, path: /, when: user.premium}\n"};
  kitchen.cooks["b"].body = "[1]";
  for (auto [user, made] : {std::pair{"{\"premium\":true}", true},
                            {"{\"premium\":false}", false},
                            {"{}", false},
                            {"{\"premium\":[ ]}", false},
                            {"{\"premium\":0}", true}}) {
    kitchen.cooks["a"].body = user;
    EXPECT_EQ(kitchen.said(), "200 {\"user\":" + std::string(user) + (made ? ",\"offers\":[1]}" : "}"));
  }
}

TEST(Composition, ManyCallsAtOnce) {
  std::string calls = "    calls:\n";
  std::string due = "200 {";
  for (int i = 0; i < 50; ++i) {
    calls += "      c" + std::to_string(i) + ": {service: a, path: /" + std::to_string(i) + "}\n";
    due += (i == 0 ? "\"c" : ",\"c") + std::to_string(i) + "\":[]";
  }
  Kitchen kitchen{calls};
  kitchen.cooks["a"].body = "[]";
  kitchen.cooks["a"].after = 10ms;
  Instant begun = kitchen.loop.now();
  EXPECT_EQ(kitchen.said(), due + "}");
  EXPECT_TRUE(is_about(kitchen.loop.now() - begun, 10ms));
}

TEST(Composition, ALargeMemberIsNotCopied) {
  Kitchen kitchen{"    calls:\n      x: {service: a, path: /, limit: 16MiB}\n"};
  kitchen.cooks["a"].body = "\"" + std::string(8 * 1024 * 1024, 'x') + "\"";
  kitchen.plan.held_max = kitchen.cooks["a"].body.size();
  pipeline::Response answer = kitchen.ask();
  EXPECT_EQ(answer.body.length(), kitchen.cooks["a"].body.size() + 6);
  EXPECT_EQ(kitchen.text_of(answer), "{\"x\":" + kitchen.cooks["a"].body + "}");
}

}  // namespace
}  // namespace portloom::compose
