// Tests of http2_rules: RFC 9113 §8, RFC 8441, RFC 9218.
#include "http/http2_rules.h"

#include <gtest/gtest.h>

namespace portloom::http {
namespace {

TEST(Http2Rules, FieldsThatMayStand) {
  using namespace std::string_view_literals;
  for (auto [name, value] : {std::pair{"accept"sv, "*/*"sv},
                             {"x-1"sv, ""sv},
                             {"te"sv, "trailers"sv},
                             {"te"sv, "Trailers"sv},
                             {"x"sv, "a\tb"sv},
                             {"x"sv, "\xc3\xa4"sv},
                             {"priority"sv, "u=1"sv}})
    EXPECT_EQ(check_field(name, value).fault, "") << name;
  EXPECT_EQ(check_field("content-length", "1").id, Name::content_length);
}

TEST(Http2Rules, FieldsThatMayNot) {
  using namespace std::string_view_literals;
  for (auto [name, value] : {std::pair{"Accept"sv, "a"sv},
                             {""sv, "a"sv},
                             {"a b"sv, "a"sv},
                             {"a\r\nb"sv, "a"sv},
                             {"a:"sv, "a"sv},
                             {":a"sv, "a"sv},
                             {"x"sv, "a\nb"sv},
                             {"x"sv, "a\rb"sv},
                             {"x"sv, "a\0b"sv},
                             {"x"sv, " a"sv},
                             {"x"sv, "a\t"sv},
                             {"connection"sv, "close"sv},
                             {"keep-alive"sv, "1"sv},
                             {"proxy-connection"sv, "close"sv},
                             {"transfer-encoding"sv, "chunked"sv},
                             {"upgrade"sv, "h2c"sv},
                             {"te"sv, "gzip"sv},
                             {"te"sv, "trailers, gzip"sv}})
    EXPECT_NE(check_field(name, value).fault, "") << name << ": " << value;
}

TEST(Http2Rules, PseudoHeaderFields) {
  Http2Pseudo usual{.method = true, .scheme = true, .authority = true, .path = true};
  EXPECT_EQ(fault_of(usual, false), "");
  for (bool Http2Pseudo::* missing : {&Http2Pseudo::method, &Http2Pseudo::scheme, &Http2Pseudo::path}) {
    Http2Pseudo some = usual;
    some.*missing = false;
    EXPECT_NE(fault_of(some, false), "");
  }
  EXPECT_EQ(fault_of({.method = true, .authority = true}, true), "");
  EXPECT_NE(fault_of({.method = true}, true), "");
  EXPECT_NE(fault_of(usual, true), "");  // CONNECT with a path
  usual.protocol = true;
  EXPECT_EQ(fault_of(usual, true), "");
  EXPECT_NE(fault_of(usual, false), "");
}

TEST(Http2Rules, Priority) {
  auto said = [](std::string_view text) {
    std::optional<Priority> parsed = parse_priority(text);
    return parsed ? std::to_string(parsed->urgency) + (parsed->incremental ? "i" : "") : "";
  };
  EXPECT_EQ(said(""), "3");
  EXPECT_EQ(said("u=0, i"), "0i");
  EXPECT_EQ(said("i=?0,u=7"), "7");
  EXPECT_EQ(said("x=1, u=2;p=3, i=?1"), "2i");
  EXPECT_EQ(said("u=8"), "");
  EXPECT_EQ(said("u=-1"), "");
  EXPECT_EQ(said("u=1, u=5"), "5");  // the last one counts (RFC 8941 §3.2)
}

}  // namespace
}  // namespace portloom::http
