// Tests of http/client_connection: one exchange at a time with an origin that the test speaks by hand, in virtual time.
#include "http/client_connection.h"

#include <gtest/gtest.h>

#include "testing/wire.h"

namespace portloom::http {
namespace {

using testing::Origin;
using testing::SimLoop;
using testing::Wire;

// Hands out what it is given, piece by piece; waits for the next when there is none.
class Feed final : public BodySource {
 public:
  Task<Result<Bytes>> read() override {
    while (pieces.empty()) {
      more.reset();
      co_await more.wait();
    }
    Bytes piece = Bytes::copy(pieces.front());
    pieces.pop_front();
    co_return std::move(piece);
  }
  void give(std::string piece) {
    pieces.push_back(std::move(piece));
    more.set();
  }
  std::deque<std::string> pieces;
  Event more;
};

class Connections : public ::testing::TestWithParam<uint64_t> {
 protected:
  void SetUp() override {
    scope.spawn(connect, this);
    ASSERT_TRUE(loop.run_until([&] { return connection != nullptr && origin.count() == 1; }));
  }
  static Task<void> connect(Connections* self) {
    Result<io::Socket> socket = co_await io::connect(self->origin.address());
    self->connection = std::make_unique<ClientConnection>(std::move(*socket), self->settings);
  }
  static Task<void> exchange(Connections* self) {
    self->response.emplace(co_await self->connection->exchange(self->request, {}, Agenda::current().now() + 5s));
    if (!*self->response) co_return;
    while (true) {
      Result<Bytes> piece = co_await (*self->response)->body.read();
      if (!piece) self->failure.emplace(std::move(piece.error()));
      if (!piece || piece->empty()) break;
      self->body += piece->view();
    }
    self->whole = true;
  }
  void ask(std::string_view method = "GET") {
    static_cast<RequestHead&>(request) = RequestHead(method, "/a");
    request.headers.add(Name::host, "a");
    scope.spawn(exchange, this);
  }
  Feed& feed(std::optional<uint64_t> length) {
    auto source = std::make_unique<Feed>();
    Feed& raw = *source;
    request.body = Body(std::move(source), length);
    return raw;
  }
  bool until(const std::function<bool()>& done) { return loop.run_until(done, 100s); }

  SimLoop loop{GetParam()};
  ClientSettings settings;
  Origin origin;
  Request request;
  std::unique_ptr<ClientConnection> connection;
  std::optional<Result<Response>> response;
  std::string body;
  std::optional<Error> failure;
  bool whole = false;
  Scope scope;
};
INSTANTIATE_TEST_SUITE_P(Seeds, Connections, ::testing::Values(0, 1, 2, 3));

TEST_P(Connections, IsReusableAfterAWholeAnswer) {
  ask();
  ASSERT_TRUE(until([&] { return origin[0].has("\r\n\r\n"); }));
  EXPECT_FALSE(connection->reusable());
  origin[0].say("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
  ASSERT_TRUE(until([&] { return whole; }));
  EXPECT_EQ(body, "hello");
  EXPECT_TRUE(connection->fresh_for_lease());
  connection->socket().watch();
  origin[0].half_close();
  loop.run_for(1ms);
  EXPECT_FALSE(connection->fresh_for_lease());
}

TEST_P(Connections, SurplusSpoilsIt) {
  ask();
  ASSERT_TRUE(until([&] { return origin[0].has("\r\n\r\n"); }));
  origin[0].say("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello!");
  ASSERT_TRUE(until([&] { return whole; }));
  EXPECT_EQ(body, "hello");
  loop.run_for(1ms);
  EXPECT_FALSE(connection->fresh_for_lease());
}

TEST_P(Connections, NotReusableWhileAnUploadGoesOn) {
  for (std::string_view answer : {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "HTTP/1.1 204 No Content\r\n\r\n"}) {
    if (whole) break;
    Feed& upload = feed(std::nullopt);
    ask("POST");
    upload.give("one");
    ASSERT_TRUE(until([&] { return origin[0].has("3\r\none\r\n"); }));
    origin[0].say(answer);
    ASSERT_TRUE(until([&] { return whole; }));
    EXPECT_FALSE(connection->reusable());
    response.reset();
    loop.run_for(1s);
    EXPECT_FALSE(connection->reusable());
  }
}

TEST_P(Connections, TrailersOfAnUpload) {
  Feed& upload = feed(std::nullopt);
  ask("POST");
  upload.give("one");
  upload.give(std::string(20'000, 'x'));
  upload.give("");
  ASSERT_TRUE(until([&] { return origin[0].has("\r\n0\r\n\r\n"); }));
  EXPECT_TRUE(origin[0].has("3\r\none\r\n4e20\r\nxxx"));
  origin[0].say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 3\r\n\r\n");
  ASSERT_TRUE(until([&] { return whole; }));
  ASSERT_NE((*response)->body.trailers(), nullptr);
  EXPECT_EQ((*response)->body.trailers()->find("x-sum").value_or(""), "3");
  EXPECT_TRUE(connection->reusable());
}

TEST_P(Connections, DroppingTheAnswerStopsTheUpload) {
  Feed& upload = feed(std::nullopt);
  ask("POST");
  upload.give("one");
  ASSERT_TRUE(until([&] { return origin[0].has("3\r\none\r\n"); }));
  origin[0].say("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf");
  ASSERT_TRUE(until([&] { return body == "half"; }));
  EXPECT_TRUE(connection->uploading());
  scope.cancel();
  response.reset();
  EXPECT_FALSE(connection->uploading());
  EXPECT_FALSE(connection->reusable());
}

TEST_P(Connections, SaysHowItWasLost) {
  ask();
  ASSERT_TRUE(until([&] { return origin[0].has("\r\n\r\n"); }));
  if (GetParam() % 2 == 0)
    origin[0].half_close();
  else
    origin[0].reset();
  ASSERT_TRUE(until([&] { return response.has_value(); }));
  ASSERT_FALSE(response->has_value());
  EXPECT_EQ(name_of(response->error().code), name_of(GetParam() % 2 == 0 ? Code::closed : Code::reset));
  EXPECT_EQ(response->error().progress, Progress::head);
}

TEST_P(Connections, BodyThatStandsStillFails) {
  ask();
  ASSERT_TRUE(until([&] { return origin[0].has("\r\n\r\n"); }));
  origin[0].say("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf");
  ASSERT_TRUE(until([&] { return whole; }));
  ASSERT_TRUE(failure.has_value());
  EXPECT_EQ(name_of(failure->code), name_of(Code::upstream_timeout));
  EXPECT_FALSE(connection->reusable());
}

TEST_P(Connections, LengthTooLargeToBeTrueIsRefused) {
  ask();
  ASSERT_TRUE(until([&] { return origin[0].has("\r\n\r\n"); }));
  origin[0].say("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!");
  ASSERT_TRUE(until([&] { return response.has_value(); }));
  ASSERT_FALSE(response->has_value());
  EXPECT_EQ(name_of(response->error().code), name_of(Code::upstream_protocol));
}

}  // namespace
}  // namespace portloom::http
