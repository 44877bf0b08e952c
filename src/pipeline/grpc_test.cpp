// Tests of pipeline: gRPC's tables and texts, and what becomes of answers that its callers could not read.
#include "pipeline/grpc.h"

#include <gtest/gtest.h>

#include "pipeline/problem.h"
#include "testing/sim_loop.h"

namespace portloom::pipeline {
namespace {

TEST(Grpc, ContentType) {
  for (std::string_view yes : {"application/grpc", "application/grpc+proto", "Application/gRPC;charset=x"})
    EXPECT_TRUE(is_grpc(yes)) << yes;
  for (std::string_view no : {"application/grpc-web", "application/grpc-web+proto", "application/grpcx", "application/json", ""})
    EXPECT_FALSE(is_grpc(no)) << no;
}

TEST(Grpc, Timeouts) {
  EXPECT_EQ(parse_grpc_timeout("1H"), Duration(1h));
  EXPECT_EQ(parse_grpc_timeout("2M"), Duration(2min));
  EXPECT_EQ(parse_grpc_timeout("3S"), Duration(3s));
  EXPECT_EQ(parse_grpc_timeout("00000004m"), Duration(4ms));
  EXPECT_EQ(parse_grpc_timeout("5u"), Duration(5us));
  EXPECT_EQ(parse_grpc_timeout("6n"), Duration(6ns));
  EXPECT_EQ(parse_grpc_timeout("0n"), Duration(0));
  EXPECT_GE(parse_grpc_timeout("99999999H").value(), Duration(1h) * 24 * 365);
  for (std::string_view bad : {"", "1", "m", "123456789m", "1s", "-1m", "+1m", " 1m", "1.5S", "1 m"})
    EXPECT_FALSE(parse_grpc_timeout(bad)) << bad;
}

TEST(Grpc, TimeoutsAreWrittenInEightDigits) {
  EXPECT_EQ(format_grpc_timeout(Duration(0)), "0n");
  EXPECT_EQ(format_grpc_timeout(Duration(-1s)), "0n");
  EXPECT_EQ(format_grpc_timeout(Duration(99'999'999ns)), "99999999n");
  EXPECT_EQ(format_grpc_timeout(Duration(100ms)), "100000u");
  EXPECT_EQ(format_grpc_timeout(Duration(100s)), "100000m");
  EXPECT_EQ(format_grpc_timeout(Duration(24h) * 10), "864000S");
}

TEST(Grpc, HttpStatuses) {
  EXPECT_EQ(grpc_status_of(400), 13);
  EXPECT_EQ(grpc_status_of(401), 16);
  EXPECT_EQ(grpc_status_of(403), 7);
  EXPECT_EQ(grpc_status_of(404), 12);
  for (int status : {429, 502, 503, 504}) EXPECT_EQ(grpc_status_of(static_cast<uint16_t>(status)), 14);
  for (int status : {204, 301, 409, 500}) EXPECT_EQ(grpc_status_of(static_cast<uint16_t>(status)), 2);
}

TEST(Grpc, Messages) {
  EXPECT_EQ(grpc_message_of("plain text."), "plain text.");
  EXPECT_EQ(grpc_message_of("50% \xc3\xa4\n"), "50%25 %C3%A4%0A");
}

struct World {
  testing::SimLoop loop;
  Plan plan{std::make_shared<Snapshot>()};
  Peer peer;
  Exchange exchange{plan, peer};
  Request request{exchange, exchange.record.call};
};

TEST(Grpc, FaultsBecomeTrailersOnly) {
  World world;
  world.exchange.grpc = true;
  Response response = deny(Code::upstream_timeout, Side::upstream, "secret place");
  render(response, world.exchange, false);
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.headers.find("content-type").value_or(""), "application/grpc");
  EXPECT_EQ(response.headers.find("grpc-status").value_or(""), "4");
  EXPECT_EQ(response.headers.find("grpc-message").value_or(""), "The service did not answer in time.");
  EXPECT_EQ(response.body.length(), 0u);
}

TEST(Grpc, AnswersOfHttpBecomeAStatusUnlessTheyHaveOne) {
  World world;
  world.exchange.grpc = true;
  Response response(503);
  response.body = http::Body(Bytes::copy("<html>"));
  render(response, world.exchange, false);
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.headers.find("grpc-status").value_or(""), "14");
  Response told(200);
  told.headers.add("grpc-status", "5");
  render(told, world.exchange, false);
  EXPECT_EQ(told.headers.find("grpc-status").value_or(""), "5");
}

TEST(Grpc, OtherCallersGetProblems) {
  World world;
  Response response = deny(Code::upstream_timeout, Side::upstream);
  render(response, world.exchange, false);
  EXPECT_EQ(response.status, 504);
}

TEST(Grpc, DeadlineIsReadFromTheRequestAndPassedOnShrunk) {
  World world;
  static_cast<http::RequestHead&>(world.request) = http::RequestHead("POST", "/a.B/C");
  world.request.headers.add("content-type", "application/grpc+proto");
  world.request.headers.add("grpc-timeout", "2S");
  open_grpc(world.exchange, world.request);
  EXPECT_TRUE(world.exchange.grpc);
  EXPECT_EQ(world.exchange.deadline - world.loop.now(), Duration(2s));
  world.loop.run_for(500ms);
  pass_on_deadline(world.request);
  std::optional<Duration> left = parse_grpc_timeout(world.request.headers.find("grpc-timeout").value_or(""));
  ASSERT_TRUE(left);
  EXPECT_LE(*left, Duration(1500ms));
  EXPECT_GE(*left, Duration(1490ms));
}

}  // namespace
}  // namespace portloom::pipeline
