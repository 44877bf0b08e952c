// Tests of server: clients that speak HTTP/2 in front of origins that speak HTTP/1.1.
#include <gtest/gtest.h>

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

}  // namespace
}  // namespace portloom::server
