// data/plain_yaml_test.cpp
//
// Whatever the quick reader takes, the whole parser reads alike, places included; and it takes what most people write.
#include "data/plain_yaml.h"

#include <gtest/gtest.h>

#include "base/random.h"
#include "data/yaml.h"

namespace portloom::data {
namespace {

std::string text_of(const Value& value) {
  std::string text = "@" + std::to_string(value.at.line) + ":" + std::to_string(value.at.column) + " ";
  if (value.is_text()) text += (value.quoted ? "\"" : "'") + value.text + "'";
  if (value.is_null()) text += "null";
  if (value.is_list()) text += "[";
  for (const Value& item : value.list) text += text_of(item) + ", ";
  if (value.is_map()) text += "{";
  for (const Value::Entry& entry : value.map)
    text += entry.key + "@" + std::to_string(entry.at.line) + ":" + std::to_string(entry.at.column) + "= " + text_of(entry.value) + ", ";
  return text;
}

// Is it taken? And if so: alike?
bool taken(const std::string& text) {
  Sources sources;
  sources.add("f.yaml", text);
  Problems problems(sources);
  std::optional<Value> plain = read_plain_yaml(text, 0);
  if (!plain) return false;
  std::optional<Value> whole = read_whole_yaml(0, problems);
  std::string problem = render(problems.take());
  if (problem.contains("belongs to no UTF-8 text")) return false;  // read_yaml looks at this first
  EXPECT_TRUE(whole) << text << problem;
  if (whole) {
    EXPECT_EQ(text_of(*plain), text_of(*whole)) << text;
  }
  return true;
}

constexpr std::string_view usual = R"(# a comment: with {braces}
version: 1
listeners: {edge: {address: "127.0.0.1:0"}}   # behind
services:
  shop:
    endpoints: ["10.0.0.1:80", '10.0.0.2:80', a.example:80]
    policies:
      - timeout: 2s

      - retry: {attempts: 3, causes: [refused, reset]}
      - headers:
          set: {x-a: "quote \" and back\\slash", x-b: 'it''s'}
  users: {endpoints: [], health: ~}
routes:
- match: {method: GET, path: "/a/{id}"}
  to: shop
- {match: {path_prefix: /b,
           headers: {x: "*"}},   # in two lines
   to: {service: users}}
-
  match: {host: a.b-c.example}
  to: null
- - nested
  - - deeper
    - "é": ü
empty:
nothing: {}
last: a plain text, with [brackets] and a # too: no
)";

TEST(PlainYaml, TakesWhatMostPeopleWrite) {
  std::string text(usual);
  text.erase(text.rfind(" and a # too: no"), 16);
  EXPECT_TRUE(taken(text));
  EXPECT_TRUE(taken("a: 1"));
  EXPECT_TRUE(taken("\n# x\na:\n  b: [1, 2]\n"));
}

TEST(PlainYaml, LeavesTheRest) {
  for (std::string_view text : {"",
                                "- a\n",
                                "a: &x 1\n",
                                "a: *x\n",
                                "a: !t 1\n",
                                "a: |\n  b\n",
                                "a: >-\n  b\n",
                                "a: b\n  c\n",
                                "a: b: c\n",
                                "a: 1\na: 2\n",
                                "<<: {a: 1}\n",
                                "a: \"x\\u0041\"\n",
                                "a: {b}\n",
                                "a: [b: c]\n",
                                "a: [b,]\n",
                                "a: {b: }\n",
                                "a: 1\n---\nb: 2\n",
                                "a: 1\n...\n",
                                "a:\t1\n",
                                "a: 1\r\nb: 2\n",
                                "? a\n: 1\n",
                                "a: \"x\n  y\"\n",
                                "~: 1\n",
                                "a: {b: 1\n}\n",
                                "a: [1\n",
                                "a:\n   b: 1\n  c: 2\n",
                                "{a: 1}\n",
                                "a: 'x\n",
                                "a: \"b\"c\n",
                                "a: @b\n",
                                "a: %b\n"})
    EXPECT_FALSE(taken(std::string(text))) << text;
}

TEST(PlainYaml, IsNeverOfAnotherOpinion) {
  constexpr std::string_view letters = "{}[],:#-'\"\n \\&*!|>?%@`~<.x1=";
  Random random(7);
  size_t both = 0;
  for (int round = 0; round < 6000 && !::testing::Test::HasFailure(); ++round) {
    // Some lines of it, alone or inside of something.
    std::string text(usual.substr(0, usual.find("last:")));
    size_t begin = text.find('\n', random.below(text.size() / 2)) + 1;
    size_t end = text.find('\n', begin + random.below(text.size() / 2));
    text = text.substr(begin, end - begin) + "\n";
    if (random.below(2) == 0) text = "a:\n" + text;
    for (uint64_t edits = random.below(3) + 1; edits > 0 && !text.empty(); --edits) {
      size_t at = random.below(text.size());
      char letter = letters[random.below(letters.size())];
      switch (random.below(4)) {
        case 0: text.erase(at, 1); break;
        case 1: text[at] = letter; break;
        case 2: text.insert(at, 1, letter); break;
        default: text.insert(at, text.substr(random.below(text.size()), random.below(12))); break;
      }
    }
    both += taken(text) ? 1 : 0;
  }
  EXPECT_GT(both, 500u);
}

}  // namespace
}  // namespace portloom::data
