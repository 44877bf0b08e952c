// Tests of http/server_connection: requests read and answers written on one connection, in virtual time.
#include "http/server_connection.h"

#include <gtest/gtest.h>

#include "testing/wire.h"

namespace portloom::http {
namespace {

using testing::SimLoop;
using testing::Wire;

// Gives its pieces and then ends, whatever was promised.
class Pieces final : public BodySource {
 public:
  explicit Pieces(std::deque<std::string> all) : pieces(std::move(all)) {}
  Task<Result<Bytes>> read() override {
    co_await yield();
    if (pieces.empty()) co_return Bytes();
    Bytes piece = Bytes::copy(pieces.front());
    pieces.pop_front();
    co_return std::move(piece);
  }
  std::deque<std::string> pieces;
};

class Served : public ::testing::TestWithParam<uint64_t> {
 protected:
  void SetUp() override {
    scope.spawn(serve, this);
    client = std::make_unique<Wire>(listener.address());
  }
  static Task<void> serve(Served* self) {
    Result<io::Accepted> accepted = co_await self->listener.accept();
    self->connection = std::make_unique<ServerConnection>(std::move(accepted->socket), self->settings);
    while (co_await self->connection->wait()) {
      Request request;
      Incoming incoming = co_await self->connection->next(request);
      if (incoming != Incoming::request) break;
      ++self->requests;
      Response response(200);
      if (self->reads) {
        Bytes all = co_await self->take(request);
        response.body = Body(std::move(all));
      } else {
        response.body = Body(std::make_unique<Pieces>(self->pieces), self->promised);
      }
      Headers none;
      self->complete = co_await self->connection->reply(response, none);
      if (!self->complete) break;
      bool again = co_await self->connection->finish();
      if (!again) break;
    }
    self->connection.reset();
  }
  Task<Bytes> take(Request& request) {
    std::string all;
    while (true) {
      Result<Bytes> piece = co_await request.body.read();
      if (!piece || piece->empty()) break;
      all += piece->view();
    }
    co_return Bytes::copy("<" + all + ">");
  }
  bool hears(std::string_view text) {
    return loop.run_until([&] { return client->has(text); }, 5s);
  }
  SimLoop loop{GetParam()};
  ServerSettings settings;
  io::Listener listener = std::move(*io::listen(io::Address::loopback(0), false));
  std::unique_ptr<ServerConnection> connection;
  std::unique_ptr<Wire> client;
  bool reads = true;
  std::deque<std::string> pieces;
  std::optional<uint64_t> promised;
  int requests = 0;
  bool complete = false;
  Scope scope;
};
INSTANTIATE_TEST_SUITE_P(Seeds, Served, ::testing::Values(0, 1, 2, 3));

TEST_P(Served, ThreeInOneSegment) {
  client->say(
      "POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nonePOST /2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
      "3\r\ntwo\r\n0\r\n\r\nGET /3 HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_TRUE(hears("<>"));
  EXPECT_LT(client->heard.find("<one>"), client->heard.find("<two>"));
  EXPECT_LT(client->heard.find("<two>"), client->heard.find("<>"));
  EXPECT_EQ(requests, 3);
}

TEST_P(Served, BodyShorterThanPromisedIsCut) {
  reads = false;
  pieces = {"ab", "c"};
  promised = 10;
  client->say("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n");
  ASSERT_TRUE(loop.run_until([&] { return client->over(); }));
  EXPECT_FALSE(complete);
  EXPECT_EQ(requests, 1);  // what follows would be taken for the rest
}

TEST_P(Served, BodyLongerThanPromisedIsCut) {
  reads = false;
  pieces = {"ab", "cdef"};
  promised = 4;
  client->say("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  ASSERT_TRUE(loop.run_until([&] { return client->over(); }));
  EXPECT_FALSE(complete);
  EXPECT_FALSE(client->has("ef"));
}

TEST_P(Served, UnreadBodyIsDrainedWithinBounds) {
  reads = false;
  pieces = {"ok"};
  client->say("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 20000\r\n\r\n");
  ASSERT_TRUE(hears("0\r\n\r\n"));
  client->say(std::string(20'000, 'x'));
  client->say("GET /2 HTTP/1.1\r\nHost: a\r\n\r\n");
  ASSERT_TRUE(loop.run_until([&] { return requests == 2; }));
  client->say("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n");
  ASSERT_TRUE(hears("Connection: close\r\n"));
  EXPECT_TRUE(loop.run_until([&] { return client->over(); }));
}

TEST_P(Served, RetiringEndsAnIdleOne) {
  client->say("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  ASSERT_TRUE(hears("<>"));
  loop.run_for(1ms);
  ASSERT_TRUE(connection->idle());
  connection->retire();
  EXPECT_TRUE(loop.run_until([&] { return client->ended; }, 10ms));
}

TEST_P(Served, RetiringLeavesItsOneQuestionToOneThatNeverAskedUnlessToldOtherwise) {
  ASSERT_TRUE(loop.run_until([&] { return connection != nullptr; }));
  EXPECT_TRUE(connection->idle());
  connection->retire();
  EXPECT_FALSE(loop.run_until([&] { return client->ended; }, 10ms));
  connection->retire(true);
  EXPECT_TRUE(loop.run_until([&] { return client->ended; }, 10ms));
}

}  // namespace
}  // namespace portloom::http
