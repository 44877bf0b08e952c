// Tests of io/ on both engines over real loopback sockets: echo in head mode and body mode, end of stream, refusal,
// back-pressure, half-close, and what dropping a socket during an operation does. No test asserts a time.
#include <gtest/gtest.h>
#include <unistd.h>

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
    if (!bytes.empty() && !co_await socket.send(bytes)) co_return;
    if (arrival != Arrival::bytes) co_return;
  }
}

Task<void> talk(Address address, bool* done) {
  Result<Socket> socket = co_await connect(address);
  EXPECT_TRUE(socket.has_value());
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(co_await socket->send(Bytes::copy("hello "), Bytes::copy("world")));
    std::string got;
    while (got.size() < 11) {
      if (co_await socket->receive() != Arrival::bytes) break;
      got += socket->input();
      socket->consume(socket->input().size());
    }
    EXPECT_EQ(got, "hello world");
  }
  socket->shutdown_write();
  EXPECT_EQ(co_await socket->receive(), Arrival::end);
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
  EXPECT_EQ(co_await socket->receive(), Arrival::bytes);  // head mode first, as a connection does
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
        EXPECT_EQ(co_await socket.receive(), Arrival::bytes);
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
