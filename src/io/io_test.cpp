// Tests of io/ on both engines over real loopback sockets: echo in head mode and body mode, end of stream, refusal,
// back-pressure, half-close, and what dropping a socket during an operation does. No test asserts a time.
#include <gtest/gtest.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "async/race.h"
#include "async/scope.h"
#include "io/shared.h"
#include "io/socket.h"

namespace portloom::io {
namespace {

class Io : public testing::TestWithParam<Engine> {
 protected:
  void SetUp() override {
    if (GetParam() == Engine::io_uring && !io_uring_works()) return;
    loop = std::move(*make_loop(GetParam()));
    Agenda::make_current(loop.get());
  }
  void TearDown() override {
    loop.reset();
    Agenda::make_current(nullptr);
  }
  // Turns until `done`, at most ten seconds.
  void run(const bool& done) {
    Instant end = SteadyClock::now() + 10s;
    while (!done && SteadyClock::now() < end) loop->turn(100ms);
    EXPECT_TRUE(done);
  }
  std::unique_ptr<Loop> loop;
};

Task<void> echo(Listener* listener) {
  Result<Accepted> accepted = co_await listener->accept();
  if (!accepted) co_return;
  Socket socket = std::move(accepted->socket);
  while (true) {
    Arrival arrival = co_await socket.receive();
    Bytes bytes = Bytes::copy(socket.input());
    socket.consume(bytes.size());
    if (!bytes.empty()) {
      bool sent = co_await socket.send(bytes);
      if (!sent) co_return;
    }
    if (arrival != Arrival::bytes) co_return;
  }
}

Task<void> talk(Address address, bool* done) {
  Result<Socket> socket = co_await connect(address);
  EXPECT_TRUE(socket.has_value());
  for (int i = 0; i < 3; ++i) {
    bool first_sent = co_await socket->send(Bytes::copy("hello "), Bytes::copy("world"));
    EXPECT_TRUE(first_sent);
    std::string got;
    while (got.size() < 11) {
      if (co_await socket->receive() != Arrival::bytes) break;
      got += socket->input();
      socket->consume(socket->input().size());
    }
    EXPECT_EQ(got, "hello world");
  }
  socket->shutdown_write();
  Arrival first_arrival = co_await socket->receive();
  EXPECT_EQ(first_arrival, Arrival::end);
  *done = true;
}

TEST_P(Io, EchoesInHeadMode) {
  if (!loop) return;
  Result<Listener> listener = listen(Address::loopback(0), false);
  ASSERT_TRUE(listener.has_value());
  Scope scope;
  bool done = false;
  scope.spawn(echo, &*listener);
  scope.spawn(talk, listener->address(), &done);
  run(done);
}

Task<void> source(Listener* listener, size_t total) {
  Result<Accepted> accepted = co_await listener->accept();
  std::string chunk(50'000, 'x');
  for (size_t sent = 0; sent < total; sent += chunk.size())
    if (!co_await accepted->socket.send(Bytes::copy(chunk))) co_return;
}
Task<void> sink(Address address, size_t total, bool* done) {
  Result<Socket> socket = co_await connect(address);
  Arrival first_arrival = co_await socket->receive();
  EXPECT_EQ(first_arrival, Arrival::bytes);  // head mode first, as a connection does
  size_t got = 0;
  while (true) {
    Bulk bulk = co_await socket->receive_bulk();
    if (bulk.arrival != Arrival::bytes) break;
    got += bulk.bytes.size();
  }
  EXPECT_EQ(got, total);
  *done = true;
}

TEST_P(Io, MovesALargeBodyInBodyMode) {
  if (!loop) return;
  Result<Listener> listener = listen(Address::loopback(0), false);
  Scope scope;
  bool done = false;
  scope.spawn(source, &*listener, size_t{20'000'000});
  scope.spawn(sink, listener->address(), size_t{20'000'000}, &done);
  run(done);
}

Task<void> mixed_source(Listener* listener, size_t rounds) {
  Result<Accepted> accepted = co_await listener->accept();
  std::string large(200'000, 'l');
  for (size_t i = 0; i < rounds; ++i) {
    if (!co_await accepted->socket.send(Bytes::literal("small"))) co_return;
    if (!co_await accepted->socket.send(Bytes::literal("head"), Bytes::copy(large))) co_return;
  }
}

TEST_P(Io, SmallSendsEndAfterLargeOnes) {
  if (!loop) return;
  Result<Listener> listener = listen(Address::loopback(0), false);
  Scope scope;
  bool done = false;
  scope.spawn(mixed_source, &*listener, size_t{50});
  scope.spawn(sink, listener->address(), size_t{50} * (5 + 4 + 200'000), &done);
  run(done);
}

TEST_P(Io, ASmallSendThatFindsNoRoomGoesOutLater) {
  if (!loop) return;
  Result<Listener> listener = listen(Address::loopback(0), false);
  Scope scope;
  bool done = false;
  auto drip = [](Listener* at) -> Task<void> {
    Result<Accepted> accepted = co_await at->accept();
    std::string piece(10'000, 'd');
    for (size_t i = 0; i < 2'000; ++i)
      if (!co_await accepted->socket.send(Bytes::copy(piece))) co_return;
  };
  auto late_reader = [](Address address, bool* end) -> Task<void> {
    Result<Socket> socket = co_await connect(address);
    co_await sleep_for(200ms);  // the kernel's buffers fill meanwhile
    size_t got = 0;
    while (true) {
      Bulk bulk = co_await socket->receive_bulk();
      if (bulk.arrival != Arrival::bytes) break;
      got += bulk.bytes.size();
    }
    EXPECT_EQ(got, 20'000'000u);
    *end = true;
  };
  scope.spawn(drip, &*listener);
  scope.spawn(late_reader, listener->address(), &done);
  run(done);
}

TEST_P(Io, AReaderThatStopsHoldsTheSenderBack) {
  if (!loop) return;
  Result<Listener> listener = listen(Address::loopback(0), false);
  Scope scope;
  bool done = false;
  auto stalled = [](Address address, bool* end) -> Task<void> {
    Result<Socket> socket = co_await connect(address);
    Bulk bulk = co_await socket->receive_bulk();
    EXPECT_EQ(bulk.arrival, Arrival::bytes);
    co_await sleep_for(200ms);  // nothing is read meanwhile
    EXPECT_LT(socket->input().size(), 300'000u);
    *end = true;
  };
  scope.spawn(source, &*listener, size_t{100'000'000});
  scope.spawn(stalled, listener->address(), &done);
  run(done);
}

TEST_P(Io, RefusedConnectionsSayWhereTo) {
  if (!loop) return;
  Scope scope;
  bool done = false;
  scope.spawn(
      [](bool* end) -> Task<void> {
        Result<Socket> socket = co_await connect(Address::loopback(1));
        EXPECT_FALSE(socket.has_value());
        EXPECT_EQ(socket.error().code, Code::refused);
        EXPECT_EQ(socket.error().detail, "cannot connect to 127.0.0.1:1");
        *end = true;
      },
      &done);
  run(done);
}

TEST_P(Io, DepartureIsNoticedWhileNobodyReads) {
  if (!loop) return;
  Result<Listener> listener = listen(Address::loopback(0), false);
  Scope scope;
  bool done = false;
  scope.spawn(
      [](Listener* at, bool* end) -> Task<void> {
        Result<Accepted> accepted = co_await at->accept();
        Socket socket = std::move(accepted->socket);
        Arrival first_arrival = co_await socket.receive();
        EXPECT_EQ(first_arrival, Arrival::bytes);
        co_await socket.departure().wait();
        EXPECT_EQ(socket.input(), "x");
        *end = true;
      },
      &*listener, &done);
  scope.spawn(
      [](Address address) -> Task<void> {
        Result<Socket> socket = co_await connect(address);
        co_await socket->send(Bytes::literal("x"));
        co_await sleep_for(20ms);
      },
      listener->address());
  run(done);
}

TEST_P(Io, ADroppedSendKeepsItsBytesUntilTheKernelIsDone) {
  if (!loop) return;
  Result<Listener> listener = listen(Address::loopback(0), false);
  Scope scope;
  bool done = false;
  scope.spawn(
      [](Listener* at, bool* end) -> Task<void> {
        Result<Accepted> accepted = co_await at->accept();
        for (int i = 0; i < 20; ++i) {
          Result<Socket> socket = co_await connect(at->address());
          socket->post(Bytes::copy(std::string(10'000'000, 'y')));
          co_await yield();
        }
        co_await sleep_for(50ms);
        *end = true;
      },
      &*listener, &done);
  scope.spawn(
      [](Address address) -> Task<void> {
        Result<Socket> socket = co_await connect(address);
        co_await sleep_for(1s);
      },
      listener->address());
  run(done);
}

// Two connected sockets, made by turning `loop`.
struct Pair {
  Socket client;
  Socket server;
};
Task<void> make_client(Address address, Socket* out, bool* done) {
  Result<Socket> socket = co_await connect(address);
  if (socket) *out = std::move(*socket);
  *done = true;
}
Task<void> make_server(Listener* listener, Socket* out, bool* done) {
  Result<Accepted> accepted = co_await listener->accept();
  *out = std::move(accepted->socket);
  *done = true;
}

class IoPair : public Io {
 protected:
  void SetUp() override {
    Io::SetUp();
    if (!loop) return;
    listener.emplace(std::move(*listen(Address::loopback(0), false)));
    bool ends[2] = {};
    scope.spawn(make_server, &*listener, &pair.server, &ends[0]);
    scope.spawn(make_client, listener->address(), &pair.client, &ends[1]);
    run(ends[0]);
    run(ends[1]);
  }
  void TearDown() override {
    pair.client.close();
    pair.server.close();
    scope.cancel();
    listener.reset();
    Io::TearDown();
  }
  // Turns until nothing comes any more for a while.
  void settle() {
    for (int i = 0; i < 20; ++i) loop->turn(5ms);
  }
  std::optional<Listener> listener;
  Pair pair;
  Scope scope;
};

Task<void> read_bulks(Socket* socket, size_t bytes_max, size_t total, std::string* got, bool* done) {
  while (got->size() < total) {
    Bulk bulk = co_await socket->receive_bulk(bytes_max);
    if (bulk.arrival != Arrival::bytes) break;
    EXPECT_LE(bulk.bytes.size(), bytes_max);
    *got += bulk.bytes;
  }
  *done = true;
}

TEST_P(IoPair, ABulkReadThatIsLateBringsNothingAndLosesNothing) {
  if (!loop) return;
  bool done = false;
  std::string got;
  scope.spawn(
      [](Socket* client, Socket* server, std::string* all, bool* end) -> Task<void> {
        for (int i = 0; i < 3; ++i) {
          Bulk bulk = co_await server->receive_bulk(64 * 1024, Agenda::current().now() + 5ms);
          EXPECT_EQ(bulk.arrival, Arrival::late);
          EXPECT_TRUE(bulk.bytes.empty());
        }
        bool first_sent = co_await client->send(Bytes::literal("0123456789"));
        EXPECT_TRUE(first_sent);
        co_await read_bulks(server, 4, 10, all, end);  // asks for less than the read that is still out
      },
      &pair.client, &pair.server, &got, &done);
  run(done);
  EXPECT_EQ(got, "0123456789");
}

TEST_P(IoPair, ABulkReadNeverBringsMoreThanWasAsked) {
  if (!loop) return;
  bool done = false;
  std::string got;
  scope.spawn(read_bulks, &pair.server, size_t{10}, size_t{100}, &got, &done);
  settle();
  pair.client.post(Bytes::copy(std::string(100, 'x')));  // arrives at once, while the reader waits for ten
  run(done);
  EXPECT_EQ(got.size(), 100u);
}

TEST_P(IoPair, ABulkReaderDroppedAfterItWasWokenLosesNothing) {
  if (!loop) return;
  {
    BulkAwaiter dropped = pair.server.receive_bulk();
    if (!dropped.await_ready()) dropped.await_suspend(std::noop_coroutine());
    pair.client.post(Bytes::literal("hello"));
    settle();
  }
  EXPECT_EQ(pair.server.input(), "hello");
}

TEST_P(IoPair, AnAcceptDroppedAfterItWasWokenLosesNoConnection) {
  if (!loop) return;
  Socket client;
  Socket server;
  bool ends[2] = {};
  {
    Listener::AcceptAwaiter dropped = listener->accept();
    if (!dropped.await_ready()) dropped.await_suspend(std::noop_coroutine());
    scope.spawn(make_client, listener->address(), &client, &ends[0]);
    settle();
  }
  scope.spawn(make_server, &*listener, &server, &ends[1]);
  run(ends[0]);
  run(ends[1]);
}

TEST_P(IoPair, AReaderThatClosesItsSocketOverLentBytesIsSafe) {
  if (!loop) return;
  bool done = false;
  scope.spawn(
      [](Socket* server, bool* end) -> Task<void> {
        Arrival first_arrival = co_await server->receive();
        EXPECT_EQ(first_arrival, Arrival::bytes);
        server->close();
        *end = true;
      },
      &pair.server, &done);
  settle();
  pair.client.post(Bytes::literal("hello"));
  run(done);
  settle();
}

TEST_P(Io, AListenerClosedInTheTurnOfItsConnection) {
  if (!loop) return;
  std::optional<Listener> listeners[2];
  for (auto& listener : listeners) listener.emplace(std::move(*listen(Address::loopback(0), false)));
  Scope scope;
  Socket clients[2];
  bool ends[2] = {};
  Scope acceptors[2];
  for (int i = 0; i < 2; ++i)
    acceptors[i].spawn(
        [](std::optional<Listener>* mine, std::optional<Listener>* other, Scope* waiting) -> Task<void> {
          Result<Accepted> accepted = co_await (*mine)->accept();
          waiting->cancel();
          other->reset();
        },
        &listeners[i], &listeners[1 - i], &acceptors[1 - i]);
  for (int i = 0; i < 2; ++i) scope.spawn(make_client, listeners[i]->address(), &clients[i], &ends[i]);
  for (int i = 0; i < 20; ++i) loop->turn(5ms);
  EXPECT_TRUE(ends[0] && ends[1]);
  EXPECT_NE(listeners[0].has_value(), listeners[1].has_value());
}

TEST_P(Io, APortThatIsAboutToCloseBeginsNoHandshake) {
  if (!loop) return;
  Result<Listener> listener = listen(Address::loopback(0), false);
  ASSERT_TRUE(listener.has_value());
  auto connect = [&] {
    int descriptor = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    sockaddr_storage storage;
    socklen_t size = listener->address().fill(storage);
    ::connect(descriptor, reinterpret_cast<sockaddr*>(&storage), size);
    return descriptor;
  };
  auto state = [](int descriptor) {
    tcp_info about{};
    socklen_t size = sizeof about;
    ::getsockopt(descriptor, IPPROTO_TCP, TCP_INFO, &about, &size);
    return int{about.tcpi_state};
  };
  int before = connect();
  EXPECT_EQ(state(before), TCP_ESTABLISHED);
  EXPECT_TRUE(listener->accept_last());
  int after = connect();
  EXPECT_EQ(state(after), TCP_SYN_SENT);
  EXPECT_FALSE(listener->accept_last());
  ::close(before);
  ::close(after);
}

TEST_P(Io, APeerThatResetsBeforeItIsAcceptedIsNobodysNeighbour) {
  if (!loop) return;
  Result<Listener> listener = listen(Address::loopback(0), false);
  Scope scope;
  bool done = false;
  auto once = [](Listener* at, bool* end) -> Task<void> {
    while (true) {
      Result<Accepted> accepted = co_await at->accept();
      EXPECT_EQ(accepted->peer.text().substr(0, 10), "127.0.0.1:");
      Arrival arrival = co_await accepted->socket.receive();
      if (arrival == Arrival::bytes && accepted->socket.input() == "good") break;
    }
    *end = true;
  };
  scope.spawn(once, &*listener, &done);
  loop->turn(0ns);
  sockaddr_storage storage;
  socklen_t size = listener->address().fill(storage);
  for (bool reset : {true, false}) {
    int client = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ASSERT_EQ(::connect(client, reinterpret_cast<sockaddr*>(&storage), size), 0);
    ASSERT_EQ(::send(client, reset ? "evil" : "good", 4, MSG_NOSIGNAL), 4);
    linger hard{.l_onoff = 1, .l_linger = 0};
    if (reset) ::setsockopt(client, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    ::close(client);
  }
  run(done);
}

// More bytes at once than the ring of io_uring has buffers, and nobody reads: each departure must be noticed all the same.
TEST_P(Io, DeparturesAreNoticedWhenBuffersRunShort) {
  if (!loop) return;
  constexpr size_t many = 200;
  Result<Listener> listener = listen(Address::loopback(0), false);
  Scope scope;
  std::vector<Socket> clients(many);
  size_t connected = 0;
  size_t first_read = 0;
  size_t departed = 0;
  auto serve = [](Listener* at, size_t* read, size_t* gone) -> Task<void> {
    Result<Accepted> accepted = co_await at->accept();
    Arrival first_arrival = co_await accepted->socket.receive();
    EXPECT_EQ(first_arrival, Arrival::bytes);
    ++*read;
    co_await accepted->socket.departure().wait();
    ++*gone;
  };
  auto begin = [](Address address, Socket* out, size_t* count) -> Task<void> {
    Result<Socket> socket = co_await connect(address);
    *out = std::move(*socket);
    bool first_sent = co_await out->send(Bytes::literal("x"));
    EXPECT_TRUE(first_sent);
    ++*count;
  };
  for (size_t i = 0; i < many; ++i) {  // one after the other: a listener has one acceptor at a time
    scope.spawn(serve, &*listener, &first_read, &departed);
    scope.spawn(begin, listener->address(), &clients[i], &connected);
    for (int turn = 0; turn < 1000 && (connected <= i || first_read <= i); ++turn) loop->turn(5ms);
  }
  ASSERT_EQ(first_read, many);
  Bytes burst = Bytes::copy(std::string(16'000, 'y'));
  for (Socket& client : clients) client.post(burst);
  for (int i = 0; i < 20; ++i) loop->turn(5ms);
  for (Socket& client : clients) client.close();
  for (int i = 0; i < 200 && departed < many; ++i) loop->turn(5ms);
  EXPECT_EQ(departed, many);
}

TEST_P(Io, UnixSocketsAndMailbox) {
  if (!loop) return;
  std::string path = "/tmp/portloom-io-test-" + std::to_string(getpid()) + ".sock";
  Result<Listener> listener = listen(*Address::parse("unix:" + path), false);
  ASSERT_TRUE(listener.has_value()) << listener.error().detail;
  Scope scope;
  bool done = false;
  scope.spawn(echo, &*listener);
  bool posted = false;
  std::thread other([&] { loop->mailbox().post([&] { posted = true; }); });
  scope.spawn(talk, listener->address(), &done);
  run(done);
  other.join();
  run(posted);
  ::unlink(path.c_str());
}

INSTANTIATE_TEST_SUITE_P(Engines, IoPair, testing::Values(Engine::epoll, Engine::io_uring),
                         [](const auto& engine) { return engine.param == Engine::epoll ? "epoll" : "io_uring"; });
INSTANTIATE_TEST_SUITE_P(Engines, Io, testing::Values(Engine::epoll, Engine::io_uring),
                         [](const auto& engine) { return engine.param == Engine::epoll ? "epoll" : "io_uring"; });

TEST(Address, ReadsWhatItWrites) {
  for (const char* text : {"127.0.0.1:80", "[::1]:8443", "unix:/run/x.sock", "[::]:8080"}) EXPECT_EQ(Address::parse(text)->text(), text);
  EXPECT_EQ(Address::parse(":8080")->text(), "[::]:8080");
  for (const char* text : {"", "80", "127.0.0.1", "1.2.3:80", "[::1:80", "host:80", "127.0.0.1:70000", "unix:"})
    EXPECT_FALSE(Address::parse(text).has_value()) << text;
}

struct Count {
  int64_t used = 0;
  int64_t at = 0;
  bool stale(int64_t now) const { return at + 100 < now; }
  int64_t age() const { return at; }
};

TEST(Shared, StripedCountsExactlyUnderThreads) {
  Striped<Count> table(1024);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 10'000; ++i) table.with(42, 1, [](Count& count, bool) { return ++count.used; });
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(table.with(42, 1, [](Count& count, bool) { return count.used; }), 40'000);
}

TEST(Shared, WordAdvancesExactlyUnderThreads) {
  Word word;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 10'000; ++i) word.advance([](uint64_t before) { return before + 1; });
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(word.load(), 40'000u);
}

}  // namespace
}  // namespace portloom::io
