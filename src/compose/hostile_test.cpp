// compose/hostile_test.cpp
//
// What becomes of answers that are none, byte for byte (tests/compose/failures.txt), and of values and clients that mean no good.
#include <map>
#include <sstream>

#include "base/text.h"
#include "pipeline/problem.h"
#include "testing/golden.h"
#include "testing/kitchen.h"

namespace portloom::compose {
namespace {

using testing::Cook;
using testing::Golden;
using testing::GoldenCase;
using testing::Kitchen;

// "status: 500", "body: …" (several are joined), "hex: ff", "repeat: 3 [", "after: 1h", "refused:", "breaks:", "pieces:".
void set(Cook& cook, const std::string& script) {
  std::istringstream lines(script);
  for (std::string line; std::getline(lines, line);) {
    std::string what = line.substr(0, line.find(':'));
    std::string value = line.size() > what.size() + 2 ? line.substr(what.size() + 2) : "";
    if (what == "status")
      cook.status = static_cast<uint16_t>(std::stoi(value));
    else if (what == "after")
      cook.after = *parse_duration(value);
    else if (what == "refused")
      cook.fault = Error{Code::refused, Side::upstream, Progress::nothing, "127.0.0.1:1: refused"};
    else if (what == "breaks")
      cook.breaks = true;
    else if (what == "pieces")
      cook.in_pieces = true;
    else if (what == "location")
      cook.fields.add("Location", value);
    else if (what == "hex")
      for (size_t i = 0; i + 1 < value.size(); i += 2) cook.body += static_cast<char>(hex_value(value[i]) * 16 + hex_value(value[i + 1]));
    else if (what == "repeat")
      for (int i = std::stoi(value); i > 0; --i) cook.body += value.substr(value.find(' ') + 1);
    else
      cook.body += value;
  }
}

// As it leaves: status, fields, an empty line, the body; long runs of one letter by their number.
std::string whole(Kitchen& kitchen) {
  pipeline::Response answer = kitchen.ask();
  pipeline::render(answer, *kitchen.exchange, true);
  std::string text = std::to_string(answer.status) + "\n";
  for (http::Headers::Field field : answer.headers) text += std::string(field.name) + ": " + std::string(field.value) + "\n";
  std::string body = kitchen.text_of(answer);
  text += "\n";
  for (size_t i = 0; i < body.size();) {
    size_t end = std::min(body.find_first_not_of(body[i], i), body.size());
    text += end - i > 40 ? std::string(1, body[i]) + "*" + std::to_string(end - i) : body.substr(i, end - i);
    i = end;
  }
  return text + "\n";
}

TEST(Failures, EachHasItsBytes) {
  testing::check_golden(std::string(COMPOSE_FOLDER) + "/failures.txt", [](const Golden&, const GoldenCase& one) {
    std::string said;
    for (const char* failing : {"c", "a"}) {
      Kitchen kitchen{
          "    calls:\n"
          "      user: {service: a, path: \"/users/{id}\"}\n"
          "      orders: {service: b, path: \"/of/{user.id}\", fallback: [{value: null}]}\n"
          "      similar: {service: c, path: \"/like/{id}\", timeout: 300ms, fallback: [{value: []}]}\n"
          "    answer: {failures: true}\n"};
      kitchen.cooks["a"].body = "{\"id\": 7}";
      kitchen.cooks["b"].body = "[1.0]";
      kitchen.cooks["c"].body = "[\"x\"]";
      kitchen.cooks[failing].body.clear();
      set(kitchen.cooks[failing], one.files.front().second);
      said += std::string("-- ") + (*failing == 'c' ? "of similar\n" : "of user\n") + whole(kitchen);
    }
    return said;
  });
}

TEST(Failures, ALogLineAndAProblemNameTheServiceThatFailed) {
  Kitchen kitchen{"    calls:\n      block: {composition: block}\n      other: {service: c, path: /, fallback: [{value: 1}]}\n",
                  "  block: {calls: {x: {service: a, path: /, fallback: [{service: b, path: /}, {stale: 1m}]}}}\n"};
  kitchen.cooks["a"].body = kitchen.cooks["c"].body = "1";
  kitchen.cooks["a"].status = kitchen.cooks["b"].status = 500;
  EXPECT_EQ(kitchen.said(), "502 failed: block");
  EXPECT_EQ(kitchen.exchange->record.service(), "a");
  kitchen.cooks["a"].status = 200;
  kitchen.cooks["c"].status = 500;  // somebody stood in: nobody is blamed for the whole
  EXPECT_TRUE(kitchen.said().starts_with("200 "));
  EXPECT_EQ(kitchen.exchange->record.service(), "");
}

TEST(Failures, OfACompositionThatWasReplacedNobodyIsBlamed) {
  Kitchen kitchen{"    calls:\n      block: {composition: block, fallback: [{value: 0}]}\n",
                  "  block: {calls: {x: {service: a, path: /}}}\n"};
  kitchen.cooks["a"].status = 500;
  EXPECT_EQ(kitchen.said(), "200 {\"block\":0,\"degraded\":true,\"failedServices\":[\"block\"]}");
  EXPECT_EQ(kitchen.exchange->record.service(), "");
}

// Each of the 127 characters, alone between two others, stays in its place wherever it is put.
TEST(Injection, EveryCharacterStaysInItsPlace) {
  Kitchen kitchen{
      "    calls:\n"
      "      a: {service: a, path: /}\n"
      "      b: {service: b, path: \"/u/{a.v}/x\", method: POST, query: {q: \"{a.v}\"}, headers: {X-V: \"{a.v}\"}, body: {v: \"{a.v}\"}, "
      "fallback: [{value: 0}]}\n"};
  kitchen.cooks["b"].body = "1";
  for (int c = 1; c < 128; ++c) {
    char escaped[16];
    std::snprintf(escaped, sizeof escaped, "x\\u%04xy", static_cast<unsigned>(c));
    kitchen.cooks["a"].body = "{\"v\":\"" + std::string(escaped) + "\"}";
    kitchen.cooks["b"].asked.clear();
    kitchen.cooks["b"].heads.clear();
    kitchen.ask();
    bool control = (c < 0x20 && c != '\t') || c == 0x7f;
    ASSERT_EQ(kitchen.cooks["b"].asked.empty(), control) << c;  // a header field takes none
    if (control) continue;
    std::string in_url = std::string("x") + static_cast<char>(c) + "y";
    if (!is_alpha(in_url[1]) && !is_digit(in_url[1]) && std::string_view("-._~").find(in_url[1]) == std::string_view::npos) {
      std::snprintf(escaped, sizeof escaped, "x%%%02Xy", static_cast<unsigned>(c));
      in_url = escaped;
      std::snprintf(escaped, sizeof escaped, "x\\u%04xy", static_cast<unsigned>(c));
    }
    EXPECT_EQ(kitchen.cooks["b"].asked.front(), "POST /u/" + in_url + "/x?q=" + in_url + " {\"v\":\"" + kitchen.cooks["a"].body.substr(6));
    EXPECT_EQ(kitchen.cooks["b"].heads.front().find("X-V"), std::string("x") + static_cast<char>(c) + "y");
  }
}

constexpr const char* nest =
    "  one: {calls: {x: {composition: two}}}\n"
    "  two: {calls: {x: {composition: three}}}\n"
    "  three: {calls: {x: {service: a, path: \"/{id}\"}, y: {service: b, path: \"/{x.id}\", fallback: [{value: 0}]}}}\n";

TEST(Nested, ToTheBound) {
  Kitchen kitchen{"    calls:\n      x: {composition: one}\n", nest};
  kitchen.cooks["a"].body = "{\"id\":1}";
  kitchen.cooks["b"].body = "[2]";
  EXPECT_EQ(kitchen.said(), R"x(200 {"x":{"x":{"x":{"x":{"id":1},"y":[2]}}}})x");
  kitchen.cooks["b"].status = 500;
  EXPECT_EQ(kitchen.said(), R"x(200 {"x":{"x":{"x":{"x":{"id":1},"y":0,"degraded":true,"failedServices":["y"]}}}})x");
  EXPECT_EQ(kitchen.exchange->record.failed_services, "three.y");
}

TEST(Nested, AClientThatLeavesIsSeenByEveryServiceInEveryStage) {
  for (auto [moment, underway] : {std::pair{50ms, "a"}, {150ms, "b"}}) {
    Kitchen kitchen{"    calls:\n      x: {composition: one}\n      other: {service: c, path: /}\n", nest};
    for (const char* name : {"a", "b", "c"}) kitchen.cooks[name].after = 100ms;
    kitchen.cooks["c"].after = 1s;
    kitchen.cooks["a"].body = "{\"id\":1}";
    kitchen.begin();
    kitchen.loop.run_for(moment);
    ASSERT_EQ(kitchen.cooks[underway].asked.size(), 1U);
    kitchen.leave();
    EXPECT_EQ(kitchen.cooks[underway].dropped, 1);
    EXPECT_EQ(kitchen.cooks["c"].dropped, 1);
    kitchen.loop.run_for(1s);
    EXPECT_EQ(kitchen.cooks["b"].asked.size(), *underway == 'b' ? 1U : 0U);
  }
}

TEST(Nested, ATimeoutFurtherOutEndsAllInside) {
  Kitchen kitchen{"    calls:\n      x: {composition: one, timeout: 50ms, fallback: [{value: 0}]}\n", nest};
  kitchen.cooks["a"].after = 1s;
  EXPECT_EQ(kitchen.said(), R"x(200 {"x":0,"degraded":true,"failedServices":["x"]})x");
  EXPECT_EQ(kitchen.cooks["a"].dropped, 1);
}

}  // namespace
}  // namespace portloom::compose
