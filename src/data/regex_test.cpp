// Regex: whole texts, captures, what is refused, what a text must begin with.
#include "data/regex.h"

#include <gtest/gtest.h>

namespace portloom::data {

TEST(Regex, MatchesWholeTexts) {
  Result<Regex> regex = Regex::compile("/v[0-9]+(/.*)?");
  ASSERT_TRUE(regex);
  EXPECT_TRUE(regex->matches("/v12"));
  EXPECT_TRUE(regex->matches("/v1/a/b"));
  EXPECT_FALSE(regex->matches("/v1a"));
  EXPECT_FALSE(regex->matches("x/v1"));
  EXPECT_TRUE(regex->groups().empty());
}

TEST(Regex, CapturesNamedGroups) {
  Result<Regex> regex = Regex::compile("/(?P<a>[a-z]+)(-(?P<b>[0-9]+))?");
  ASSERT_TRUE(regex);
  std::string_view values[Regex::groups_max];
  regex->capture("/x-12", values);
  ASSERT_EQ(regex->groups().size(), 2u);
  EXPECT_EQ(regex->groups()[1].name, "b");
  EXPECT_EQ(values[0], "x");
  EXPECT_EQ(values[1], "12");
  regex->capture("/x", values);
  EXPECT_EQ(values[1].data(), nullptr);
}

TEST(Regex, RefusesWithAReason) {
  EXPECT_EQ(Regex::compile("/a(").error().detail, "missing ): /a(");
  EXPECT_FALSE(Regex::compile("(?=a)"));
  EXPECT_FALSE(Regex::compile("(a)\\1"));
  EXPECT_FALSE(Regex::compile(std::string(1025, 'a')));
  EXPECT_FALSE(Regex::compile("((((a{100}){100}){100}){100})"));
  std::string groups;
  for (int i = 0; i < 17; ++i) groups += "(a)";
  EXPECT_FALSE(Regex::compile(groups));
}

TEST(Regex, KnowsItsLiteralPrefix) {
  EXPECT_EQ(Regex::compile("/v1/orders/[0-9]+")->literal_prefix(), "/v1/orders/");
  EXPECT_EQ(Regex::compile("/a|/b")->literal_prefix(), "/");
  EXPECT_EQ(Regex::compile(".*")->literal_prefix(), "");
  EXPECT_EQ(Regex::compile("/exact")->literal_prefix(), "/exact");
}

}  // namespace portloom::data
