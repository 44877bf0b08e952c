// Tests of Pipe on both engines over real loopback sockets: every byte arrives, through a slow reader and to the end; a reader
// that has gone; an origin that has; how many pipes a worker lends.
#include "io/pipe.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "async/race.h"
#include "async/scope.h"
#include "io/socket.h"

namespace portloom::io {
namespace {

class PipeTest : public testing::TestWithParam<Engine> {
 protected:
  void SetUp() override {
    if (GetParam() == Engine::io_uring && !io_uring_works()) GTEST_SKIP() << "io_uring is not to be had here";
    loop = std::move(*make_loop(GetParam()));
    Agenda::make_current(loop.get());
  }
  void TearDown() override {
    loop.reset();
    Agenda::make_current(nullptr);
  }
  void run(const bool& done) {
    Instant end = SteadyClock::now() + 20s;
    while (!done && SteadyClock::now() < end) loop->turn(100ms);
    EXPECT_TRUE(done);
  }
  std::unique_ptr<Loop> loop;
};

Bytes pattern(size_t size) {
  Bytes bytes = Bytes::uninitialized(size);
  for (size_t i = 0; i < size; ++i) bytes.writable()[i] = static_cast<char>(i * 2654435761U >> 13);
  return bytes;
}

Task<void> give(Listener* listener, Bytes bytes, bool* gone) {
  Result<Accepted> accepted = co_await listener->accept();
  if (!accepted) co_return;
  bool sent = co_await accepted->socket.send(std::move(bytes));
  if (!sent) *gone = true;
}

// Passes what `from` sends on to whoever comes to `listener`, until the end.
struct Passing {
  size_t passed = 0;
  std::optional<Pipe::Filled> ended;
  bool refused = false;
  bool done = false;
};

Task<void> pass_on(Listener* listener, Address from, Passing* passing) {
  Result<Accepted> accepted = co_await listener->accept();
  Result<Socket> source = co_await connect(from);
  if (!accepted || !source) co_return;
  Socket& target = accepted->socket;
  Pipe pipe;
  while (!passing->ended && !passing->refused) {
    if (!source->spliceable()) break;
    Arrival arrival = co_await source->readable(Agenda::current().now() + 10s);
    if (arrival != Arrival::bytes) break;
    Pipe::Filled filled = pipe.fill(source->channel(), size_t{1} << 20);
    if (filled == Pipe::Filled::nothing_yet) continue;
    if (filled != Pipe::Filled::bytes) passing->ended = filled;
    passing->passed += pipe.held();
    while (!pipe.empty() && !passing->refused) {
      if (!pipe.drain(target.channel())) passing->refused = true;
      if (pipe.empty() || passing->refused) break;
      bool room = co_await target.writable(Agenda::current().now() + 10s);
      if (!room) passing->refused = true;
    }
  }
  passing->done = true;
}

Task<void> take(Address from, size_t pieces_max, bool slowly, std::string* got, bool* done) {
  Result<Socket> socket = co_await connect(from);
  if (!socket) co_return;
  for (size_t i = 0; i < pieces_max; ++i) {
    if (slowly) co_await sleep_for(1ms);
    Bulk bulk = co_await socket->receive_bulk(64 * 1024, Agenda::current().now() + 10s);
    if (bulk.arrival != Arrival::bytes) break;
    got->append(bulk.bytes.view());
  }
  *done = true;
}

Listener local() { return std::move(*listen(*Address::parse("127.0.0.1:0"), false)); }

TEST_P(PipeTest, PassesEveryByteAndTheEnd) {
  for (bool slowly : {false, true}) {
    Listener origin = local();
    Listener front = local();
    Bytes bytes = pattern(3'000'017);
    std::string got;
    bool taken = false;
    bool gone = false;
    Passing passing;
    Scope scope;
    scope.spawn(give, &origin, bytes, &gone);
    scope.spawn(pass_on, &front, origin.address(), &passing);
    scope.spawn(take, front.address(), size_t{1} << 20, slowly, &got, &taken);
    run(taken);
    EXPECT_TRUE(passing.done);
    EXPECT_EQ(passing.ended, Pipe::Filled::end);
    EXPECT_EQ(passing.passed, bytes.size());
    EXPECT_TRUE(got == bytes.view());
  }
}

TEST_P(PipeTest, AReaderThatHasGoneIsNoticed) {
  Listener origin = local();
  Listener front = local();
  std::string got;
  bool taken = false;
  bool gone = false;
  Passing passing;
  Scope scope;
  scope.spawn(give, &origin, pattern(64 << 20), &gone);
  scope.spawn(pass_on, &front, origin.address(), &passing);
  scope.spawn(take, front.address(), size_t{1}, false, &got, &taken);
  run(passing.done);
  EXPECT_TRUE(passing.refused);
  EXPECT_LT(passing.passed, size_t{64} << 20);
}

TEST_P(PipeTest, OnePipeAfterTheOtherButNeverMoreThanItsBound) {
  Pipes& pipes = loop->pipes();
  std::vector<Pipes::Ends> lent(Pipes::pipes_max);
  for (Pipes::Ends& ends : lent) ASSERT_TRUE(pipes.lend(ends));
  Pipes::Ends more;
  EXPECT_FALSE(pipes.lend(more));
  int first = lent.front().in;
  pipes.give_back(lent.front(), true);
  ASSERT_TRUE(pipes.lend(more));
  EXPECT_EQ(more.in, first);  // kept for the next
  lent.front() = more;
  for (Pipes::Ends& ends : lent) pipes.give_back(ends, false);
}

INSTANTIATE_TEST_SUITE_P(Engines, PipeTest, testing::Values(Engine::io_uring, Engine::epoll),
                         [](const auto& instance) { return instance.param == Engine::io_uring ? "io_uring" : "epoll"; });

}  // namespace
}  // namespace portloom::io
