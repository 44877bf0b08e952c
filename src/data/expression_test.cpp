// data/expression_test.cpp
//
// What stands between braces: what is taken, and what is said about everything else.
#include "data/expression.h"

#include <gtest/gtest.h>

namespace portloom::data {
namespace {

using Root = Operand::Root;

// "literal|<query page or text 1>|literal"
std::string shown(std::string_view text) {
  std::expected<Template, TextFault> made = Template::parse(text);
  if (!made) return "at " + std::to_string(made.error().at) + ": " + made.error().message;
  std::string all;
  for (const Template::Piece& piece : made->pieces) {
    all += all.empty() ? "" : "|";
    if (!piece.expression) {
      all += piece.text;
      continue;
    }
    for (const Operand& operand : piece.expression->alternatives)
      all += (&operand == &piece.expression->alternatives.front() ? "<" : " or ") + in_words(operand);
    all += ">";
  }
  return all;
}

TEST(Template, BracesComputeAndDoubledOnesAreBraces) {
  EXPECT_EQ(shown(""), "");
  EXPECT_EQ(shown("plain"), "plain");
  EXPECT_EQ(shown("/users/{id}"), "/users/|<the path parameter \"id\">");
  EXPECT_EQ(shown("{{}}"), "{}");
  EXPECT_EQ(shown("{{id}}"), "{id}");
  EXPECT_EQ(shown("{{{id}}}"), "{|<the path parameter \"id\">|}");
  EXPECT_EQ(shown("{ query.page || '1' }"), "<the query parameter \"page\" or the text '1'>");
  EXPECT_EQ(shown("{query.page||'1'}{headers.x-app}"), "<the query parameter \"page\" or the text '1'>|<the header field \"x-app\">");
  EXPECT_EQ(shown("{'}'}"), "<the text '}'>");
  EXPECT_EQ(shown("{'it\\'s'}"), "<the text 'it's'>");
  EXPECT_EQ(shown("{query.\"a.b\"}"), "<the query parameter \"a.b\">");
  EXPECT_EQ(shown("{cookies.session}-{consumer}-{consumer.plan}-{tenant}-{client.address}"),
            "<the cookie \"session\">|-|<the consumer>|-|<the consumer's plan>|-|<the tenant>|-|<the client's address>");
  EXPECT_TRUE(Template::parse("{{a}}")->constant());
  EXPECT_FALSE(Template::parse("{a}")->constant());
}

TEST(Template, SaysWhereAndWhatIsWrong) {
  EXPECT_EQ(shown("a {"), "at 3: there is nothing between the braces");
  EXPECT_EQ(shown("a {}"), "at 3: there is nothing between the braces");
  EXPECT_EQ(shown("a {id"), "at 5: a brace without its }");
  EXPECT_EQ(shown("a } b"), "at 2: a } without its brace");
  EXPECT_EQ(shown("{query}"), "at 1: \"query\" needs a name");
  EXPECT_EQ(shown("{query.a.b}"), "at 1: \"query.a\" is a text: it has no members");
  EXPECT_EQ(shown("{query.}"), "at 6: a name is missing behind the dot");
  EXPECT_EQ(shown("{consumer.nam}"), "at 1: there is no consumer.nam");
  EXPECT_EQ(shown("{client}"), "at 1: there is no client without a member");
  EXPECT_EQ(shown("{header.x}"), "<{header.x}>");  // a call, for all that is known here
  EXPECT_EQ(shown("{'a}"), "at 1: a quote without its end");
  EXPECT_EQ(shown("{id!}"), "at 3: comparisons are not in this version");
  EXPECT_EQ(shown("{id || \"1\"}"), "at 7: a text stands in single quotes");
  EXPECT_EQ(shown("{id id}"), "at 4: expected || or }, found \"id}\"");
}

TEST(Template, WhatIsNotThereYetIsCalledByItsName) {
  EXPECT_EQ(shown("{claims.sub}"), "at 1: \"claims\" is not in this version");
  EXPECT_EQ(shown("{step.key}"), "at 1: \"step\" is not in this version");
  EXPECT_EQ(shown("{length(query.a)}"), "at 1: functions are not in this version");
  EXPECT_EQ(shown("{query.a[0]}"), "at 8: indexes and projections are not in this version");
  EXPECT_EQ(shown("{query.a.{b: c}}"), "at 8: objects are not in this version");
  EXPECT_EQ(shown("{query.a.*}"), "at 8: projections are not in this version");
  EXPECT_EQ(shown("{query.a | query.b}"), "at 9: pipes are not in this version");
  EXPECT_EQ(shown("{query.a == 'b'}"), "at 9: comparisons are not in this version");
  EXPECT_EQ(shown("{query.a && query.b}"), "at 9: \"and\" is not in this version");
  EXPECT_EQ(shown("{`1`}"), "at 1: JSON literals are not in this version");
  EXPECT_EQ(shown("{@}"), "at 1: @ is not in this version");
  EXPECT_EQ(shown("{(id)}"), "at 1: parentheses are not in this version");
}

TEST(Expression, StandsBare) {
  auto parsed = [](std::string_view text) {
    std::expected<Expression, TextFault> made = Expression::parse(text);
    return made ? std::to_string(made->alternatives.size()) : made.error().message + "; " + made.error().hint;
  };
  EXPECT_EQ(parsed("client.address"), "1");
  EXPECT_EQ(parsed(" consumer || headers.x-app||'none' "), "3");
  EXPECT_EQ(parsed("{consumer}"), "an expression stands here without braces; write it without { and }");
  EXPECT_EQ(parsed(""), "an expression is missing; ");
  EXPECT_EQ(parsed("consumer ||"), "an expression is missing; ");
  EXPECT_EQ(parsed("a b"), "expected || or the end, found \"b\"; ");
}

}  // namespace
}  // namespace portloom::data
