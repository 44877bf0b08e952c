// Tests of server: whole exchanges over both connections: framings, uploads, upgrades, drain.
#include "server/server.h"

#include <gtest/gtest.h>

#include "testing/exchanges.h"

namespace portloom::server {
namespace {

using namespace testing;  // NOLINT: the bench, its fixtures and its texts

// Of the tests in faults_test.cpp too.
INSTANTIATE_TEST_SUITE_P(Modes, Exchanges, modes);
INSTANTIATE_TEST_SUITE_P(Modes, Single, modes);

// ---- Keep-alive, pipelining, framings ----

TEST_P(Single, KeepsBothConnectionsAlive) {
  Wire& client = bench.client(get);
  for (size_t i = 1; i <= 3; ++i) {
    Wire& origin = bench.origin();
    EXPECT_TRUE(origin.has("X-Forwarded-For: 127.0.0.1") || origin.has("x-forwarded-for: 127.0.0.1")) << origin.heard;
    origin.take();
    origin.say(small_answer);
    ASSERT_TRUE(bench.hears(client, "hello"));
    expect(bench.account(i), 200, true);
    EXPECT_EQ(bench.accounts.list.back().bytes_out, 5u);
    EXPECT_FALSE(client.over());
    client.take();
    client.say(get);
  }
  EXPECT_EQ(bench.origins[0]->count(), 1u);
}

TEST_P(Single, SecondRequestBehindABodyIsARequest) {
  Wire& client = bench.client("POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbodyGET /2 HTTP/1.1\r\nHost: a\r\n\r\n");
  Wire& origin = bench.origin(0, "body");
  bench.loop.run_for(1s);
  EXPECT_FALSE(origin.has("GET"));
  origin.take();
  origin.say(small_answer);
  bench.origin(0, "GET /2");
  EXPECT_FALSE(origin.has("body"));
  origin.say("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecond");
  EXPECT_TRUE(bench.hears(client, "second"));
  bench.account(2);
  EXPECT_EQ(bench.accounts.list[0].bytes_in, 4u);
  EXPECT_EQ(bench.accounts.list[1].bytes_in, 0u);
}

TEST_P(Single, RefusedRequestCountsNoBodyOfAnEarlierOne) {
  Wire& client = bench.client("POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody");
  bench.origin(0, "body").say(small_answer);
  EXPECT_TRUE(bench.hears(client, "hello"));
  bench.account();
  client.say("nonsense\r\n\r\n");
  EXPECT_TRUE(bench.hears(client, "HTTP/1.1 400 "));
  EXPECT_EQ(bench.account(2).bytes_in, 0u);
}

TEST_P(Single, SecondRequestBehindAStreamedBody) {
  const size_t size = GetParam().bytewise ? 3'000 : 200'000;
  std::string body(size, 'b');
  Wire& client = bench.client("POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: " + std::to_string(size) + "\r\n\r\n");
  client.say(body + "GET /2 HTTP/1.1\r\nHost: a\r\n\r\n");
  Wire& origin = bench.origin();
  ASSERT_TRUE(bench.until([&] { return origin.total() >= size; }));
  bench.loop.run_for(100ms);
  EXPECT_FALSE(origin.has("GET"));
  origin.take();
  origin.say(small_answer);
  bench.origin(0, "GET /2");
  origin.say("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecond");
  EXPECT_TRUE(bench.hears(client, "second"));
  EXPECT_EQ(bench.account(2).bytes_in, 0u);
  EXPECT_EQ(bench.accounts.list[0].bytes_in, size);
}

TEST_P(Single, ChunksAndTrailersBothWays) {
  Wire& client = bench.client("POST /1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTE: trailers\r\nTrailer: X-Sum\r\n\r\n");
  client.say("3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\nX-Sum: 7\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n");
  Wire& origin = bench.origin(0, "X-Sum: 7\r\n\r\n");
  EXPECT_TRUE(origin.has("Transfer-Encoding: chunked\r\n")) << origin.heard;
  EXPECT_FALSE(origin.has("GET /2"));
  origin.take();
  origin.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Done: yes\r\n\r\n");
  ASSERT_TRUE(bench.hears(client, "X-Done: yes\r\n\r\n"));
  EXPECT_TRUE(client.has("0\r\nX-Done: yes\r\n\r\n"));
  bench.origin(0, "GET /2");
  origin.say(small_answer);
  bench.account(2);
  EXPECT_EQ(bench.accounts.list[0].bytes_in, 7u);
  EXPECT_EQ(bench.accounts.list[0].bytes_out, 5u);
}

TEST_P(Single, HeadAnd204And304HaveNoBody) {
  Wire& client = bench.client("HEAD /a HTTP/1.1\r\nHost: a\r\n\r\n");
  Wire& origin = bench.origin();
  origin.take();
  origin.say("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n");
  ASSERT_TRUE(bench.hears(client, "\r\n\r\n"));
  EXPECT_TRUE(client.has("Content-Length: 99"));
  client.take();
  for (std::string_view head : {"HTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n"}) {
    client.say(get);
    bench.origin();
    origin.take();
    origin.say(head);
    ASSERT_TRUE(bench.hears(client, "\r\n\r\n"));
    EXPECT_FALSE(client.has("chunked"));
    client.take();
  }
  client.say("HEAD /a HTTP/1.1\r\nHost: a\r\n\r\n");
  bench.origin();
  origin.take();
  origin.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
  ASSERT_TRUE(bench.hears(client, "\r\n\r\n"));
  client.say(get);
  bench.origin();
  origin.say(small_answer);
  EXPECT_TRUE(bench.hears(client, "hello"));
  bench.account(5);
  EXPECT_EQ(bench.origins[0]->count(), 1u);  // all over one connection
}

TEST_P(Single, CloseDelimitedResponseBecomesChunks) {
  Wire& client = bench.client(get);
  Wire& origin = bench.origin();
  origin.say("HTTP/1.1 200 OK\r\n\r\nuntil the end");
  ASSERT_TRUE(bench.hears(client, "\r\n\r\n"));
  bench.loop.run_for(1s);
  EXPECT_FALSE(client.has("0\r\n\r\n"));
  origin.half_close();
  ASSERT_TRUE(bench.hears(client, "\r\n0\r\n\r\n"));
  EXPECT_FALSE(client.over());
  expect(bench.account(), 200, true);
  EXPECT_EQ(bench.pooled(), 0u);
}

TEST_P(Single, Http10ClientSeesNoChunks) {
  Wire& client = bench.client("GET /a HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n");
  Wire& origin = bench.origin();
  EXPECT_TRUE(origin.has("GET /a HTTP/1.1\r\n"));
  origin.take();
  origin.say(small_answer);
  ASSERT_TRUE(bench.hears(client, "hello"));
  EXPECT_TRUE(client.has("Connection: keep-alive\r\n"));
  client.take();
  client.say("GET /a HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n");
  bench.origin();
  origin.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
  ASSERT_TRUE(bench.is_over(client));
  EXPECT_TRUE(client.heard.ends_with("\r\n\r\nhello")) << client.heard;
  EXPECT_FALSE(client.has("chunked"));
  expect(bench.account(2), 200, true);
}

TEST_P(Single, Http10OriginIsNotReused) {
  bench.client(get);
  bench.origin().say("HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello");
  expect(bench.account(), 200, true);
  EXPECT_EQ(bench.pooled(), 0u);
}

TEST_P(Single, InterimAnswersAreSwallowed) {
  Wire& client = bench.client(get);
  bench.origin().say(
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
  ASSERT_TRUE(bench.hears(client, "hello"));
  EXPECT_TRUE(client.heard.starts_with("HTTP/1.1 200"));
  EXPECT_EQ(client.count("HTTP/1.1"), 1u);
  expect(bench.account(), 200, true);
}

TEST_P(Single, OtherTargetForms) {
  Wire& client = bench.client("GET http://other.example/abs?x=1 HTTP/1.1\r\nHost: shop\r\n\r\n");
  Wire& origin = bench.origin();
  EXPECT_TRUE(origin.heard.starts_with("GET /abs?x=1 HTTP/1.1\r\n")) << origin.heard;
  EXPECT_TRUE(origin.has("Host: other.example\r\n"));
  EXPECT_EQ(origin.count("Host: "), 1u + origin.count("X-Forwarded-Host: "));
  origin.take();
  origin.say(small_answer);
  ASSERT_TRUE(bench.hears(client, "hello"));
  client.take();
  client.say("CONNECT shop:443 HTTP/1.1\r\nHost: shop:443\r\n\r\n");
  ASSERT_TRUE(bench.hears(client, "HTTP/1.1 405 "));
  expect(bench.account(2), 405, true, Code::method_not_allowed);
  client.say("OPTIONS * HTTP/1.1\r\nHost: shop\r\n\r\n");
  ASSERT_TRUE(bench.hears(client, "HTTP/1.1 204 "));
  expect(bench.account(3), 204, true);
}

// ---- Uploads ----

TEST_P(Single, ContinueIsSaidOnlyWhenTheBodyIsPulled) {
  Wire& client = bench.client("POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n");
  ASSERT_TRUE(bench.hears(client, "HTTP/1.1 100 Continue\r\n\r\n"));
  Wire& origin = bench.origin();
  EXPECT_FALSE(origin.has("Expect"));
  client.say("body");
  bench.origin(0, "body");
  origin.take();
  origin.say(small_answer);
  ASSERT_TRUE(bench.hears(client, "hello"));
  EXPECT_EQ(client.count("100 Continue"), 1u);
  expect(bench.account(), 200, true);
  if (GetParam().bytewise) return;  // there the body cannot come with the head
  client.take();
  client.say("POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\nbody");
  bench.origin(0, "body");
  origin.say(small_answer);
  ASSERT_TRUE(bench.hears(client, "hello"));
  EXPECT_FALSE(client.has("100 Continue"));
  bench.account(2);
}

TEST_P(Single, NoContinueForWhatNobodyReads) {
  bench.loop.refuse(bench.origins[0]->address());
  Wire& client = bench.client("POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n");
  ASSERT_TRUE(bench.is_over(client));
  EXPECT_TRUE(client.heard.starts_with("HTTP/1.1 502 "));
  EXPECT_TRUE(bench.hears(client, "Connection: close\r\n"));
  expect(bench.account(), 502, true, Code::refused);
}

TEST_P(Single, EarlyAnswerClosesTheConnection) {
  Wire& client = bench.client("POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\n" + std::string(3'000, 'x'));
  Wire& origin = bench.origin();
  origin.say("HTTP/1.1 413 Too Large\r\nContent-Length: 5\r\n\r\nlarge");
  ASSERT_TRUE(bench.hears(client, "large"));
  EXPECT_TRUE(bench.hears(client, "Connection: close\r\n"));
  EXPECT_TRUE(bench.is_over(client));
  Account account = bench.account();
  expect(account, 413, true);
  EXPECT_EQ(account.bytes_out, 5u);
  EXPECT_TRUE(bench.is_over(origin));
  EXPECT_EQ(bench.pooled(), 0u);
}

TEST_P(Single, AnswerBeforeTheWholeSmallBodyIsNotReusedUpstream) {
  Wire& client = bench.client("POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 20\r\n\r\n0123456789");
  Wire& origin = bench.origin(0, "0123456789");
  origin.say(small_answer);
  ASSERT_TRUE(bench.hears(client, "hello"));
  EXPECT_TRUE(bench.is_over(origin));  // half a request was sent on it
  client.say("ABCDEFGHIJ");            // drained
  client.take();
  client.say(get);
  if (!client.over()) {
    bench.origin(1).say(small_answer);
    EXPECT_TRUE(bench.hears(client, "hello"));
    bench.account(2);
  }
  EXPECT_FALSE(bench.origins[0]->count() > 1 && (*bench.origins[0])[1].has("ABCDEF"));
}

TEST_P(Single, UploadGoesOnBehindTheAnswersHead) {
  Wire& client = bench.client("POST /1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n");
  Wire& origin = bench.origin(0, chunk("one"));
  origin.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nuno\r\n");
  ASSERT_TRUE(bench.hears(client, chunk("uno")));
  client.say("3\r\ntwo\r\n");
  bench.origin(0, chunk("two"));
  origin.say("3\r\ndos\r\n");
  ASSERT_TRUE(bench.hears(client, chunk("dos")));
  client.say("0\r\n\r\n");
  bench.origin(0, "0\r\n\r\n");
  origin.say("0\r\n\r\n");
  ASSERT_TRUE(bench.hears(client, "0\r\n\r\n"));
  expect(bench.account(), 200, true);
  EXPECT_FALSE(client.over());
}

TEST_P(Single, BodyThatIsCutEndsTheCallUpstream) {
  Wire& client = bench.client("POST /1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n");
  Wire& origin = bench.origin(0, chunk("one"));
  client.half_close();
  EXPECT_TRUE(bench.is_over(origin));
  EXPECT_FALSE(origin.has("0\r\n\r\n"));  // never looks complete
  Account account = bench.account();
  ASSERT_TRUE(account.fault.has_value());
  EXPECT_EQ(name_of(*account.fault), name_of(Code::client_gone));
  EXPECT_EQ(name_of(*account.side), name_of(Side::client));
}

TEST_P(Single, MalformedChunkIs400) {
  Wire& client = bench.client("POST /1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\none\r\n");
  ASSERT_TRUE(bench.hears(client, "HTTP/1.1 400 "));
  EXPECT_TRUE(bench.hears(client, "Connection: close\r\n"));
  EXPECT_TRUE(bench.is_over(client));
  expect(bench.account(), 400, true, Code::bad_request);
}

TEST_P(Single, ChunkedBodyOverTheLimitIs413AndTheAnswerArrives) {
  bench.door.connection.body_max = 1000;
  Wire& client = bench.client("POST /1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
  for (int i = 0; i < 200; ++i) client.say("400\r\n" + std::string(1024, 'x') + "\r\n");
  ASSERT_TRUE(bench.is_over(client));
  EXPECT_TRUE(client.has("HTTP/1.1 413 ")) << client.heard;
  EXPECT_TRUE(bench.hears(client, "Connection: close\r\n"));
  EXPECT_TRUE(client.ended);  // an orderly end: the answer is not lost in a reset
  expect(bench.account(), 413, true, Code::body_too_large);
}

// ---- Upgrades ----

constexpr std::string_view upgrade = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
constexpr std::string_view switched = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

TEST_P(Single, TunnelPassesHalfCloseEachWay) {
  for (bool client_first : {true, false}) {
    size_t n = bench.accounts.list.size();
    Wire& client = bench.client(std::string(upgrade) + "early");
    Wire& origin = bench.origin(n);
    EXPECT_TRUE(origin.has("Upgrade: websocket\r\n"));
    origin.say(std::string(switched) + "first");
    ASSERT_TRUE(bench.hears(client, "first"));
    bench.origin(n, "early");
    Wire& first = client_first ? client : origin;
    Wire& second = client_first ? origin : client;
    first.half_close();
    ASSERT_TRUE(bench.is_over(second));
    bench.loop.run_for(5s);
    second.say("still here");
    ASSERT_TRUE(bench.hears(first, "still here"));
    EXPECT_EQ(bench.accounts.list.size(), n);
    second.half_close();
    ASSERT_TRUE(bench.is_over(first));
    Account account = bench.account(n + 1);
    expect(account, 101, true);
    EXPECT_EQ(account.bytes_in, client_first ? 5u : 15u);
    EXPECT_EQ(account.bytes_out, client_first ? 15u : 5u);
    EXPECT_EQ(bench.pooled(), 0u);
  }
}

TEST_P(Single, TunnelEndsWhenOneSideBreaks) {
  for (bool client_breaks : {true, false}) {
    size_t n = bench.accounts.list.size();
    Wire& client = bench.client(upgrade);
    Wire& origin = bench.origin(n);
    origin.say(switched);
    ASSERT_TRUE(bench.hears(client, "\r\n\r\n"));
    (client_breaks ? client : origin).reset();
    EXPECT_TRUE(bench.is_over(client_breaks ? origin : client));
    bench.account(n + 1);
  }
}

TEST_P(Single, TunnelToAReaderThatSleepsEnds) {
  if (GetParam().bytewise) return;
  Wire& client = bench.client(upgrade);
  Wire& origin = bench.origin();
  client.read_until(10);
  origin.say(std::string(switched) + std::string(1'000'000, 'x'));
  ASSERT_TRUE(bench.until([&] { return bench.accounts.list.size() == 1; }, 3h));
  EXPECT_TRUE(bench.is_over(origin));
}

TEST_P(Single, SwitchBeforeTheRequestsBodyHasComeIs502) {
  Wire& client = bench.client("POST /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\nContent-Length: 10\r\n\r\n");
  Wire& origin = bench.origin();
  origin.say("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
  ASSERT_TRUE(bench.hears(client, "HTTP/1.1 502 "));
  EXPECT_TRUE(bench.is_over(origin));
  expect(bench.account(), 502, true, Code::upstream_protocol);
}

TEST_P(Single, RefusedUpgradeIsAnAnswer) {
  Wire& client = bench.client(upgrade);
  bench.origin().say(small_answer);
  ASSERT_TRUE(bench.hears(client, "hello"));
  expect(bench.account(), 200, true);
  EXPECT_FALSE(client.over());
}

// ---- Drain ----

TEST_P(Single, RetiringClosesIdleOnesAndTellsTheOthers) {
  Wire& idle = bench.client(get);
  bench.origin().take();
  (*bench.origins[0])[0].say(small_answer);
  bench.account();
  Wire& busy = bench.client(get);
  bench.origin();
  bench.server().retire_connections();
  EXPECT_TRUE(bench.is_over(idle, 1s));
  EXPECT_FALSE(busy.over());
  (*bench.origins[0])[0].say(small_answer);
  ASSERT_TRUE(bench.hears(busy, "hello"));
  EXPECT_TRUE(bench.hears(busy, "Connection: close\r\n"));
  EXPECT_TRUE(bench.is_over(busy));
  bench.account(2);
  EXPECT_EQ(bench.server().open_connections(), 0u);
}

TEST_P(Single, ConnectionsThatComeWhileRetiringAreServedOnce) {
  bench.server().retire_connections();
  Wire& late = bench.client();
  bench.loop.run_for(10ms);
  late.say(get);
  bench.origin().say(small_answer);
  ASSERT_TRUE(bench.hears(late, "hello"));
  EXPECT_TRUE(late.has("Connection: close\r\n"));
  EXPECT_TRUE(bench.is_over(late));
  bench.account();
  bench.server().close_port();
  bench.loop.run_for(1ms);
  Wire& refused = bench.client(get);
  EXPECT_TRUE(bench.is_over(refused));
}

TEST_P(Single, ServerThatIsDroppedLeavesNothing) {
  Wire& streaming = bench.client(get);
  Wire& origin = bench.origin();
  origin.say("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
  ASSERT_TRUE(bench.hears(streaming, "half"));
  bench.client("POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhal");
  bench.origin(1);
  bench.drop_server();
  EXPECT_TRUE(bench.is_over(streaming));
  EXPECT_TRUE(bench.is_over(origin));
}

}  // namespace
}  // namespace portloom::server
