// data/text_test.cpp
//
// Problems as text, JSON and annotations; JSON writing; quantities.
#include <gtest/gtest.h>

#include "data/json.h"
#include "data/problem.h"
#include "data/quantity.h"

namespace portloom::data {
namespace {

std::string json(std::string_view text) {
  std::string out;
  append_json_string(out, text);
  return out;
}

TEST(Json, EscapesStrings) {
  EXPECT_EQ(json("plain"), "\"plain\"");
  EXPECT_EQ(json("a\"b\\c\n\t\x01\x7f"), "\"a\\\"b\\\\c\\n\\t\\u0001\\u007f\"");
  EXPECT_EQ(json("ü€😀"), "\"ü€😀\"");
}

TEST(Json, BytesThatAreNotUtf8AreReplaced) {
  EXPECT_EQ(json("a\xff"), "\"a\xef\xbf\xbd\"");
  EXPECT_EQ(json("\xc0\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\"");                  // overlong
  EXPECT_EQ(json("\xed\xa0\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");  // a surrogate
  EXPECT_EQ(json("\xe2\x82"), "\"\xef\xbf\xbd\xef\xbf\xbd\"");                  // cut short
}

TEST(Json, WritesNestedValues) {
  std::string out;
  JsonWriter writer(out);
  writer.begin_object()
      .member("a", 1)
      .key("b")
      .begin_array()
      .value(true)
      .value(1.5)
      .null()
      .begin_object()
      .end_object()
      .end_array()
      .member("c", "x")
      .end_object();
  EXPECT_EQ(out, R"({"a":1,"b":[true,1.5,null,{}],"c":"x"})");
}

TEST(Json, Indents) {
  std::string out;
  JsonWriter(out, 2).begin_object().key("a").begin_array().value(1).value(2).end_array().key("b").begin_array().end_array().end_object();
  EXPECT_EQ(out, "{\n  \"a\": [\n    1,\n    2\n  ],\n  \"b\": []\n}");
}

ConfigProblem problem() { return {"a,b.yaml", 3, 5, Severity::error, "routes[0]", "100% wrong", "did you mean \"x\"?", "    bad: 1"}; }

TEST(Problem, RendersForPeople) {
  EXPECT_EQ(render({problem()}), "a,b.yaml:3:5: error: 100% wrong\n    bad: 1\n    ^ did you mean \"x\"?\n");
  ConfigProblem nowhere_at{.message = "no file", .hint = "write one"};
  EXPECT_EQ(render({nowhere_at}), "error: no file: write one\n");
}

TEST(Problem, RendersForMachines) {
  EXPECT_EQ(render({problem()}, ProblemFormat::json),
            "{\"file\":\"a,b.yaml\",\"line\":3,\"column\":5,\"severity\":\"error\",\"key\":\"routes[0]\",\"message\":\"100% "
            "wrong\",\"hint\":\"did you mean \\\"x\\\"?\"}\n");
  EXPECT_EQ(render({problem()}, ProblemFormat::github), "::error file=a%2Cb.yaml,line=3,col=5::100%25 wrong; did you mean \"x\"?\n");
}

TEST(Problem, TheCaretStandsUnderWideCharactersAndTabs) {
  ConfigProblem p{"f", 1, 5, Severity::warning, "", "m", "", "\tüx"};
  p.column = 4;
  EXPECT_EQ(render({p}), "f:1:4: warning: m\n\tüx\n\t ^\n");
}

TEST(Problem, CannotSteerATerminal) {
  ConfigProblem p{"f", 1, 1, Severity::error, "", "a\x1b[31m\nb", "", "x\x1b[2J"};
  EXPECT_EQ(render({p}), "f:1:1: error: a [31m b\nx [2J\n^\n");
}

TEST(Problem, ALongLineIsShownAroundItsPlace) {
  ConfigProblem p{"f", 1, 1001, Severity::error, "", "m", "", std::string(1000, 'a') + "!" + std::string(1000, 'b')};
  std::string text = render({p});
  EXPECT_LT(text.size(), 400U);
  EXPECT_NE(text.find("\n" + std::string(80, 'a') + "!"), std::string::npos) << text;
  EXPECT_NE(text.find("\n" + std::string(80, ' ') + "^"), std::string::npos) << text;
}

TEST(Quantity, Sizes) {
  EXPECT_EQ(parse_size("64KiB")->bytes, 65536U);
  EXPECT_EQ(parse_size("10MB")->bytes, 10'000'000U);
  EXPECT_EQ(parse_size("0B")->bytes, 0U);
  for (std::string_view wrong : {"", "KiB", "10", "10 MB", "-1B", "10mb", "99999999999TiB"}) EXPECT_FALSE(parse_size(wrong)) << wrong;
  for (uint64_t bytes : {0ULL, 1ULL, 1000ULL, 1024ULL, 1536ULL, 10'000'000ULL, 1ULL << 40})
    EXPECT_EQ(parse_size(format_size(Size{bytes}))->bytes, bytes);
}

TEST(Quantity, Percents) {
  EXPECT_EQ(parse_percent("0.1%")->fraction, 0.001);
  EXPECT_EQ(format_percent(Percent{0.001}), "0.1%");
  for (std::string_view wrong : {"", "%", "5", "-5%", "5 %", "1e3%", "nan%"}) EXPECT_FALSE(parse_percent(wrong)) << wrong;
}

TEST(Quantity, Addresses) {
  EXPECT_EQ(parse_address("host:80")->text(), "host:80");
  EXPECT_EQ(parse_address("[::1]:80")->text(), "[::1]:80");
  EXPECT_EQ(parse_address(":80")->text(), ":80");
  EXPECT_EQ(parse_address("unix:/run/x")->unix_path, "/run/x");
  EXPECT_TRUE(parse_address("127.1.2.3:0")->is_loopback());
  EXPECT_FALSE(parse_address("127.evil.example:80")->is_loopback());
  EXPECT_FALSE(parse_address(":80")->is_loopback());
  for (std::string_view wrong :
       {"", "host", "host:", "host:65536", "::1:80", "[::1]", "[x]:80", "a b:80", "unix:", "host:8 0", "http://x:80"})
    EXPECT_FALSE(parse_address(wrong)) << wrong;
}

TEST(Quantity, Networks) {
  for (std::string_view right : {"10.0.0.0/8", "::1", "2001:db8::/32", "1.2.3.4"}) EXPECT_TRUE(is_network(right)) << right;
  for (std::string_view wrong : {"", "10.0.0.0/33", "10.0.0/8", "x", "::/129", "1.2.3.4/"}) EXPECT_FALSE(is_network(wrong)) << wrong;
}

}  // namespace
}  // namespace portloom::data
