// Tests of server: gRPC callers in front of a service over HTTP/2, in virtual time: trailers, deadlines, cancellation, failures.
#include <gtest/gtest.h>

#include "testing/exchanges.h"
#include "testing/http2_origin.h"
#include "testing/http2_peer.h"

namespace portloom::server {
namespace {

using namespace testing;  // NOLINT: the bench and its fixtures

class GrpcCalls : public Single {
 protected:
  GrpcCalls() { bench.settings.protocol = config::Protocol::grpc; }
  bool until(const std::function<bool()>& done, Duration limit = 60s) {
    return bench.loop.run_until(
        [&] {
          if (!peer && wire().connected()) peer = std::make_unique<Http2Peer>(wire());
          if (peer) peer->turn();
          Origin& origins = *bench.origins[0];
          while (servers.size() < origins.count()) servers.push_back(std::make_unique<Http2Origin>(origins[servers.size()]));
          for (auto& server : servers) server->turn();
          return done();
        },
        limit);
  }
  Wire& wire() {
    if (wire_ == nullptr) wire_ = &bench.client();
    return *wire_;
  }
  int32_t call(const Http2Peer::Fields& more = {}, std::string body = "message", bool open = false) {
    until([&] { return peer != nullptr; });
    Http2Peer::Fields fields{{"content-type", "application/grpc"}, {"te", "trailers"}};
    fields.insert(fields.end(), more.begin(), more.end());
    return peer->ask("POST", "/shop.Orders/Get", fields, std::move(body), open);
  }
  Http2Origin& origin() {
    until([&] { return !servers.empty(); });
    return *servers.at(0);
  }
  int32_t asked(size_t count = 1) {
    EXPECT_TRUE(until([&] { return !servers.empty() && servers[0]->asked.size() >= count; }));
    return std::next(servers.at(0)->asked.begin(), static_cast<long>(count - 1))->first;
  }
  Http2Peer::Answer& answered(int32_t id) {
    EXPECT_TRUE(until([&] { return peer->answers[id].closed; }));
    return peer->answers[id];
  }
  static std::string field(const Http2Peer::Answer& answer, std::string_view name) {
    for (const auto& [key, value] : answer.fields)
      if (key == name) return value;
    return {};
  }
  void TearDown() override {
    if (wire_ != nullptr) wire_->close();
    Single::TearDown();
  }
  Wire* wire_ = nullptr;
  std::unique_ptr<Http2Peer> peer;
  std::vector<std::unique_ptr<Http2Origin>> servers;
};
INSTANTIATE_TEST_SUITE_P(Modes, GrpcCalls, modes);

TEST_P(GrpcCalls, MetadataMessagesAndTrailersPass) {
  int32_t id = call({{"x-trace-bin", "AAEC"}});
  int32_t there = asked();
  EXPECT_TRUE(until([&] { return origin().asked[there].ended; }));
  EXPECT_EQ(origin().asked[there].field("te"), "trailers");
  EXPECT_EQ(origin().asked[there].field("x-trace-bin"), "AAEC");
  EXPECT_EQ(origin().asked[there].body, "message");
  origin().answer(there, "200", {{"content-type", "application/grpc"}});
  origin().say(there, "reply", true, {{"grpc-status", "0"}, {"x-more-bin", "/w"}});
  Http2Peer::Answer& answer = answered(id);
  EXPECT_EQ(answer.status, "200");
  EXPECT_EQ(answer.body, "reply");
  EXPECT_EQ(field(answer, "grpc-status"), "0");
  EXPECT_EQ(field(answer, "x-more-bin"), "/w");
  EXPECT_EQ(answer.error, 0u);
}

TEST_P(GrpcCalls, TrailersOnlyPasses) {
  int32_t id = call();
  origin().answer(asked(), "200", {{"content-type", "application/grpc"}, {"grpc-status", "5"}, {"grpc-message", "none"}}, true);
  Http2Peer::Answer& answer = answered(id);
  EXPECT_EQ(answer.status, "200");
  EXPECT_EQ(field(answer, "grpc-status"), "5");
  EXPECT_EQ(answer.body, "");
}

TEST_P(GrpcCalls, DeadlineIsPassedOnAndEndsTheCall) {
  int32_t id = call({{"grpc-timeout", "2S"}});
  int32_t there = asked();
  EXPECT_NE(origin().asked[there].field("grpc-timeout"), "2S");
  Http2Peer::Answer& answer = answered(id);
  EXPECT_EQ(answer.status, "200");
  EXPECT_EQ(field(answer, "grpc-status"), "4");
  EXPECT_TRUE(until([&] { return origin().asked[there].closed; }));
  EXPECT_EQ(origin().asked[there].error, uint32_t{NGHTTP2_CANCEL});
}

TEST_P(GrpcCalls, DeadlineEndsAStreamWithAStatus) {
  int32_t id = call({{"grpc-timeout", "2S"}});
  int32_t there = asked();
  origin().answer(there, "200", {{"content-type", "application/grpc"}});
  origin().say(there, "first", false);
  Http2Peer::Answer& answer = answered(id);
  EXPECT_EQ(answer.body, "first");
  EXPECT_EQ(field(answer, "grpc-status"), "4");
  EXPECT_EQ(answer.error, 0u);
  EXPECT_TRUE(until([&] { return origin().asked[there].closed; }));
}

TEST_P(GrpcCalls, CancellationGoesBothWays) {
  int32_t id = call({}, "message", true);
  int32_t there = asked();
  nghttp2_submit_rst_stream(peer->session(), NGHTTP2_FLAG_NONE, id, NGHTTP2_CANCEL);
  EXPECT_TRUE(until([&] { return origin().asked[there].closed; }));
  EXPECT_EQ(origin().asked[there].error, uint32_t{NGHTTP2_CANCEL});
  int32_t next = call();
  there = asked(2);
  origin().reset(there, NGHTTP2_CANCEL);
  EXPECT_EQ(field(answered(next), "grpc-status"), "1");
}

TEST_P(GrpcCalls, ResetInsideAStreamIsAStatus) {
  int32_t id = call();
  int32_t there = asked();
  origin().answer(there, "200", {{"content-type", "application/grpc"}});
  origin().say(there, "first", false);
  EXPECT_TRUE(until([&] { return peer->answers[id].body == "first"; }));
  origin().reset(there, NGHTTP2_ENHANCE_YOUR_CALM);
  Http2Peer::Answer& answer = answered(id);
  EXPECT_EQ(field(answer, "grpc-status"), "8");
  EXPECT_EQ(bench.account().fault, Code::overloaded);
}

TEST_P(GrpcCalls, BothDirectionsStreamAtOnce) {
  int32_t id = call({}, "one", true);
  int32_t there = asked();
  origin().answer(there, "200", {{"content-type", "application/grpc"}});
  origin().say(there, "uno", false);
  EXPECT_TRUE(until([&] { return peer->answers[id].body == "uno" && origin().asked[there].body == "one"; }));
  peer->say(id, "two", false);
  EXPECT_TRUE(until([&] { return origin().asked[there].body == "onetwo"; }));
  origin().say(there, "dos", false);
  EXPECT_TRUE(until([&] { return peer->answers[id].body == "unodos"; }));
  peer->say(id, "", true);
  EXPECT_TRUE(until([&] { return origin().asked[there].ended; }));
  origin().say(there, "", true, {{"grpc-status", "0"}});
  EXPECT_EQ(field(answered(id), "grpc-status"), "0");
}

TEST_P(GrpcCalls, SilentCallerIsNotCutWhileTheServiceStreams) {
  int32_t id = call({}, "subscribe", true);
  int32_t there = asked();
  origin().answer(there, "200", {{"content-type", "application/grpc"}});
  std::string all;
  for (int i = 0; i < 5; ++i) {  // 200 s, beyond timeouts.body and idle_timeout
    origin().say(there, "event", false);
    all += "event";
    EXPECT_TRUE(until([&] { return peer->answers[id].body == all; }));
    Instant end = bench.loop.now() + 40s;
    until([&] { return bench.loop.now() >= end; }, 41s);
  }
  EXPECT_FALSE(peer->answers[id].closed);
  EXPECT_FALSE(origin().asked[there].closed);
  Http2Peer::Answer& answer = answered(id);  // nothing moves either way any more
  EXPECT_NE(field(answer, "grpc-status"), "0");
}

TEST_P(GrpcCalls, NobodyThereIsUnavailable) {
  bench.loop.refuse(bench.origins[0]->address());
  Http2Peer::Answer& answer = answered(call());
  EXPECT_EQ(answer.status, "200");
  EXPECT_EQ(field(answer, "grpc-status"), "14");
}

}  // namespace
}  // namespace portloom::server
