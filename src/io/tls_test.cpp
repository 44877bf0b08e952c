// Tests of TLS: accept_tls and connect_tls against each other over both engines and over SimLoop in several orders of
// events, whole and one byte at a time; what a peer may do wrong; what a client gets and must show.
#include "io/tls.h"

#include <gtest/gtest.h>

#include <functional>
#include <optional>

#include "async/scope.h"
#include "io/secure_channel.h"
#include "testing/authority.h"
#include "testing/sim_loop.h"

namespace portloom::io {
namespace {

using namespace portloom::testing;  // NOLINT: the authority

// Where the two ends meet: an engine, or SimLoop with a seed and a grain.
struct Place {
  const char* name;
  std::optional<Engine> engine;
  uint64_t seed = 0;
  bool bytewise = false;
};
std::string name_of_place(const ::testing::TestParamInfo<Place>& info) { return info.param.name; }

class Tls : public ::testing::TestWithParam<Place> {
 protected:
  void SetUp() override {
    if (GetParam().engine) {
      if (*GetParam().engine == Engine::io_uring && !io_uring_works()) GTEST_SKIP();
      loop = std::move(*make_loop(*GetParam().engine));
      Agenda::make_current(loop.get());
    } else {
      auto made = std::make_unique<SimLoop>(GetParam().seed);
      made->network.one_byte_at_a_time = GetParam().bytewise;
      sim = made.get();
      loop = std::move(made);
    }
    listener = std::make_unique<Listener>(std::move(*listen(Address::loopback(0), false)));
  }
  void TearDown() override {
    listener.reset();
    loop.reset();
    Agenda::make_current(nullptr);
  }
  bool run(const std::function<bool()>& done) {
    if (sim != nullptr) return sim->run_until(done, 600s);
    Instant end = SteadyClock::now() + 20s;
    while (!done() && SteadyClock::now() < end) loop->turn(100ms);
    return done();
  }
  static size_t sized(size_t bytes) { return GetParam().bytewise ? std::min<size_t>(bytes, 20'000) : bytes; }

  Authority authority;
  Pair pair = authority.issue({.names = {"DNS:shop.example"}});
  std::unique_ptr<Loop> loop;
  SimLoop* sim = nullptr;
  std::unique_ptr<Listener> listener;
};

INSTANTIATE_TEST_SUITE_P(Places, Tls,
                         ::testing::Values(Place{"io_uring", Engine::io_uring}, Place{"epoll", Engine::epoll}, Place{"sim", {}},
                                           Place{"sim1", {}, 1}, Place{"sim2", {}, 2}, Place{"bytewise", {}, 0, true},
                                           Place{"bytewise3", {}, 3, true}),
                         name_of_place);

// One end of a connection, as far as it has got.
struct End {
  Socket socket;
  TlsFacts facts;
  Error error;
  bool done = false;
  bool good() const { return done && socket; }
};

Task<void> serve(Listener* listener, std::shared_ptr<TlsServerContext> context, End* end) {
  Result<Accepted> accepted = co_await listener->accept();
  Result<Socket> socket = co_await accept_tls(std::move(accepted->socket), context, Agenda::current().now() + 10s, end->facts);
  if (socket)
    end->socket = std::move(*socket);
  else
    end->error = std::move(socket.error());
  end->done = true;
}

Task<void> call_peer(Address address, std::shared_ptr<TlsClientContext::Peer> peer, End* end) {
  Result<Socket> raw = co_await connect(address);
  EXPECT_TRUE(raw.has_value());
  Result<Socket> socket = co_await connect_tls(std::move(*raw), peer, Agenda::current().now() + 10s, end->facts);
  if (socket)
    end->socket = std::move(*socket);
  else
    end->error = std::move(socket.error());
  end->done = true;
}

[[clang::coro_wrapper]] Task<void> call(Address address, std::shared_ptr<TlsClientContext> context, std::string host, End* end) {
  return call_peer(address, context->peer(host), end);
}

Task<void> say(Socket* socket, std::string text, bool* done) {
  bool sent = co_await socket->send(Bytes::copy(text));
  EXPECT_TRUE(sent);
  if (done != nullptr) *done = true;
}

// Reads in head mode until `count` bytes are there or the end.
Task<void> hear(Socket* socket, size_t count, std::string* heard, std::optional<Arrival>* last) {
  while (heard->size() < count) {
    Arrival arrival = co_await socket->receive();
    heard->append(socket->input());
    socket->consume(socket->input().size());
    if (arrival == Arrival::bytes) continue;
    *last = arrival;
    co_return;
  }
  *last = Arrival::bytes;
}

Task<void> swallow(Socket* socket, size_t piece, size_t count, std::string* heard, std::optional<Arrival>* last) {
  while (heard->size() < count) {
    Bulk bulk = co_await socket->receive_bulk(piece);
    heard->append(bulk.bytes.view());
    if (bulk.arrival == Arrival::bytes) continue;
    *last = bulk.arrival;
    co_return;
  }
  *last = Arrival::bytes;
}

std::string pattern(size_t size) {
  std::string text(size, '\0');
  for (size_t i = 0; i < size; ++i) text[i] = static_cast<char>('a' + (i * 7 + i / 251) % 26);
  return text;
}

// Two ends that have shaken hands.
struct Joined {
  End server;
  End client;
  Scope scope;
};

#define JOIN(joined, server_context, client_context)                                             \
  joined.scope.spawn(serve, listener.get(), server_context, &joined.server);                     \
  joined.scope.spawn(call, listener->address(), client_context, "shop.example", &joined.client); \
  ASSERT_TRUE(run([&] { return joined.server.done && joined.client.done; }));                    \
  ASSERT_TRUE(joined.server.good()) << joined.server.error.detail;                               \
  ASSERT_TRUE(joined.client.good()) << joined.client.error.detail

TEST_P(Tls, TalksBothWays) {
  Joined ends;
  JOIN(ends, server_of(material_of({pair})), client_of({.authorities = authorities_of(authority.pem())}));
  EXPECT_EQ(ends.server.facts.version, "TLSv1.3");
  EXPECT_EQ(ends.server.facts.server_name, "shop.example");
  EXPECT_EQ(ends.server.facts.protocol, "http/1.1");
  EXPECT_EQ(ends.client.facts.protocol, "http/1.1");
  EXPECT_FALSE(ends.server.facts.resumed);
  for (int i = 0; i < 3; ++i) {
    std::string request = "GET /" + std::to_string(i);
    std::string heard;
    std::optional<Arrival> last;
    ends.scope.spawn(hear, &ends.server.socket, request.size(), &heard, &last);
    ends.scope.spawn(say, &ends.client.socket, request, nullptr);
    ASSERT_TRUE(run([&] { return last.has_value(); }));
    EXPECT_EQ(heard, request);
    std::string answered;
    std::optional<Arrival> end;
    ends.scope.spawn(hear, &ends.client.socket, size_t{5000}, &answered, &end);
    ends.scope.spawn(say, &ends.server.socket, pattern(5000), nullptr);
    ASSERT_TRUE(run([&] { return end.has_value(); }));
    EXPECT_EQ(answered, pattern(5000));
  }
}

TEST_P(Tls, MovesLargeBodiesInBodyMode) {
  for (size_t piece : {size_t{64} * 1024, size_t{1000}}) {
    Joined ends;
    JOIN(ends, server_of(material_of({pair})), client_of({.authorities = authorities_of(authority.pem())}));
    std::string body = pattern(sized(3'000'000));
    std::string heard;
    std::optional<Arrival> last;
    bool sent = false;
    ends.scope.spawn(swallow, &ends.client.socket, piece, body.size(), &heard, &last);
    ends.scope.spawn(say, &ends.server.socket, body, &sent);
    ASSERT_TRUE(run([&] { return last.has_value() && sent; }));
    EXPECT_EQ(*last, Arrival::bytes);
    EXPECT_TRUE(heard == body);
  }
}

TEST_P(Tls, HeadModeAndBodyModeShareOneStream) {
  Joined ends;
  JOIN(ends, server_of(material_of({pair})), client_of({.authorities = authorities_of(authority.pem())}));
  std::string body = pattern(sized(300'000));
  std::string heard;
  std::optional<Arrival> head;
  ends.scope.spawn(say, &ends.server.socket, body, nullptr);
  ends.scope.spawn(hear, &ends.client.socket, size_t{10}, &heard, &head);
  ASSERT_TRUE(run([&] { return head.has_value(); }));
  std::optional<Arrival> last;
  ends.client.socket.expect_bulk();
  ends.scope.spawn(swallow, &ends.client.socket, size_t{9'000}, body.size() / 2, &heard, &last);
  ASSERT_TRUE(run([&] { return last.has_value(); }));
  last.reset();
  ends.scope.spawn(hear, &ends.client.socket, body.size(), &heard, &last);
  ASSERT_TRUE(run([&] { return last.has_value(); }));
  EXPECT_TRUE(heard == body);
}

TEST_P(Tls, WhoDoesNotReadHoldsTheSenderBack) {
  Joined ends;
  JOIN(ends, server_of(material_of({pair})), client_of({.authorities = authorities_of(authority.pem())}));
  if (sim == nullptr) return;  // the kernel's buffers are as large as it likes
  std::string body = pattern(sized(2'000'000));
  bool sent = false;
  ends.scope.spawn(say, &ends.server.socket, body, &sent);
  ends.client.socket.watch();
  sim->run_for(10s);
  if (body.size() > 1'000'000) EXPECT_FALSE(sent);
  std::string heard;
  std::optional<Arrival> last;
  ends.scope.spawn(hear, &ends.client.socket, body.size(), &heard, &last);
  ASSERT_TRUE(run([&] { return last.has_value() && sent; }));
  EXPECT_TRUE(heard == body);
}

// Passes bytes on between two ends, as anybody on the way may, who can also end the stream.
struct Middle {
  Socket client;
  Socket server;
  Scope scope;
};

Task<void> carry(Socket* from, Socket* to) {
  while (true) {
    Bulk bulk = co_await from->receive_bulk();
    if (bulk.arrival != Arrival::bytes) co_return;
    bool sent = co_await to->send(std::move(bulk.bytes));
    if (!sent) co_return;
  }
}

Task<void> stand_between(Listener* front, Address back, Middle* middle) {
  Result<Accepted> accepted = co_await front->accept();
  middle->client = std::move(accepted->socket);
  Result<Socket> onward = co_await connect(back);
  middle->server = std::move(*onward);
  middle->scope.spawn(carry, &middle->client, &middle->server);
  middle->scope.spawn(carry, &middle->server, &middle->client);
}

TEST_P(Tls, AnEndWithoutCloseNotifyIsABreak) {  // RFC 8446 §6.1: what was cut off must not look complete
  Listener front = std::move(*listen(Address::loopback(0), false));
  Middle middle;
  Joined ends;
  ends.scope.spawn(stand_between, &front, listener->address(), &middle);
  ends.scope.spawn(serve, listener.get(), server_of(material_of({pair})), &ends.server);
  ends.scope.spawn(call, front.address(), client_of({.authorities = authorities_of(authority.pem())}), "shop.example", &ends.client);
  ASSERT_TRUE(run([&] { return ends.server.good() && ends.client.good(); }));
  std::string heard;
  std::optional<Arrival> last;
  ends.scope.spawn(hear, &ends.client.socket, size_t{7}, &heard, &last);
  ends.scope.spawn(say, &ends.server.socket, "goodbye", nullptr);
  ASSERT_TRUE(run([&] { return last.has_value(); }));
  last.reset();
  ends.scope.spawn(hear, &ends.client.socket, size_t{100}, &heard, &last);
  middle.scope.cancel();
  middle.client.shutdown_write();
  ASSERT_TRUE(run([&] { return last.has_value(); }));
  EXPECT_EQ(heard, "goodbye");
  EXPECT_EQ(*last, Arrival::broken);
}

TEST_P(Tls, CloseNotifyIsTheEndAndAReleaseSendsIt) {
  for (bool by_release : {true, false}) {
    Joined ends;
    JOIN(ends, server_of(material_of({pair})), client_of({.authorities = authorities_of(authority.pem())}));
    std::string heard;
    std::optional<Arrival> last;
    ends.scope.spawn(hear, &ends.client.socket, size_t{100}, &heard, &last);
    bool sent = false;
    ends.scope.spawn(say, &ends.server.socket, "goodbye", &sent);
    ASSERT_TRUE(run([&] { return sent; }));
    if (by_release)
      ends.server.socket.close();
    else
      ends.server.socket.shutdown_write();
    ASSERT_TRUE(run([&] { return last.has_value(); }));
    EXPECT_EQ(*last, Arrival::end);
    EXPECT_EQ(heard, "goodbye");
    EXPECT_TRUE(ends.client.socket.departure().is_set());
    if (by_release) continue;
    // Half-closed: the other direction still works.
    std::string answer;
    std::optional<Arrival> end;
    ends.scope.spawn(hear, &ends.server.socket, size_t{6}, &answer, &end);
    ends.scope.spawn(say, &ends.client.socket, "thanks", nullptr);
    ASSERT_TRUE(run([&] { return end.has_value(); }));
    EXPECT_EQ(answer, "thanks");
  }
}

// ---- Faults ----

TEST_P(Tls, GarbageIsNoHandshake) {
  for (const std::string& garbage : {std::string("\x16\x03\x01\x00\x05hello", 10), std::string("SSH-2.0-x\r\n"),
                                     std::string("\x80\x2e\x01\x03\x01") + std::string(46, 'z')}) {
    End server;
    Scope scope;
    scope.spawn(serve, listener.get(), server_of(material_of({pair})), &server);
    std::optional<Result<Socket>> raw;
    auto dial = [](Address address, std::optional<Result<Socket>>* to) -> Task<void> { to->emplace(co_await connect(address)); };
    scope.spawn(dial, listener->address(), &raw);
    ASSERT_TRUE(run([&] { return raw.has_value(); }));
    bool sent = false;
    scope.spawn(say, &**raw, garbage, &sent);
    ASSERT_TRUE(run([&] { return server.done; }));
    EXPECT_EQ(server.error.code, Code::bad_request) << server.error.detail;
    EXPECT_TRUE(server.error.detail.starts_with("TLS: ")) << server.error.detail;
  }
}

TEST_P(Tls, SilentHandshakeEndsInTime) {
  if (sim == nullptr) return;  // in virtual time
  End server;
  Scope scope;
  scope.spawn(serve, listener.get(), server_of(material_of({pair})), &server);
  std::optional<Result<Socket>> raw;
  auto dial = [](Address address, std::optional<Result<Socket>>* to) -> Task<void> { to->emplace(co_await connect(address)); };
  scope.spawn(dial, listener->address(), &raw);
  Instant begun = sim->now();
  ASSERT_TRUE(run([&] { return server.done; }));
  EXPECT_EQ(server.error.code, Code::request_timeout);
  EXPECT_GE(sim->now() - begun, 10s);
}

TEST_P(Tls, ClientThatDoesNotBelieveUsIsTheReason) {
  Authority other("another");
  End server, client;
  Scope scope;
  scope.spawn(serve, listener.get(), server_of(material_of({pair})), &server);
  scope.spawn(call, listener->address(), client_of({.authorities = authorities_of(other.pem())}), "shop.example", &client);
  ASSERT_TRUE(run([&] { return client.done; }));
  EXPECT_FALSE(client.good());
  EXPECT_NE(client.error.detail.find("certificate"), std::string::npos) << client.error.detail;
}

// A peer may change its keys now and then, and not all the time (each time costs us more than it).
TEST_P(Tls, KeyUpdatesAreBounded) {
  for (int count : {20, 100}) {
    Joined ends;
    JOIN(ends, server_of(material_of({pair})), client_of({.authorities = authorities_of(authority.pem())}));
    SSL* ssl = static_cast<SecureChannel&>(ends.client.socket.channel()).ssl();
    for (int i = 0; i < count; ++i) {
      ASSERT_EQ(SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED), 1);
      ASSERT_EQ(SSL_do_handshake(ssl), 1);
    }
    std::string heard;
    std::optional<Arrival> last;
    ends.scope.spawn(hear, &ends.server.socket, size_t{5}, &heard, &last);
    ends.scope.spawn(say, &ends.client.socket, "hello", nullptr);
    ASSERT_TRUE(run([&] { return last.has_value(); }));
    EXPECT_EQ(*last, count < 32 ? Arrival::bytes : Arrival::broken) << count;
  }
}

}  // namespace
}  // namespace portloom::io
