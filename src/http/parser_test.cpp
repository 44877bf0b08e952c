// Tests of HeadParser beyond the wire tables: limits at their borders, reuse, buffers that move.
#include "http/parser.h"

#include <gtest/gtest.h>

#include <string>

#include "http/grammar.h"

namespace portloom::http {

TEST(HeadParser, ReadsHeadsOneAfterAnother) {
  std::string input = "GET /1 HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\nGET /2 HTTP/1.0\r\n\r\nrest";
  HeadParser parser;
  RequestHead head;
  size_t consumed = 0;
  ASSERT_EQ(parser.parse_request(input, head, consumed), HeadParser::State::complete);
  EXPECT_EQ(head.headers.size(), 2U);
  input.erase(0, consumed);
  ASSERT_EQ(parser.parse_request(input, head, consumed), HeadParser::State::complete);
  EXPECT_EQ(head.target(), "/2");
  EXPECT_EQ(head.minor, 0);
  EXPECT_TRUE(head.headers.empty()) << "fields of the head before are still there";
  EXPECT_EQ(input.substr(consumed), "rest");
}

TEST(HeadParser, TheBufferMayMoveBetweenCalls) {
  std::string_view text = "HTTP/1.1 200 OK\r\nA: b\r\nC: d\r\n\r\n";
  HeadParser parser;
  ResponseHead head;
  size_t consumed = 0;
  for (size_t size = 0; size < text.size(); ++size) {
    std::string moved(text.substr(0, size));
    ASSERT_EQ(parser.parse_response(moved, head, consumed), HeadParser::State::incomplete);
    EXPECT_EQ(parser.begun(), size > 0);
  }
  ASSERT_EQ(parser.parse_response(std::string(text), head, consumed), HeadParser::State::complete);
  EXPECT_EQ(consumed, text.size());
  EXPECT_EQ(head.headers.find("c"), "d");
  EXPECT_FALSE(parser.begun());
}

TEST(HeadParser, LimitsHoldToTheByte) {
  std::string fields = "A: b\r\nC: d\r\n";
  for (size_t limit : {fields.size(), fields.size() - 1}) {
    HeadParser parser({.headers = limit, .uri = 3, .header_count = 2});
    RequestHead head;
    size_t consumed = 0;
    bool fits = parser.parse_request("GET /12 HTTP/1.1\r\n" + fields + "\r\n", head, consumed) == HeadParser::State::complete;
    EXPECT_EQ(fits, limit == fields.size());
    if (!fits) EXPECT_EQ(parser.error().code, Code::headers_too_large);
  }
  HeadParser parser({.headers = 100, .uri = 3, .header_count = 2});
  RequestHead head;
  size_t consumed = 0;
  EXPECT_EQ(parser.parse_request("GET /123 HTTP/1.1\r\n", head, consumed), HeadParser::State::failed);
  EXPECT_EQ(parser.error().code, Code::target_too_long);
}

TEST(HeadParser, BlamesWhoeverSpoke) {
  HeadParser parser;
  RequestHead request;
  ResponseHead response;
  size_t consumed = 0;
  ASSERT_EQ(parser.parse_request("\x16\x03", request, consumed), HeadParser::State::failed);
  EXPECT_EQ(parser.error().side, Side::client);
  HeadParser other;
  ASSERT_EQ(other.parse_response("220 smtp", response, consumed), HeadParser::State::failed);
  EXPECT_EQ(other.error().side, Side::upstream);
  EXPECT_EQ(other.error().code, Code::upstream_protocol);
}

TEST(Grammar, FieldValuesAreScannedWhole) {
  for (size_t size : {1U, 15U, 16U, 17U, 33U, 64U}) {
    for (size_t at = 0; at < size; ++at) {
      std::string text(size, 'a');
      for (char bad : {'\0', '\r', '\n', '\x1f', '\x7f'}) {
        text[at] = bad;
        EXPECT_FALSE(is_field_value(text));
        EXPECT_FALSE(is_target_text(text));
      }
      for (char good : {'\t', ' ', '\x80', '\xff'}) {
        text[at] = good;
        EXPECT_TRUE(is_field_value(text));
        EXPECT_FALSE(is_target_text(text));
      }
      text[at] = '#';
      EXPECT_FALSE(is_target_text(text));
      text[at] = '~';
      EXPECT_TRUE(is_target_text(text));
    }
  }
}

TEST(Grammar, Authorities) {
  Authority authority;
  for (const char* good : {"a", "a:", "a:1", "a.b-c_d:65535", "127.0.0.1", "[::1]", "[::ffff:1.2.3.4]:80", "a%20b"})
    EXPECT_TRUE(parse_authority(good, authority)) << good;
  for (const char* bad :
       {"", ":80", "a:65536", "a:-1", "a:1:2", "u@a", "a/b", "[::1", "[]", "[1.2.3.4]", "::1", "[::1]x", "a%2", "a b", "a:000080"})
    EXPECT_FALSE(parse_authority(bad, authority)) << bad;
  ASSERT_TRUE(parse_authority("[::1]:80", authority));
  EXPECT_EQ(authority.host, "[::1]");
  EXPECT_EQ(authority.port, "80");
  EXPECT_TRUE(parse_authority("", authority, true));
}

}  // namespace portloom::http
