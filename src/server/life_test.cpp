// Tests of server: what is said beside the answer (Date, Via), and how exchanges end that nobody waits for any longer.
#include <gtest/gtest.h>

#include "http/date.h"
#include "http/websocket.h"
#include "testing/exchanges.h"

namespace portloom::server {
namespace {

using namespace testing;  // NOLINT: the bench, its fixtures and its texts

class Life : public Single {};
INSTANTIATE_TEST_SUITE_P(Modes, Life, modes);

// ---- Beside the answer ----

TEST(Date, IsWrittenAsRFC9110HasIt) {
  http::DateCache date;
  EXPECT_EQ(date.text(WallTime(784111777s)), "Sun, 06 Nov 1994 08:49:37 GMT");
  EXPECT_EQ(date.text(WallTime(784111777s + 999ms)), "Sun, 06 Nov 1994 08:49:37 GMT");
  EXPECT_EQ(date.text(WallTime(784111778s)), "Sun, 06 Nov 1994 08:49:38 GMT");
  EXPECT_EQ(date.text(WallTime(0s)), "Thu, 01 Jan 1970 00:00:00 GMT");
  EXPECT_EQ(date.text(WallTime(1709164800s)), "Thu, 29 Feb 2024 00:00:00 GMT");
}

TEST_P(Life, EveryAnswerHasOneDate) {
  Wire& client = bench.client(get);
  Wire& origin = bench.origin();
  origin.take();
  origin.say(small_answer);
  ASSERT_TRUE(bench.hears(client, "hello"));
  EXPECT_EQ(client.count("\r\nDate: "), 1u) << client.heard;  // the service said none
  client.take();
  client.say(get);
  bench.origin();
  origin.say("HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 5\r\n\r\nhello");
  ASSERT_TRUE(bench.hears(client, "hello"));
  EXPECT_EQ(client.count("\r\nDate: "), 1u) << client.heard;
  EXPECT_TRUE(client.has("Date: Sun, 06 Nov 1994"));
  Wire& wrong = bench.client("nonsense\r\n\r\n");
  ASSERT_TRUE(bench.is_over(wrong));
  EXPECT_EQ(wrong.count("\r\nDate: "), 1u) << wrong.heard;
}

TEST_P(Life, ViaNamesWhatIsSpoken) {
  bench.client("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
  EXPECT_TRUE(bench.origin().has("Via: 1.0 portloom\r\n")) << bench.origin().heard;
}

TEST_P(Life, OptionsAsteriskIsAnsweredHere) {
  Wire& client = bench.client("OPTIONS * HTTP/1.1\r\nHost: shop\r\n\r\n");
  ASSERT_TRUE(bench.hears(client, "\r\n\r\n"));
  EXPECT_TRUE(client.heard.starts_with("HTTP/1.1 204 ")) << client.heard;
  expect(bench.account(), 204, true);
  EXPECT_EQ(bench.origins[0]->count(), 0u);
  EXPECT_FALSE(client.over());
}

struct Adds final : pipeline::Policy {
  std::string_view kind() const override { return "adds"; }
  [[clang::coro_wrapper]] Task<pipeline::Response> call(pipeline::Request& request, pipeline::Next next) override {
    for (int i = 0; i < 60; ++i) request.exchange.reply_headers.add("X-" + std::to_string(i), "v");
    return next(request);
  }
};

TEST_P(Life, FieldsThatPoliciesAddAllLeave) {
  bench.policies.push_back(std::make_unique<Adds>());
  Wire& client = bench.client(get);
  bench.origin().say(small_answer);
  ASSERT_TRUE(bench.hears(client, "hello"));
  for (int i = 0; i < 60; ++i) EXPECT_EQ(client.count("\r\nX-" + std::to_string(i) + ": v\r\n"), 1u) << i;
}

TEST_P(Life, ARefusalThatIsNotReadIsNotComplete) {
  Wire& client = bench.client("nonsense\r\n");
  bench.loop.run_for(1ms);
  client.say("\r\n");
  client.reset();
  Account account = bench.account();
  EXPECT_FALSE(account.complete && account.status == 0);
}

// ---- A client that goes, or is slow ----

TEST_P(Life, AClientThatLeavesASilentStreamIsNoticed) {
  Wire& client = bench.client(get);
  Wire& origin = bench.origin();
  origin.say("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n!\r\n");
  ASSERT_TRUE(bench.hears(client, "\r\n\r\n1\r\n!"));
  bench.loop.run_for(5s);
  EXPECT_FALSE(origin.over());
  client.half_close();
  bench.loop.run_for(400ms);
  EXPECT_FALSE(origin.over());  // it may only have nothing more to say
  EXPECT_TRUE(bench.is_over(origin, 1s));
  expect(bench.account(), 200, false, Code::client_gone);
}

TEST_P(Life, AHalfClosedClientGetsWhatKeepsComing) {
  Wire& client = bench.client(get);
  Wire& origin = bench.origin();
  origin.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
  client.half_close();
  for (int i = 0; i < 10; ++i) {
    bench.loop.run_for(300ms);
    origin.say("1\r\nx\r\n");
  }
  origin.say("0\r\n\r\n");
  ASSERT_TRUE(bench.hears(client, "\r\n0\r\n\r\n"));
  expect(bench.account(), 200, true);
}

TEST_P(Life, ASlowReaderWhoReadsIsServed) {
  if (GetParam().bytewise) return;  // a byte per turn is another pace
  bench.door.connection.body_timeout = 4s;
  bench.loop.network.pipe_bytes = 2'000;
  Wire& client = bench.client(get);
  client.read_until(0);
  bench.origin().say("HTTP/1.1 200 OK\r\nContent-Length: 15000\r\n\r\n" + std::string(15'000, 'b'));
  bench.loop.run_for(1s);
  for (size_t read = 1'500; read <= 18'000; read += 1'500) {  // the whole takes far longer than body_timeout
    client.read_until(read);
    bench.loop.run_for(3s);
  }
  EXPECT_TRUE(client.heard.ends_with("bbb"));
  expect(bench.account(), 200, true);
}

TEST_P(Life, AReaderWhoStandsStillIsCut) {
  bench.door.connection.body_timeout = 4s;
  bench.loop.network.pipe_bytes = 2'000;
  Wire& client = bench.client(get);
  client.read_until(0);
  bench.origin().say("HTTP/1.1 200 OK\r\nContent-Length: 15000\r\n\r\n" + std::string(15'000, 'b'));
  ASSERT_TRUE(bench.until([&] { return !bench.accounts.list.empty(); }, 30s));
  expect(bench.account(), 200, false, Code::client_gone);
}

// ---- The end of a WebSocket ----

TEST(WebSocketFrames, EndWhereTheirLengthsSay) {
  const std::string small("\x81\x02hi", 4);
  const std::string masked("\x82\x83\x01\x02\x03\x04xyz", 9);
  const std::string medium = std::string("\x82\x7e\x01\x00", 4) + std::string(256, 'm');
  const std::string large = std::string("\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00", 10) + std::string(65536, 'l');
  const std::string close("\x88\x02\x03\xe8", 4);
  const std::string empty("\x89\x00", 2);
  const std::string all = small + masked + medium + large + empty + close;
  std::vector<size_t> ends;
  size_t at = 0;
  for (const std::string* one : {&small, &masked, &medium, &large, &empty, &close}) ends.push_back(at += one->size());
  http::WebSocketFrames stepping;
  size_t done = 0;
  for (size_t end : ends) {
    done += stepping.follow(std::string_view(all).substr(done), true);
    EXPECT_EQ(done, end);
    EXPECT_TRUE(stepping.between());
  }
  EXPECT_TRUE(stepping.closed());
  http::WebSocketFrames bytewise;
  for (size_t i = 0; i < all.size(); ++i) {
    bytewise.follow(std::string_view(all).substr(i, 1), false);
    EXPECT_EQ(bytewise.between(), std::find(ends.begin(), ends.end(), i + 1) != ends.end()) << i;
  }
}

class WebSocket : public Life {
 protected:
  Wire& client = bench.client("GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
  Wire* service = nullptr;
  void open(std::string_view protocol = "websocket") {
    service = &bench.origin();
    service->take();
    service->say("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: " + std::string(protocol) + "\r\n\r\n");
    ASSERT_TRUE(bench.hears(client, "\r\n\r\n"));
    client.take();
  }
  const std::string away = std::string("\x88\x02\x03\xe9", 4);
  // The Close that a service hears, unmasked.
  std::string close_heard() const {
    std::string frame = service->heard.substr(service->heard.size() < 8 ? 0 : service->heard.size() - 8);
    if (frame.size() < 8) return frame;
    for (size_t i = 0; i < 2; ++i) frame[6 + i] = static_cast<char>(frame[6 + i] ^ frame[2 + i]);
    return frame.substr(0, 2) + frame.substr(6);
  }
};
INSTANTIATE_TEST_SUITE_P(Modes, WebSocket, modes);

TEST_P(WebSocket, ADrainTellsBothSidesThatWeGoAway) {
  open();
  service->say(std::string("\x81\x02hi", 4));
  ASSERT_TRUE(bench.hears(client, "hi"));
  client.say(std::string("\x81\x82\x00\x00\x00\x00ho", 8));
  ASSERT_TRUE(bench.hears(*service, "ho"));
  client.take();
  bench.server().retire_connections();
  ASSERT_TRUE(bench.hears(client, away));
  ASSERT_TRUE(bench.until([&] { return service->total() > 0 && close_heard() == std::string("\x88\x82\x03\xe9", 4); })) << service->heard;
  client.say(std::string("\x88\x82\x00\x00\x00\x00\x03\xe9", 8));
  service->say(away);
  bench.loop.run_for(100ms);
  EXPECT_TRUE(client.over());
  EXPECT_TRUE(service->over());
  EXPECT_EQ(client.heard, away);
}

TEST_P(WebSocket, AFrameUnderWayIsFinishedFirst) {
  open();
  service->say(std::string("\x81\x04he", 4));
  ASSERT_TRUE(bench.hears(client, "he"));
  bench.server().retire_connections();
  bench.loop.run_for(100ms);
  EXPECT_FALSE(client.has(away));
  service->say(std::string("llxx", 2) + std::string("\x81\x02no", 4));
  ASSERT_TRUE(bench.hears(client, away));
  EXPECT_EQ(client.heard, std::string("\x81\x04hell", 6) + away);
}

TEST_P(WebSocket, OneWhoDoesNotAnswerIsNotWaitedForLong) {
  open();
  bench.server().retire_connections();
  ASSERT_TRUE(bench.hears(client, away));
  EXPECT_TRUE(bench.is_over(client, 3s));
  EXPECT_TRUE(bench.is_over(*service, 3s));
}

TEST_P(WebSocket, AnotherProtocolIsLeftAlone) {
  open("chat");
  bench.server().retire_connections();
  bench.loop.run_for(5s);
  EXPECT_FALSE(client.over());
  EXPECT_EQ(client.heard, "");
  service->say("still there");
  EXPECT_TRUE(bench.hears(client, "still there"));
}

// ---- What a drain cuts ----

TEST_P(Life, WhatIsCutIsToldAndRecorded) {
  Wire& busy = bench.client("GET /slow?x HTTP/1.1\r\nHost: a\r\nX-Request-Id: one\r\n\r\n");
  bench.origin();
  bench.client();                          // has asked nothing
  bench.client("GET /half HTTP/1.1\r\n");  // nor has this one
  bench.loop.run_for(2s);
  std::vector<std::string> lines;
  bench.server().cut_requests(lines);
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_TRUE(lines[0].starts_with("public GET /slow?x to shop at 127.0.0.1:")) << lines[0];
  EXPECT_TRUE(lines[0].ends_with(", request_id one")) << lines[0];
  ASSERT_EQ(bench.accounts.list.size(), 1u);
  expect(bench.accounts.list[0], 503, false, Code::draining);
  bench.drop_server();
  bench.loop.run_for(1s);
  EXPECT_TRUE(busy.over());
  EXPECT_EQ(bench.accounts.list.size(), 1u);
}

}  // namespace
}  // namespace portloom::server
