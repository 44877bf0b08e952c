// pipeline/inputs_test.cpp
//
// Values of a request in texts of the configuration: found, escaped for their place, and never more than a value there.
#include "pipeline/inputs.h"

#include <gtest/gtest.h>

#include "http/form.h"
#include "http/grammar.h"
#include "http/path.h"
#include "pipeline/request_for_tests.h"

namespace portloom::pipeline {
namespace {

std::string filled(RequestForTests& asked, std::string_view text, Place place) {
  std::expected<data::Template, data::TextFault> made = data::Template::parse(text);
  if (!made) return made.error().message;
  http::Writer to(16);
  Filling filling = fill(*made, place, asked.request, to);
  if (!filling) return refuse(filling).fault->detail;
  return std::string(to.view());
}

TEST(Inputs, AreFoundWhereTheirRootSays) {
  RequestForTests asked("/users/7?page=2&empty=&sp=a+b%2Fc&page=3");
  asked.request.headers.add("X-App", "phone");
  asked.request.headers.add("Cookie", "theme=dark; session=s1; session=s2");
  asked.capture("id", "7");
  asked.exchange.identity = {.consumer = "acme", .tenant = "t1", .plan = "pro", .groups = {}};
  for (auto [text, due] : {std::pair{"{id}", "7"},
                           {"{query.page}", "2"},
                           {"{query.sp}", "a b/c"},
                           {"{headers.x-app}", "phone"},
                           {"{cookies.session}", "s1"},
                           {"{cookies.theme}", "dark"},
                           {"{consumer}{consumer.name}", "acmeacme"},
                           {"{consumer.tenant}{tenant}", "t1t1"},
                           {"{consumer.plan}", "pro"},
                           {"{client.address}", "192.0.2.1"},
                           {"{query.none || query.empty || 'x'}", "x"},
                           {"{query.none || query.page}", "2"},
                           {"[{query.none}]", "[]"},
                           {"{{{id}}}", "{7}"}})
    EXPECT_EQ(filled(asked, text, Place::text), due) << text;
}

TEST(Inputs, WhatIsMissingIsCalledByItsName) {
  RequestForTests asked("/?empty=");
  EXPECT_EQ(filled(asked, "/a/{query.none}", Place::path), "the query parameter \"none\" is missing");
  EXPECT_EQ(filled(asked, "/a/{query.empty}", Place::path), "the query parameter \"empty\" is missing");  // not /a/, which is another thing
  EXPECT_EQ(filled(asked, "/a/{query.empty || 'b'}", Place::path), "/a/b");
  EXPECT_EQ(filled(asked, "{query.empty}", Place::query), "");
  EXPECT_EQ(filled(asked, "{headers.x-app}", Place::header), "the header field \"x-app\" is missing");
  EXPECT_EQ(filled(asked, "{consumer.tenant}", Place::host), "the consumer's tenant is missing");
  asked.capture("rest", "");
  EXPECT_EQ(filled(asked, "/a/{rest}", Place::path), "/a/");
}

TEST(Inputs, APathParameterGoesOnAsItCame) {
  RequestForTests asked;
  asked.capture("id", "a%2Fb%20c;v=1");
  asked.capture("rest", "x/y%3F");
  EXPECT_EQ(filled(asked, "/{id}/{rest}", Place::path), "/a%2Fb%20c;v=1/x/y%3F");
  EXPECT_EQ(filled(asked, "{id}", Place::query), "a%2Fb%20c%3Bv%3D1");
  EXPECT_EQ(filled(asked, "{id}", Place::header), "a/b c;v=1");
  EXPECT_EQ(filled(asked, "{id}", Place::json), "a/b c;v=1");
}

TEST(Inputs, WhatNoPathMayHoldIsEscaped) {
  RequestForTests asked;
  asked.capture("id", "\\evil.example|\"<>^`\xC3\xA9");
  EXPECT_EQ(filled(asked, "/{id}", Place::path), "/%5Cevil.example%7C%22%3C%3E%5E%60%C3%A9");
}

TEST(Inputs, TooMuchIsRefused) {
  RequestForTests asked;
  std::string large(filled_bytes_max / 2 + 1, 'x');
  asked.request.headers.add("X-Large", large);
  EXPECT_EQ(filled(asked, "{headers.x-large}", Place::header), large);
  std::expected<data::Template, data::TextFault> twice = data::Template::parse("{headers.x-large}{headers.x-large}");
  http::Writer to;
  Filling filling = fill(*twice, Place::header, asked.request, to);
  EXPECT_EQ(filling.outcome, Filling::Outcome::too_long);
  EXPECT_EQ(refuse(filling).status, 414);
}

// Every byte, alone and in company, in every place: what comes out has exactly one value where one was meant.
class Injection : public testing::TestWithParam<int> {
 protected:
  std::string value = std::string("a") + static_cast<char>(GetParam()) + "b";
  std::string encoded() const {
    std::string text;
    http::append_form_encoded(text, value);
    return text;
  }
  std::string put(Place place) {
    RequestForTests asked("/?v=" + encoded());
    return filled(asked, "{query.v}", place);
  }
};
INSTANTIATE_TEST_SUITE_P(EveryByte, Injection, testing::Range(0, 256));

TEST_P(Injection, NeverLeavesItsSegment) {
  std::string text = put(Place::path);
  EXPECT_EQ(text.find_first_of("/?#;\\ \r\n"), std::string::npos) << text;
  EXPECT_TRUE(http::is_target_text(text)) << text;
  EXPECT_EQ(http::form_decode(text), value);
}

TEST_P(Injection, NeverLeavesItsParameter) {
  std::string text = put(Place::query);
  EXPECT_EQ(text.find_first_of("&=#+; \r\n"), std::string::npos) << text;
  EXPECT_EQ(http::form_decode(text), value);
}

TEST_P(Injection, NeverSplitsAHead) {
  bool allowed = http::is_field_value(value);
  EXPECT_EQ(put(Place::header), allowed ? value : "the query parameter \"v\" holds characters that cannot stand where it is used");
}

TEST_P(Injection, NeverMakesAnotherHost) {
  char c = static_cast<char>(GetParam());
  bool allowed = is_alpha(c) || is_digit(c) || c == '-' || c == '.' || c == '_';
  EXPECT_EQ(put(Place::host), allowed ? value : "the query parameter \"v\" holds characters that cannot stand where it is used");
}

TEST_P(Injection, NeverEndsAJsonString) {
  std::string text = put(Place::json);
  for (size_t i = 0; i < text.size(); ++i) {
    EXPECT_GE(static_cast<uint8_t>(text[i]), 0x20u);
    if (text[i] == '\\') {
      ASSERT_LT(i + 1, text.size());
      EXPECT_NE(std::string_view("\"\\u").find(text[i + 1]), std::string_view::npos) << text;
      ++i;
    } else {
      EXPECT_NE(text[i], '"') << text;
    }
  }
  if (GetParam() >= 0x80)
    EXPECT_EQ(text,
              "a\xEF\xBF\xBD"
              "b");
}

TEST_P(Injection, NeverOpensATag) {
  std::string text = put(Place::html);
  EXPECT_EQ(text.find_first_of("<>\"'"), std::string::npos) << text;
}

TEST(Inputs, WhatIsNoUnicodeIsReplacedInJson) {
  RequestForTests asked("/?a=%C3%A9&b=%C3&c=%ED%A0%80&d=%F0%9F%98%80&e=%F4%90%80%80&f=%C0%AF");
  constexpr const char* replaced = "\xEF\xBF\xBD";
  EXPECT_EQ(filled(asked, "{query.a}", Place::json), "\xC3\xA9");
  EXPECT_EQ(filled(asked, "{query.b}", Place::json), replaced);
  EXPECT_EQ(filled(asked, "{query.c}", Place::json), std::string(replaced) + replaced + replaced);  // a lone surrogate
  EXPECT_EQ(filled(asked, "{query.d}", Place::json), "\xF0\x9F\x98\x80");
  EXPECT_EQ(filled(asked, "{query.e}", Place::json), std::string(replaced) + replaced + replaced + replaced);
  EXPECT_EQ(filled(asked, "{query.f}", Place::json), std::string(replaced) + replaced);
}

TEST(Inputs, DotSegmentsAreSeen) {
  for (std::string_view path : {"/..", "/a/../b", "/.", "/a/.", "/a/..;x=1/b"}) EXPECT_TRUE(has_dot_segment(path)) << path;
  for (std::string_view path : {"/", "/a", "/...", "/a/..b", "/.well-known", "/a./b"}) EXPECT_FALSE(has_dot_segment(path)) << path;
}

}  // namespace
}  // namespace portloom::pipeline
