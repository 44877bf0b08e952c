// Tests of upstream: WebSocket towards services that speak HTTP/2 (RFC 8441), in virtual time. The origin is nghttp2, answered by
// hand.
#include "http/websocket.h"
#include "testing/clusters.h"
#include "testing/http2_origin.h"

namespace portloom::upstream {
namespace {

using namespace testing;  // NOLINT: fixtures and the origin

struct Heard {
  std::string bytes;
  std::optional<io::Arrival> end;
};

Task<void> read_all(http::ByteStream* from, Heard* heard) {
  while (true) {
    io::Bulk bulk = co_await from->read(1000, Agenda::current().now() + 10s);
    if (bulk.arrival != io::Arrival::bytes) {
      heard->end = bulk.arrival;
      co_return;
    }
    heard->bytes += bulk.bytes.view();
  }
}

Task<void> say(http::ByteStream* to, std::string_view text) {
  bool said = co_await to->write(Bytes::copy(text), Agenda::current().now() + 10s);
  EXPECT_TRUE(said);
  to->end();
}

class WebSockets : public Clusters {
 protected:
  WebSockets() { settings.protocol = config::Protocol::http2; }
  bool until(const std::function<bool()>& done) {
    return loop.run_until([&] {
      if (origins[0].count() > 0 && !server) server = std::make_unique<Http2Origin>(origins[0][0], offers);
      if (server) server->turn();
      return done();
    });
  }
  // A client's question, and its answer.
  Call& ask() {
    cluster = std::make_unique<Cluster>(settings, std::vector<Target>{origins[0].address()}, 1);
    Call& one = *calls.emplace_back(std::make_unique<Call>(plan, peer, "GET"));
    one.request.upgrade = true;
    one.request.headers.add(http::Name::upgrade, "websocket");
    one.request.headers.add("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
    one.request.headers.add("Sec-WebSocket-Version", "13");
    one.scope.spawn(Call::run, &one, cluster.get());
    return one;
  }
  int32_t asked() {
    EXPECT_TRUE(until([&] { return server && !server->asked.empty(); }));
    return server->asked.begin()->first;
  }
  bool answered(Call& one) {
    return until([&] { return one.response.has_value(); });
  }
  void TearDown() override { calls.clear(); }
  std::vector<nghttp2_settings_entry> offers{{NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1}};
  std::unique_ptr<Http2Origin> server;
  std::unique_ptr<Cluster> cluster;
};
INSTANTIATE_TEST_SUITE_P(Seeds, WebSockets, ::testing::Values(0, 1, 2, 3));

TEST_P(WebSockets, GoAsExtendedConnect) {
  Call& one = ask();
  int32_t id = asked();
  const Http2Origin::Asked& seen = server->asked[id];
  EXPECT_EQ(seen.field(":method"), "CONNECT");
  EXPECT_EQ(seen.field(":protocol"), "websocket");
  EXPECT_EQ(seen.field(":scheme"), "http");
  EXPECT_EQ(seen.field(":path"), "/a");
  EXPECT_EQ(seen.field("sec-websocket-version"), "13");
  EXPECT_EQ(seen.field("sec-websocket-key"), "");
  EXPECT_EQ(seen.field("upgrade"), "");
  EXPECT_FALSE(seen.ended);
  server->answer(id, "200", {{"sec-websocket-protocol", "chat"}});
  ASSERT_TRUE(answered(one));
  EXPECT_EQ(one.response->status, 101);
  EXPECT_TRUE(http::is_websocket(*one.response));
  EXPECT_EQ(one.response->headers.find("Sec-WebSocket-Accept"), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");  // RFC 6455 §1.3
  EXPECT_EQ(one.response->headers.find("Sec-WebSocket-Protocol"), "chat");
  ASSERT_NE(one.response->tunnel, nullptr);
  EXPECT_EQ(active(*cluster), 1u);  // as long as the tunnel stands
  Heard heard;
  one.scope.spawn(read_all, one.response->tunnel.get(), &heard);
  one.scope.spawn(say, one.response->tunnel.get(), "question");
  ASSERT_TRUE(until([&] { return seen.ended; }));
  EXPECT_EQ(seen.body, "question");
  server->say(id, "answer", true);
  ASSERT_TRUE(until([&] { return heard.end.has_value(); }));
  EXPECT_EQ(heard.bytes, "answer");
  EXPECT_EQ(*heard.end, io::Arrival::end);
  EXPECT_EQ(seen.error, 0u);
  one.response.reset();
  EXPECT_EQ(active(*cluster), 0u);
}

TEST_P(WebSockets, EndIsSaidThoughTheTunnelIsDropped) {
  Call& one = ask();
  int32_t id = asked();
  server->answer(id, "200");
  ASSERT_TRUE(answered(one));
  one.response->tunnel->end();
  one.response.reset();
  ASSERT_TRUE(until([&] { return server->asked[id].closed; }));
  EXPECT_TRUE(server->asked[id].ended);
  EXPECT_EQ(server->asked[id].error, uint32_t{NGHTTP2_NO_ERROR});
}

TEST_P(WebSockets, ServiceThatDoesNotOfferThemIsNotAsked) {
  offers.clear();
  Call& one = ask();
  ASSERT_TRUE(answered(one));
  EXPECT_EQ(one.response->status, 502);
  ASSERT_TRUE(one.response->fault);
  EXPECT_NE(one.response->fault->detail.find("RFC 8441"), std::string::npos) << one.response->fault->detail;
  EXPECT_TRUE(server->asked.empty());
}

TEST_P(WebSockets, RefusalIsPassedOn) {
  Call& one = ask();
  int32_t id = asked();
  server->answer(id, "403", {{"x-why", "no"}}, true);
  ASSERT_TRUE(answered(one));
  EXPECT_EQ(one.response->status, 403);
  EXPECT_EQ(one.response->tunnel, nullptr);
  EXPECT_EQ(one.response->headers.find("x-why"), "no");
}

TEST_P(WebSockets, ResetBreaksTheTunnel) {
  Call& one = ask();
  int32_t id = asked();
  server->answer(id, "200");
  ASSERT_TRUE(answered(one));
  Heard heard;
  one.scope.spawn(read_all, one.response->tunnel.get(), &heard);
  server->reset(id, NGHTTP2_CANCEL);
  ASSERT_TRUE(until([&] { return heard.end.has_value(); }));
  EXPECT_EQ(*heard.end, io::Arrival::broken);
}

TEST_P(WebSockets, ConnectionThatBreaksBeforeItsSettingsAnswers) {
  Call& one = ask();
  ASSERT_TRUE(loop.run_until([&] { return origins[0].count() == 1; }));
  origins[0][0].close();
  ASSERT_TRUE(loop.run_until([&] { return origins[0].count() == 2 || one.response.has_value(); }));
}

}  // namespace
}  // namespace portloom::upstream
