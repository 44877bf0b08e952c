// data/yaml_test.cpp
//
// What YAML is taken, what is refused, and where a value stands.
#include "data/yaml.h"

#include <gtest/gtest.h>

namespace portloom::data {
namespace {

struct Read {
  std::optional<Value> value;
  std::string problems;
};

Read read(std::string text) {
  Sources sources;
  sources.add("f.yaml", std::move(text));
  Problems problems(sources);
  Read done;
  done.value = read_yaml(0, problems);
  done.problems = render(problems.take());
  return done;
}

TEST(Yaml, KeepsOrderTextAndPlaces) {
  Read done = read("b: 1\na:\n  - x\n  - \"no\"\n  - {c: 1.10}\n");
  ASSERT_TRUE(done.value) << done.problems;
  EXPECT_EQ(done.value->map[0].key, "b");
  const Value& list = done.value->map[1].value;
  ASSERT_EQ(list.list.size(), 3U);
  EXPECT_EQ(list.list[0].at, (Position{0, 3, 5}));
  EXPECT_TRUE(list.list[1].quoted);
  EXPECT_FALSE(list.list[0].quoted);
  EXPECT_EQ(list.list[2].find("c")->value.text, "1.10");
  EXPECT_EQ(list.list[2].find("c")->at, (Position{0, 5, 6}));
}

TEST(Yaml, AnEmptyValueStandsAtItsKey) {
  Read done = read("a:\n\n\nb: 1\n");
  ASSERT_TRUE(done.value);
  EXPECT_TRUE(done.value->map[0].value.is_null());
  EXPECT_EQ(done.value->map[0].value.at, (Position{0, 1, 1}));
}

TEST(Yaml, AnEmptyDocumentIsNothing) {
  EXPECT_TRUE(read("").value->is_null());
  EXPECT_TRUE(read("# only a comment\n").value->is_null());
}

TEST(Yaml, AliasesAreExpanded) {
  Read done = read("a: &x {k: [1, 2]}\nb: *x\n");
  ASSERT_TRUE(done.value) << done.problems;
  EXPECT_EQ(done.value->map[1].value.find("k")->value.list.size(), 2U);
}

TEST(Yaml, RefusesADuplicateKeyAndNamesBothPlaces) {
  EXPECT_EQ(read("a: 1\nb: 2\na: 3\n").problems,
            "f.yaml:3:1: error: \"a\" is written twice\n"
            "a: 3\n"
            "^ the first is at f.yaml:1:1\n");
}

TEST(Yaml, RefusesACyclicAlias) {
  EXPECT_EQ(read("a: &x\n  b: *x\n").problems,
            "f.yaml:2:6: error: an alias inside of what it stands for\n"
            "  b: *x\n"
            "     ^\n");
}

TEST(Yaml, RefusesTheMergeKey) {
  EXPECT_EQ(read("a: &x {k: 1}\nb:\n  <<: *x\n").problems,
            "f.yaml:3:3: error: the merge key << is not taken\n"
            "  <<: *x\n"
            "  ^ write the keys out\n");
}

TEST(Yaml, RefusesASecondDocument) {
  Read done = read("a: 1\n---\nb: 2\n");
  EXPECT_FALSE(done.value);
  EXPECT_NE(done.problems.find("a second document in one file"), std::string::npos) << done.problems;
}

TEST(Yaml, RefusesATag) { EXPECT_NE(read("a: !!int \"3\"\n").problems.find("tags are not taken"), std::string::npos); }

TEST(Yaml, SaysQuoteThisTextAtAnUnquotedBrace) {
  EXPECT_EQ(read("to: {service: x, path: /p/{id}}\nb: 1\n").problems.find("quote this text") == std::string::npos, false);
  EXPECT_EQ(read("a: 1\npath: {id}/rest\n").problems.find("quote this text") == std::string::npos, false)
      << read("a: 1\npath: {id}/rest\n").problems;
}

TEST(Yaml, BoundsDepth) {
  EXPECT_TRUE(read(std::string(64, '[') + std::string(64, ']')).value);
  EXPECT_NE(read(std::string(65, '[') + std::string(65, ']')).problems.find("more than 64 levels"), std::string::npos);
  EXPECT_FALSE(read(std::string(5000, '[')).value);
}

TEST(Yaml, BoundsWhatAliasesExpandTo) {
  std::string text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 9; ++i) {
    std::string last = "*a" + std::to_string(i - 1);
    text += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [" + last;
    for (int j = 0; j < 9; ++j) text += ", " + last;
    text += "]\n";
  }
  EXPECT_NE(read(text).problems.find("more than a million values"), std::string::npos);
}

TEST(Yaml, ScalarsAreReadBackAsTheyWere) {
  for (std::string_view text :
       {"plain", "a b",         "",         " lead",        "no",       "true", "1.10", "0x10",     "{id}", "a: b", "a #b", "-",
        "- x",   "line\nbreak", "quote\"d", "\x7f",         "[::1]:80", "3s",   "1e3",  "/v1/{id}", "a,b",  "?",    "*",    "&x",
        "!t",    "%5",          "unix:/x",  "127.0.0.1:80", "1:30",     "ünï",  "~",    "<<"}) {
    Read done = read("k: " + yaml_scalar(text) + "\nl: [" + yaml_scalar(text) + "]\n");
    ASSERT_TRUE(done.value) << text << "\n" << done.problems;
    EXPECT_EQ(done.value->map[0].value.text, text);
    EXPECT_EQ(done.value->map[1].value.list[0].text, text);
  }
}

TEST(Value, MergeUnitesMapsReplacesListsAndRemovesNulls) {
  Value under = *read("a: {x: 1, y: 2}\nl: [1, 2]\ngone: 1\n").value;
  merge(under, *read("a: {y: 3, z: 4}\nl: [9]\ngone: null\n").value);
  EXPECT_EQ(under.find("a")->value.find("x")->value.text, "1");
  EXPECT_EQ(under.find("a")->value.find("y")->value.text, "3");
  EXPECT_EQ(under.find("a")->value.find("z")->value.text, "4");
  EXPECT_EQ(under.find("l")->value.list.size(), 1U);
  EXPECT_EQ(under.find("gone"), nullptr);
}

}  // namespace
}  // namespace portloom::data
