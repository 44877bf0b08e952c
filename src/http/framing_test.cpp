// Tests of framing beyond the wire tables: who is blamed, and what the facts mean to a connection.
#include "http/framing.h"

#include <gtest/gtest.h>

namespace portloom::http {

TEST(Framing, RequestsBlameTheClientAndResponsesTheUpstream) {
  RequestHead request("POST", "/");
  request.headers.add(Name::host, "a");
  request.headers.add(Name::content_length, "x");
  EXPECT_EQ(request_framing(request).error().side, Side::client);
  ResponseHead response;
  response.headers.add(Name::content_length, "x");
  EXPECT_EQ(response_framing(response, Method::GET).error().side, Side::upstream);
  EXPECT_EQ(response_framing(response, Method::GET).error().code, Code::upstream_protocol);
}

TEST(Framing, HostIsCheckedUnlessToldOtherwise) {
  RequestHead request("GET", "/");
  EXPECT_FALSE(request_framing(request));
  EXPECT_TRUE(request_body_framing(request));
  request.headers.add(Name::host, "");  // an empty one is valid by itself
  EXPECT_TRUE(request_framing(request));
}

TEST(Framing, AnHttp10ClientThatStaysIsToldSo) {
  RequestHead request("GET", "/");
  request.minor = 0;
  request.headers.add(Name::connection, "keep-alive");
  EXPECT_TRUE(request_framing(request)->announce_keep_alive);
}

TEST(Framing, ListContains) {
  Headers headers;
  headers.add(Name::connection, "a, b");
  headers.add(Name::connection, ",C ,");
  EXPECT_TRUE(list_contains(headers, Name::connection, "c"));
  EXPECT_TRUE(list_contains(headers, Name::connection, "A"));
  EXPECT_FALSE(list_contains(headers, Name::connection, "ab"));
}

}  // namespace portloom::http
