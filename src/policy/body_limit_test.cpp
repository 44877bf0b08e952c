// Tests of body_limit: promised lengths, counted ones, and what is said about the body that was too large.
#include "pipeline/problem.h"
#include "policy/bench_for_tests.h"

namespace portloom::policy {
namespace {

// Pieces that come one by one; a failed read is not followed by another.
class Pieces final : public http::BodySource {
 public:
  explicit Pieces(std::deque<std::string> pieces) : pieces_(std::move(pieces)) { trailers_.add("x-sum", "1"); }
  Task<Result<Bytes>> read() override {
    if (pieces_.empty()) co_return Bytes();
    Bytes piece = Bytes::copy(pieces_.front());
    pieces_.pop_front();
    co_return piece;
  }
  const http::Headers* trailers() const override { return pieces_.empty() ? &trailers_ : nullptr; }

 private:
  std::deque<std::string> pieces_;
  http::Headers trailers_;
};

// Takes the whole body as a cluster does: its failure is the answer.
class Reader final : public pipeline::Service {
 public:
  Task<pipeline::Response> call(pipeline::Request& request) override {
    while (true) {
      Result<Bytes> piece = co_await request.body.read();
      if (!piece) co_return pipeline::deny(piece.error());
      if (piece->empty()) break;
      read += piece->view();
    }
    trailers = request.body.trailers() != nullptr;
    co_return pipeline::Response(200);
  }
  std::string read;
  bool trailers = false;
};

class LimitOfFour : public testing::Test {
 protected:
  pipeline::Response send(http::Body body) {
    EXPECT_EQ(bench.messages, "");
    Bench::Call call(bench, "POST");
    call.request.body = std::move(body);
    pipeline::Chain chain(bench.chain().policies(), reader);
    pipeline::Response response = bench.answer(call, chain);
    policy = call.exchange.record.policy;
    limit = call.exchange.record.limit;
    config = call.exchange.record.config;
    return response;
  }
  pipeline::Response stream(std::deque<std::string> pieces, std::optional<uint64_t> length = std::nullopt) {
    return send(http::Body(std::make_unique<Pieces>(std::move(pieces)), length));
  }
  Bench bench{"[{body_limit: 4B}]"};
  Reader reader;
  std::string policy, limit, config;
};

TEST_F(LimitOfFour, APromisedLengthIsRefusedAtOnce) {
  pipeline::Response response = stream({"12345"}, 5);
  EXPECT_EQ(response.status, 413);
  EXPECT_EQ(response.fault->code, Code::body_too_large);
  EXPECT_EQ(response.fault->side, Side::client);
  EXPECT_EQ(reader.read, "");
  EXPECT_EQ(policy, "body_limit");
  EXPECT_EQ(limit, "body_limit 4B");
  EXPECT_EQ(config, "test.yaml:1");
}

TEST_F(LimitOfFour, WhatIsInMemoryToo) {
  EXPECT_EQ(send(http::Body(Bytes::literal("12345"))).status, 413);
  EXPECT_EQ(send(http::Body(Bytes::literal("1234"))).status, 200);
  EXPECT_EQ(send(http::Body()).status, 200);
}

TEST_F(LimitOfFour, AnUnknownLengthIsCounted) {
  pipeline::Response response = stream({"12", "34", "5", "6"});
  EXPECT_EQ(response.status, 413);
  EXPECT_EQ(reader.read, "1234");
  EXPECT_EQ(policy, "body_limit");
  EXPECT_EQ(limit, "body_limit 4B");
}

TEST_F(LimitOfFour, UpToTheLimitEverythingPassesWithItsTrailers) {
  EXPECT_EQ(stream({"1", "234"}).status, 200);
  EXPECT_EQ(reader.read, "1234");
  EXPECT_TRUE(reader.trailers);
  EXPECT_EQ(policy, "");
  EXPECT_EQ(stream({}).status, 200);
}

TEST(BodyLimit, NothingIsALimitToo) {
  Bench bench("[{body_limit: 0B}]");
  Bench::Call call(bench, "POST");
  call.request.body = http::Body(Bytes::literal("1"));
  EXPECT_EQ(bench.answer(call).status, 413);
  EXPECT_EQ(bench.get().status, 200);
  EXPECT_NE(Bench("[{body_limit: 100}]").messages, "");
  EXPECT_NE(Bench("[{body_limit: {}}]").messages, "");
}

}  // namespace
}  // namespace portloom::policy
