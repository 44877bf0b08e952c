// Tests of server: clients that speak HTTP/2 in front of origins that speak HTTP/1.1.
#include <gtest/gtest.h>

#include "http/websocket.h"
#include "testing/exchanges.h"
#include "testing/http2_peer.h"

namespace portloom::server {
namespace {

using namespace testing;  // NOLINT: the bench, its fixtures and its texts

// Bounds far below those of nghttp2, so that it is ours that are seen at work.
class LowBounds : public Single {
 protected:
  LowBounds() {
    bench.door.connection.http2_limits.resets = 20;
    bench.door.connection.http2_limits.control_frames = 60;
  }
};

class Http2 : public LowBounds {
 protected:
  Wire& wire = bench.client();
  Http2Peer peer{wire};
  bool until(const std::function<bool()>& done) {
    return bench.until([&] {
      peer.turn();
      return done();
    });
  }
  Wire& origin(size_t i = 0, std::string_view text = "\r\n\r\n") {
    until([&] { return bench.origins[0]->count() > i && (*bench.origins[0])[i].has(text); });
    return bench.origin(i, text);
  }
  bool answered(int32_t id) {
    return until([&] { return peer.answers[id].closed; });
  }
  void TearDown() override {
    wire.close();
    Single::TearDown();
  }
};
INSTANTIATE_TEST_SUITE_P(Modes, Http2, modes);

TEST_P(Http2, AnswersARequest) {
  int32_t id = peer.ask("GET", "/a?b", {{"cookie", "a=1"}, {"cookie", "b=2"}});
  Wire& upstream = origin();
  EXPECT_TRUE(upstream.heard.starts_with("GET /a?b HTTP/1.1\r\nHost: shop\r\n")) << upstream.heard;
  EXPECT_TRUE(upstream.has("cookie: a=1; b=2\r\n") || upstream.has("Cookie: a=1; b=2\r\n")) << upstream.heard;
  EXPECT_TRUE(upstream.has("2 portloom")) << upstream.heard;
  upstream.say(small_answer);
  ASSERT_TRUE(answered(id));
  EXPECT_EQ(peer.answers[id].status, "200");
  EXPECT_EQ(peer.answers[id].body, "hello");
  EXPECT_EQ(peer.answers[id].error, 0u);
  expect(bench.account(), 200, true);
}

TEST_P(Http2, SlowStreamStallsNoOther) {
  int32_t slow = peer.ask("GET", "/slow");
  origin(0, "/slow");
  int32_t quick = peer.ask("GET", "/quick");
  origin(1, "/quick").say(small_answer);
  ASSERT_TRUE(answered(quick));
  EXPECT_FALSE(peer.answers[slow].closed);
  bench.origin(0).say(small_answer);
  EXPECT_TRUE(answered(slow));
}

TEST_P(Http2, BodiesAndTrailersStream) {
  const size_t size = GetParam().bytewise ? 2'000 : 300'000;
  int32_t id = peer.ask("POST", "/up", {{"te", "trailers"}}, std::string(size, 'u'), true);
  Wire& upstream = origin(0, "Transfer-Encoding: chunked");
  upstream.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
  EXPECT_TRUE(until([&] { return peer.answers[id].body == "abc"; }));  // before the request has ended
  peer.say(id, "end", true);
  EXPECT_TRUE(until([&] { return upstream.has("0\r\n\r\n"); }));
  upstream.say("0\r\nX-Sum: 7\r\n\r\n");
  ASSERT_TRUE(answered(id));
  EXPECT_EQ(peer.answers[id].fields.back(), (std::pair<std::string, std::string>{"x-sum", "7"}));
  EXPECT_EQ(bench.account().bytes_in, size + 3);
}

TEST_P(Http2, CutAnswerDoesNotLookComplete) {
  int32_t id = peer.ask("GET", "/");
  Wire& upstream = origin();
  upstream.say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
  until([&] { return peer.answers[id].body == "hello"; });
  upstream.close();
  ASSERT_TRUE(answered(id));
  EXPECT_EQ(peer.answers[id].error, uint32_t{NGHTTP2_INTERNAL_ERROR});
  EXPECT_FALSE(bench.account().complete);
}

TEST_P(Http2, ResetEndsTheRequest) {
  int32_t id = peer.ask("GET", "/");
  Wire& upstream = origin();
  nghttp2_submit_rst_stream(peer.session(), NGHTTP2_FLAG_NONE, id, NGHTTP2_CANCEL);
  EXPECT_TRUE(until([&] { return upstream.over() && !bench.accounts.list.empty(); }));
  EXPECT_EQ(bench.accounts.list.at(0).fault, Code::client_gone);
}

TEST_P(Http2, AuthorityAndHostMustAgree) {
  int32_t id = peer.ask("GET", "/", {{"host", "other"}});
  ASSERT_TRUE(answered(id));
  EXPECT_EQ(peer.answers[id].status, "400");
  EXPECT_EQ(bench.origins[0]->count(), 0u);
}

TEST_P(Http2, LargeHeadIsRefusedOnItsStream) {
  Http2Peer::Fields many;
  for (int i = 0; i < 300; ++i) many.emplace_back("x-field", "v");
  int32_t id = peer.ask("GET", "/", many);
  ASSERT_TRUE(answered(id));
  EXPECT_EQ(peer.answers[id].status, "431");
  int32_t next = peer.ask("GET", "/next");
  origin().say(small_answer);
  EXPECT_TRUE(answered(next));
}

TEST_P(Http2, RapidResetEndsTheConnection) {
  until([&] { return wire.connected(); });
  int resets = 0;
  for (; resets < 100 && peer.goaways.empty() && !wire.over(); ++resets) {
    int32_t id = peer.ask("GET", "/");
    peer.turn();
    nghttp2_submit_rst_stream(peer.session(), NGHTTP2_FLAG_NONE, id, NGHTTP2_CANCEL);
    peer.turn();
    bench.loop.run_for(Duration(1us));
  }
  ASSERT_TRUE(until([&] { return !peer.goaways.empty(); }));
  EXPECT_EQ(peer.goaways.back(), uint32_t{NGHTTP2_ENHANCE_YOUR_CALM});
  EXPECT_TRUE(until([&] { return wire.over(); }));
}

TEST_P(Http2, PingFloodEndsTheConnection) {
  for (int i = 0; i < 200 && peer.goaways.empty(); ++i) {  // each is answered before the next comes
    nghttp2_submit_ping(peer.session(), NGHTTP2_FLAG_NONE, nullptr);
    peer.turn();
    bench.loop.run_for(Duration(1us));
  }
  ASSERT_TRUE(until([&] { return !peer.goaways.empty(); }));
  EXPECT_EQ(peer.goaways.back(), uint32_t{NGHTTP2_ENHANCE_YOUR_CALM});
}

TEST_P(Http2, RetiringServesWhatIsUnderWay) {
  int32_t id = peer.ask("GET", "/");
  Wire& upstream = origin();
  bench.server().retire_connections();
  EXPECT_TRUE(until([&] { return peer.goaways.size() == 2; }));
  upstream.say(small_answer);
  ASSERT_TRUE(answered(id));
  EXPECT_EQ(peer.answers[id].status, "200");
  EXPECT_TRUE(until([&] { return wire.over(); }));
}

TEST_P(Http2, IdleConnectionEnds) {
  int32_t id = peer.ask("GET", "/");
  origin().say(small_answer);
  ASSERT_TRUE(answered(id));
  EXPECT_TRUE(bench.loop.run_until(
      [&] {
        peer.turn();
        return wire.over();
      },
      70s));
  EXPECT_EQ(peer.goaways.size(), 1u);
}

// ---- Ends of one side ----

TEST_P(Http2, AnswerBeforeTheUploadsEndIsWhole) {
  int32_t id = peer.ask("POST", "/up", {}, std::string(1000, 'u'), true);
  Wire& upstream = origin(0, "chunked\r\n\r\n");
  upstream.say("HTTP/1.1 501 Not Implemented\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
  until([&] { return upstream.unsent() == 0; });
  upstream.close();
  ASSERT_TRUE(until([&] { return peer.answers[id].body == "no"; }));
  EXPECT_EQ(peer.answers[id].status, "501");
  EXPECT_FALSE(peer.answers[id].closed);  // who stops by itself is not reset
  ASSERT_TRUE(answered(id));
  EXPECT_EQ(peer.answers[id].error, uint32_t{NGHTTP2_NO_ERROR});  // RFC 9113 §8.1: stop sending, and take the answer
  EXPECT_EQ(bench.account().status, 501);
}

TEST_P(Http2, HalfClosedClientGetsItsAnswer) {
  int32_t id = peer.ask("GET", "/");
  Wire& upstream = origin();
  wire.half_close();
  bench.loop.run_for(100ms);
  upstream.say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
  until([&] { return peer.answers[id].body == "hello"; });
  bench.loop.run_for(2s);  // longer than the grace, which is for the head
  upstream.say("hello");
  ASSERT_TRUE(answered(id));
  EXPECT_EQ(peer.answers[id].body, "hellohello");
  expect(bench.account(), 200, true);
  EXPECT_TRUE(until([&] { return wire.over(); }));
}

TEST_P(Http2, HalfClosedClientIsGoneAfterAGrace) {
  peer.ask("GET", "/");
  Wire& upstream = origin();
  wire.half_close();
  EXPECT_TRUE(until([&] { return upstream.over(); }));
  Account account = bench.account();
  EXPECT_EQ(account.fault, Code::client_gone);
  EXPECT_GE(account.duration, bench.door.connection.gone_grace);
}

TEST_P(Http2, UploadThatAFinCutsOffIsGone) {
  peer.ask("POST", "/", {}, "begun", true);
  Wire& upstream = origin(0, "chunked\r\n\r\n");
  wire.half_close();
  EXPECT_TRUE(until([&] { return upstream.over(); }));
  EXPECT_FALSE(upstream.has("0\r\n\r\n"));
  EXPECT_EQ(bench.account().fault, Code::client_gone);
}

TEST_P(Http2, LastWordIsHeardThoughBytesWereLeftUnread) {
  peer.ask("GET", "/");
  origin();
  wire.say(std::string("\0\0\x8\x6\0\0\0\0\x1", 9) + std::string(100'000, 'x'));  // PING on a stream, and what nobody will read
  EXPECT_TRUE(until([&] { return wire.over(); }));
  peer.turn();
  ASSERT_FALSE(peer.goaways.empty());
  EXPECT_EQ(peer.goaways.back(), uint32_t{NGHTTP2_PROTOCOL_ERROR});
}

// ---- WebSocket (RFC 8441) ----

const Http2Peer::Fields websocket{{":protocol", "websocket"}, {"sec-websocket-version", "13"}, {"origin", "http://shop"}};

// What a service says that has read the key of its request.
std::string switched(const Wire& service) {
  constexpr std::string_view name = "Sec-WebSocket-Key: ";
  std::string key = service.heard.substr(service.heard.find(name) + name.size(), 24);
  return "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: " +
         http::websocket_accept(key) + "\r\n\r\n";
}

TEST_P(Http2, WebSocketBecomesAnUpgrade) {
  until([&] { return nghttp2_session_get_remote_settings(peer.session(), NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL) == 1; });
  EXPECT_EQ(nghttp2_session_get_remote_settings(peer.session(), NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL), 1u);
  int32_t id = peer.ask("CONNECT", "/chat?a", websocket, {}, true);
  Wire& upstream = origin();
  EXPECT_TRUE(upstream.heard.starts_with("GET /chat?a HTTP/1.1\r\nHost: shop\r\n")) << upstream.heard;
  for (const char* field : {"Upgrade: websocket\r\n", "sec-websocket-version: 13\r\n", "Sec-WebSocket-Key: ", "origin: http://shop\r\n"})
    EXPECT_TRUE(upstream.has(field)) << field << upstream.heard;
  EXPECT_FALSE(upstream.has("protocol"));
  upstream.say(switched(upstream) + "first");
  ASSERT_TRUE(until([&] { return peer.answers[id].body == "first"; }));
  EXPECT_EQ(peer.answers[id].status, "200");
  for (const auto& [name, value] : peer.answers[id].fields) EXPECT_TRUE(name != "upgrade" && name != "sec-websocket-accept") << name;
  peer.say(id, "question", false);
  ASSERT_TRUE(until([&] { return upstream.has("question"); }));
  upstream.say("answer");
  ASSERT_TRUE(until([&] { return peer.answers[id].body == "firstanswer"; }));
  int32_t other = peer.ask("GET", "/");  // beside it
  origin(1).say(small_answer);
  ASSERT_TRUE(answered(other));
  peer.say(id, "", true);
  ASSERT_TRUE(until([&] { return upstream.ended; }));  // one direction has ended, the other goes on
  upstream.say("last");
  upstream.half_close();
  ASSERT_TRUE(answered(id));
  EXPECT_EQ(peer.answers[id].body, "firstanswerlast");
  EXPECT_EQ(peer.answers[id].error, 0u);
  expect(bench.account(2), 101, true);
}

TEST_P(Http2, WebSocketKeyHasToBeAnswered) {
  const std::string answers[] = {"", "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"};
  for (size_t i = 0; i < 2; ++i) {
    int32_t id = peer.ask("CONNECT", "/", websocket, {}, true);
    Wire& upstream = origin(i);
    upstream.say("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" + answers[i] + "\r\nfirst");
    ASSERT_TRUE(answered(id));
    EXPECT_EQ(peer.answers[id].status, "502");
    EXPECT_TRUE(until([&] { return upstream.over(); }));
  }
}

TEST_P(Http2, WebSocketThatIsResetEndsUpstream) {
  int32_t id = peer.ask("CONNECT", "/", websocket, {}, true);
  Wire& upstream = origin();
  upstream.say(switched(upstream));
  ASSERT_TRUE(until([&] { return peer.answers[id].status == "200"; }));
  nghttp2_submit_rst_stream(peer.session(), NGHTTP2_FLAG_NONE, id, NGHTTP2_CANCEL);
  EXPECT_TRUE(until([&] { return upstream.over(); }));
}

TEST_P(Http2, WebSocketThatTheServiceBreaksIsReset) {
  int32_t id = peer.ask("CONNECT", "/", websocket, {}, true);
  Wire& upstream = origin();
  upstream.say(switched(upstream));
  ASSERT_TRUE(until([&] { return peer.answers[id].status == "200"; }));
  upstream.reset();
  ASSERT_TRUE(answered(id));
  EXPECT_NE(peer.answers[id].error, 0u);
}

TEST_P(Http2, ServiceThatDoesNotSwitchProtocols) {
  int32_t no = peer.ask("CONNECT", "/", websocket, {}, true);
  origin().say("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
  ASSERT_TRUE(answered(no));
  EXPECT_EQ(peer.answers[no].status, "403");
  int32_t deaf = peer.ask("CONNECT", "/deaf", websocket, {}, true);
  until([&] { return bench.origins[0]->count() > 1 || (*bench.origins[0])[0].has("/deaf"); });
  ((*bench.origins[0])[0].has("/deaf") ? bench.origin(0) : bench.origin(1)).say(small_answer);
  ASSERT_TRUE(answered(deaf));
  EXPECT_EQ(peer.answers[deaf].status, "502");  // 200 would say that the tunnel stands
}

TEST_P(Http2, OtherProtocolsAreNotServed) {
  int32_t id = peer.ask("CONNECT", "/", {{":protocol", "connect-udp"}}, {}, true);
  ASSERT_TRUE(answered(id));
  EXPECT_EQ(peer.answers[id].status, "501");
}

}  // namespace
}  // namespace portloom::server
