// Tests of testing/sim_loop: what io/io_test.cpp asks of the real engines, in virtual time, under several seeds.
#include "testing/sim_loop.h"

#include <gtest/gtest.h>

#include "async/race.h"
#include "async/scope.h"

namespace portloom::testing {
namespace {

using io::Accepted;
using io::Address;
using io::Arrival;
using io::Bulk;
using io::Listener;
using io::Socket;

Task<void> echo(Listener* listener) {
  Result<Accepted> accepted = co_await listener->accept();
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
  Result<Socket> socket = co_await io::connect(address);
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

Task<void> source(Listener* listener, size_t total, size_t* sent) {
  Result<Accepted> accepted = co_await listener->accept();
  std::string chunk(50'000, 'x');
  for (; *sent < total; *sent += chunk.size())
    if (!co_await accepted->socket.send(Bytes::copy(chunk))) co_return;
}

Task<void> sink(Address address, size_t* got, bool* done) {
  Result<Socket> socket = co_await io::connect(address);
  Arrival first_arrival = co_await socket->receive();
  EXPECT_EQ(first_arrival, Arrival::bytes);  // head mode first, as a connection does
  while (true) {
    Bulk bulk = co_await socket->receive_bulk();
    if (bulk.arrival != Arrival::bytes) break;
    *got += bulk.bytes.size();
  }
  *done = true;
}

Task<void> accept_into(Listener* listener, Socket* out, Address* peer = nullptr) {
  Result<Accepted> accepted = co_await listener->accept();
  if (peer != nullptr) *peer = accepted->peer;
  *out = std::move(accepted->socket);
}
Task<void> connect_into(Address address, Socket* out, bool* refused = nullptr) {
  Result<Socket> socket = co_await io::connect(address);
  if (refused != nullptr) *refused = !socket;
  if (socket) *out = std::move(*socket);
}
Task<void> receive_into(Socket* socket, Arrival* arrival, Instant deadline) { *arrival = co_await socket->receive(deadline); }

class Sim : public ::testing::TestWithParam<uint64_t> {
 protected:
  // `client` and `server` become the two ends of one connection.
  void join() {
    scope.spawn(accept_into, &listener, &server, &peer);
    scope.spawn(connect_into, listener.address(), &client, nullptr);
    ASSERT_TRUE(loop.run_until([&] { return client && server; }));
  }
  SimLoop loop{GetParam()};
  Listener listener = std::move(*io::listen(Address::loopback(0), false));
  Socket client;
  Socket server;
  Address peer;
  Scope scope;  // dropped first
  bool done = false;
};

TEST_P(Sim, EchoesInHeadMode) {
  scope.spawn(echo, &listener);
  scope.spawn(talk, listener.address(), &done);
  EXPECT_TRUE(loop.run_until([&] { return done; }));
}

TEST_P(Sim, EchoesOneByteAtATimeOverADistance) {
  loop.network.one_byte_at_a_time = true;
  loop.network.latency = 10ms;
  Instant start = loop.now();
  scope.spawn(echo, &listener);
  scope.spawn(talk, listener.address(), &done);
  EXPECT_TRUE(loop.run_until([&] { return done; }));
  EXPECT_GE(loop.now() - start, 100ms);  // connect, three exchanges, the end: five round trips
  EXPECT_LE(loop.now() - start, 150ms);
}

TEST_P(Sim, MovesALargeBodyInBodyMode) {
  size_t sent = 0;
  size_t got = 0;
  scope.spawn(source, &listener, size_t{5'000'000}, &sent);
  scope.spawn(sink, listener.address(), &got, &done);
  EXPECT_TRUE(loop.run_until([&] { return done; }));
  EXPECT_EQ(got, 5'000'000u);
}

TEST_P(Sim, AReaderThatStopsHoldsTheSenderBack) {
  size_t sent = 0;
  scope.spawn(source, &listener, size_t{100'000'000}, &sent);
  scope.spawn(connect_into, listener.address(), &client, nullptr);
  loop.run_for(10s);
  EXPECT_LE(sent, 100'000u);
}

TEST_P(Sim, RefusedBlackholedAndNobodyThere) {
  bool refused = false;
  scope.spawn(connect_into, Address::loopback(1), &client, &refused);
  loop.run_for(1s);
  EXPECT_TRUE(refused);

  loop.refuse(listener.address());
  refused = false;
  scope.spawn(connect_into, listener.address(), &client, &refused);
  loop.run_for(1s);
  EXPECT_TRUE(refused);
  loop.allow(listener.address());

  loop.blackhole(listener.address());
  std::string outcome;
  scope.spawn(
      [](Address address, std::string* out) -> Task<void> {
        Instant deadline = Agenda::current().now() + 3s;
        auto socket = co_await before(deadline, io::connect(address));
        *out = socket ? "connected" : "late";
      },
      listener.address(), &outcome);
  loop.run_for(2s);
  EXPECT_EQ(outcome, "");
  loop.run_for(2s);
  EXPECT_EQ(outcome, "late");
  loop.allow(listener.address());
  join();
}

TEST_P(Sim, DeadlinesOfReadsAndSends) {
  join();
  scope.spawn(
      [](Socket* from, Socket* to, bool* end) -> Task<void> {
        Instant start = Agenda::current().now();
        Arrival first_arrival = co_await from->receive(start + 1s);
        EXPECT_EQ(first_arrival, Arrival::late);
        Bulk bulk = co_await from->receive_bulk(100, start + 2s);
        EXPECT_EQ(bulk.arrival, Arrival::late);
        EXPECT_GE(Agenda::current().now(), start + 2s);
        bool first_sent = co_await to->send(Bytes::copy(std::string(1'000'000, 'x')), {}, start + 3s);
        EXPECT_FALSE(first_sent);
        EXPECT_TRUE(to->sending());
        EXPECT_LE(Agenda::current().now(), start + 3100ms);
        *end = true;
      },
      &server, &client, &done);
  EXPECT_TRUE(loop.run_until([&] { return done; }));
}

TEST_P(Sim, DepartureIsNoticedWhileNobodyReads) {
  join();
  Arrival arrival = Arrival::late;
  scope.spawn(receive_into, &server, &arrival, never);
  client.post(Bytes::literal("x"));
  loop.run_for(1s);
  EXPECT_EQ(arrival, Arrival::bytes);
  EXPECT_FALSE(server.departure().is_set());
  client.close();
  loop.run_for(1s);
  EXPECT_TRUE(server.departure().is_set());
  EXPECT_EQ(server.input(), "x");
  scope.spawn(receive_into, &server, &arrival, never);
  loop.run_for(1s);
  EXPECT_EQ(arrival, Arrival::end);
  EXPECT_TRUE(server.ended());
}

TEST_P(Sim, HalfClose) {
  join();
  client.shutdown_write();
  Arrival arrival = Arrival::late;
  scope.spawn(receive_into, &server, &arrival, never);
  loop.run_for(1s);
  EXPECT_EQ(arrival, Arrival::end);
  server.post(Bytes::literal("still"));
  scope.spawn(receive_into, &client, &arrival, never);
  loop.run_for(1s);
  EXPECT_EQ(arrival, Arrival::bytes);
  EXPECT_EQ(client.input(), "still");
}

TEST_P(Sim, ResetBreaksBothEnds) {
  join();
  Arrival arrivals[2] = {Arrival::late, Arrival::late};
  scope.spawn(receive_into, &server, &arrivals[0], never);
  scope.spawn(receive_into, &client, &arrivals[1], never);
  loop.run_for(1s);
  EXPECT_EQ(loop.connections(listener.address()), 1u);
  loop.reset(client);
  loop.run_for(1s);
  EXPECT_EQ(arrivals[0], Arrival::broken);
  EXPECT_EQ(arrivals[1], Arrival::broken);
  server.post(Bytes::literal("x"));
  loop.run_for(1s);
  EXPECT_TRUE(server.send_broken());
}

TEST_P(Sim, DroppingASocketInMidSendEndsTheStreamForThePeer) {
  join();
  client.post(Bytes::copy(std::string(1'000'000, 'y')));
  loop.run_for(1s);
  client.close();
  size_t got = 0;
  scope.spawn(
      [](Socket* from, size_t* count, bool* end) -> Task<void> {
        while (true) {
          Bulk bulk = co_await from->receive_bulk();
          if (bulk.arrival != Arrival::bytes) break;
          *count += bulk.bytes.size();
        }
        *end = true;
      },
      &server, &got, &done);
  EXPECT_TRUE(loop.run_until([&] { return done; }));
  EXPECT_EQ(got, 64u * 1024);
}

TEST_P(Sim, ClosingOverUnreadBytesResetsThePeer) {
  join();
  client.post(Bytes::literal("never read"));
  loop.run_for(1s);
  server.close();
  Arrival arrival = Arrival::late;
  scope.spawn(receive_into, &client, &arrival, never);
  loop.run_for(1s);
  EXPECT_EQ(arrival, Arrival::broken);
}

TEST_P(Sim, SendingToOneThatHasGoneFailsTheSecondTime) {
  join();
  server.close();
  client.post(Bytes::literal("first"));
  loop.run_for(1s);
  EXPECT_FALSE(client.send_broken());
  client.post(Bytes::literal("second"));
  loop.run_for(1s);
  EXPECT_TRUE(client.send_broken());
}

TEST_P(Sim, PortsAreSharedOnlyByConsentAndAddressesAreSeen) {
  EXPECT_FALSE(io::listen(listener.address(), true).has_value());
  loop.network.source = Address::parse("198.51.100.7:0");
  join();
  EXPECT_EQ(peer.host(), "198.51.100.7");
  EXPECT_NE(peer.port(), 0);
}

TEST_P(Sim, AClosedListenerResetsWhoeverWaitsInItsLine) {
  auto closing = std::make_unique<Listener>(std::move(*io::listen(Address::loopback(0), false)));
  scope.spawn(connect_into, closing->address(), &client, nullptr);
  loop.run_for(1s);
  ASSERT_TRUE(client);
  closing.reset();
  Arrival arrival = Arrival::late;
  scope.spawn(receive_into, &client, &arrival, never);
  loop.run_for(1s);
  EXPECT_EQ(arrival, Arrival::broken);
}

INSTANTIATE_TEST_SUITE_P(Seeds, Sim, ::testing::Values(0, 1, 2, 3, 4, 5, 6, 7));

}  // namespace
}  // namespace portloom::testing
