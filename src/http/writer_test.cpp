// Tests of the writer: what goes out, what never does, and that it reads back.
#include "http/writer.h"

#include <gtest/gtest.h>

#include <string>

#include "http/chunked.h"
#include "http/hop_by_hop.h"
#include "http/parser.h"

namespace portloom::http {

namespace {

template <class Head>
std::string written(const Head& head, const Framing& framing, ExtraFields extra = {}) {
  Writer out(16);
  if constexpr (std::is_same_v<Head, RequestHead>)
    write_request_head(out, head, framing, extra);
  else
    write_response_head(out, head, framing, extra);
  EXPECT_LE(out.size(), head_bytes(head, extra));
  return std::string(out.finish().view());
}

}  // namespace

TEST(Writer, RequestWithLength) {
  RequestHead head("POST", "/a?b");
  head.headers.add(Name::host, "h");
  head.headers.add(Name::content_length, "999");
  head.headers.add("X", "y");
  head.headers.add(Name::connection, "close");
  head.headers.add("Z", "");
  EXPECT_EQ(written(head, {.kind = Framing::Kind::length, .length = 5}),
            "POST /a?b HTTP/1.1\r\nHost: h\r\nX: y\r\nZ: \r\nContent-Length: 5\r\n\r\n");
  EXPECT_EQ(written(head, {.kind = Framing::Kind::chunked}),
            "POST /a?b HTTP/1.1\r\nHost: h\r\nX: y\r\nZ: \r\nTransfer-Encoding: chunked\r\n\r\n");
  EXPECT_EQ(written(head, {.kind = Framing::Kind::none}), "POST /a?b HTTP/1.1\r\nHost: h\r\nX: y\r\nZ: \r\nContent-Length: 0\r\n\r\n");
}

TEST(Writer, AbsoluteFormMakesItsOwnHost) {  // R7 i
  RequestHead head("GET", "http://real:8080/x");
  head.headers.add(Name::host, "forged");
  EXPECT_EQ(written(head, {}), "GET /x HTTP/1.1\r\nHost: real:8080\r\n\r\n");
}

TEST(Writer, ConnectAndUpgrade) {
  RequestHead connect("CONNECT", "a:443");
  EXPECT_EQ(written(connect, {}), "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n");
  RequestHead upgrade("GET", "/ws");
  upgrade.headers.add(Name::host, "a");
  upgrade.headers.add(Name::upgrade, "websocket");
  EXPECT_EQ(written(upgrade, {.upgrade = true}), "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n");
  EXPECT_EQ(written(upgrade, {}), "GET /ws HTTP/1.1\r\nHost: a\r\n\r\n");
}

TEST(Writer, ResponsesAndTheirFraming) {
  ResponseHead head{.status = 404};
  head.headers.add("X", "y");
  ExtraField extra[] = {{"Date", "now"}};
  EXPECT_EQ(written(head, {.kind = Framing::Kind::length, .length = 0}, extra),
            "HTTP/1.1 404 Not Found\r\nX: y\r\nContent-Length: 0\r\nDate: now\r\n\r\n");
  EXPECT_EQ(written(head, {.kind = Framing::Kind::until_close, .keep_alive = false}),
            "HTTP/1.1 404 Not Found\r\nX: y\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(written(head, {.announce_keep_alive = true}), "HTTP/1.1 404 Not Found\r\nX: y\r\nConnection: keep-alive\r\n\r\n");
  EXPECT_EQ(written(head, {.length = 7, .declares_length = true}), "HTTP/1.1 404 Not Found\r\nX: y\r\nContent-Length: 7\r\n\r\n");
  ResponseHead odd{.status = 799, .reason = Bytes::literal("Odd")};
  EXPECT_EQ(written(odd, {}), "HTTP/1.1 799 Odd\r\n\r\n");
}

TEST(Writer, NoFramingWhereNoneMayBe) {
  for (uint16_t status : {uint16_t{100}, uint16_t{103}, uint16_t{204}})
    for (Framing::Kind kind : {Framing::Kind::length, Framing::Kind::chunked}) {
      std::string text = written(ResponseHead{.status = status}, {.kind = kind, .length = 3});
      EXPECT_EQ(text.find("Content-Length"), std::string::npos);
      EXPECT_EQ(text.find("Transfer-Encoding"), std::string::npos);
    }
}

TEST(Writer, ExpectGoesOutOnlyIfItWasUnderstood) {
  RequestHead head("PUT", "/");
  head.headers.add(Name::expect, "200-ok");  // of HTTP/1.0: ignored there
  EXPECT_EQ(written(head, {.kind = Framing::Kind::length, .length = 1}), "PUT / HTTP/1.1\r\nContent-Length: 1\r\n\r\n");
  EXPECT_EQ(written(head, {.kind = Framing::Kind::chunked, .expect_continue = true}),
            "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n");
}

TEST(Writer, TheLongestFramingFits) {
  Framing framing{.kind = Framing::Kind::length, .length = UINT64_MAX, .keep_alive = false, .expect_continue = true};
  written(RequestHead("GET", "http://a"), framing);
  written(ResponseHead{.status = 511}, framing);
}

TEST(Writer, WhatIsWrittenReadsBack) {
  RequestHead head("PATCH", "/p");
  head.headers.add(Name::host, "h");
  for (int i = 0; i < 100; ++i) head.headers.add("X-" + std::to_string(i), std::string(static_cast<size_t>(i), 'v'));
  for (int i = 0; i < 100; i += 3) head.headers.remove("X-" + std::to_string(i));
  std::string text = written(head, {.kind = Framing::Kind::chunked});
  RequestHead read;
  size_t consumed = 0;
  ASSERT_EQ(HeadParser().parse_request(text, read, consumed), HeadParser::State::complete);
  EXPECT_EQ(consumed, text.size());
  EXPECT_EQ(read.headers.size(), head.headers.size() + 1);
  for (auto field : head.headers) EXPECT_EQ(read.headers.find(field.name), field.value);
}

TEST(Writer, Trailers) {
  Headers trailers;
  trailers.add("A", "b");
  trailers.add(Name::content_length, "5");
  Writer out;
  out.text("0\r\n");
  write_trailers(out, trailers);
  EXPECT_EQ(out.view(), "0\r\nA: b\r\n\r\n");
}

TEST(Writer, GrowsAndWritesNumbers) {
  Writer out(1);
  for (int i = 0; i < 1000; ++i) out.text("0123456789");
  out.number(UINT64_MAX);
  EXPECT_EQ(out.size(), 10020U);
  Bytes bytes = out.finish();
  EXPECT_EQ(bytes.view().substr(9990), "012345678918446744073709551615");
}

}  // namespace portloom::http
