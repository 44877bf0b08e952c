// Tests of server: clients of HTTP/2 that ask for much with little. Each flood ends in GOAWAY(ENHANCE_YOUR_CALM), and before that
// nothing piles up; a client that only behaves oddly is served on.
#include <gtest/gtest.h>

#include "testing/exchanges.h"
#include "testing/http2_frames.h"

namespace portloom::server {
namespace {

using namespace testing;       // NOLINT: the bench, its fixtures and its texts
using namespace testing::raw;  // NOLINT: frames

constexpr int64_t enhance_your_calm = 11;
constexpr int64_t cancel = 8;

class LowBounds : public Single {
 protected:
  LowBounds() {  // far below the bounds of nghttp2, so that it is ours that are seen at work
    http::Http2Limits& bounds = bench.door.connection.http2_limits;
    bounds.resets = 20;
    bounds.control_frames = 60;
    bounds.streams = 40;
  }
};

class Floods : public LowBounds {
 protected:
  Wire& wire = bench.client(hello());
  // Says `one(i)` again and again, each before the answer to the last could come; how often until the connection was given up.
  int flood(const std::function<std::string(int)>& one, int most = 2000) {
    for (int i = 0; i < most; ++i) {
      if (given_up() || wire.over()) return i;
      wire.say(one(i));
      bench.loop.run_for(Duration(GetParam().bytewise ? 100us : 1us));
    }
    bench.until([&] { return given_up(); }, 1s);
    return given_up() ? most : -1;
  }
  bool given_up() {
    std::vector<Heard> frames = frames_of(wire.heard);
    const Heard* last = last_of(frames, goaway, 0);
    return last != nullptr && last->error() == enhance_your_calm;
  }
  void expect_given_up(int count, int most) {
    EXPECT_GT(count, 0) << "still served";
    EXPECT_LE(count, most);
    EXPECT_TRUE(bench.is_over(wire));
  }
  void TearDown() override {
    wire.close();
    Single::TearDown();
  }
};
INSTANTIATE_TEST_SUITE_P(Modes, Floods, modes);

uint32_t nth(int i) { return static_cast<uint32_t>(2 * i + 1); }

TEST_P(Floods, RapidReset) {  // CVE-2023-44487
  expect_given_up(flood([](int i) { return request(nth(i)) + frame(rst_stream, 0, nth(i), number(cancel, 4)); }), 40);
  bench.loop.run_for(1s);
  EXPECT_EQ(bench.active(), 0u);
}

TEST_P(Floods, ResetsThatAreProvoked) {  // CVE-2025-8671
  const std::string nothing = number(0, 4);
  const std::string all = number(0x7fffffff, 4);
  int variant = 0;
  for (const auto& provoke : std::vector<std::function<std::string(uint32_t)>>{
           [&](uint32_t id) { return request(id) + frame(window_update, 0, id, nothing); },
           [&](uint32_t id) { return request(id) + frame(window_update, 0, id, all); },
           [&](uint32_t id) { return request(id) + frame(body, 0, id, "x"); },
           [&](uint32_t id) { return request(id) + frame(headers, end_headers | end_stream, id, get_block()); },
           [&](uint32_t id) { return frame(headers, end_headers | end_stream, id, block({{"x", "y"}})); },
           [&](uint32_t id) {
             return frame(headers, end_headers, id, get_block("/", {{"content-length", "1"}})) + frame(body, end_stream, id, "23");
           },
       }) {
    SCOPED_TRACE(++variant);
    Wire& client = bench.client(hello());
    int count = 0;
    auto over = [&] { return client.over() || last_of(frames_of(client.heard), goaway, 0) != nullptr; };
    for (; count < 200 && !over(); ++count) {
      client.say(provoke(nth(count)));
      bench.loop.run_for(Duration(GetParam().bytewise ? 1ms : 10us));
    }
    EXPECT_TRUE(bench.until(over));
    EXPECT_LT(count, 100);
    client.close();
  }
}

TEST_P(Floods, Continuations) {  // CVE-2024-27316
  expect_given_up(flood([](int i) {
                    if (i == 0) return frame(headers, end_stream, 1, get_block());
                    return frame(continuation, 0, 1, field("x", "y"));
                  }),
                  40);
}

TEST_P(Floods, EmptyContinuations) {
  expect_given_up(flood([](int i) { return i == 0 ? frame(headers, end_stream, 1, get_block()) : frame(continuation, 0, 1); }), 40);
}

TEST_P(Floods, Settings) {
  expect_given_up(flood([](int) { return frame(settings, 0, 0, setting(4, 65'535)); }), 100);
}

TEST_P(Floods, SettingsAcknowledgements) {
  expect_given_up(flood([](int) { return frame(settings, ack, 0); }), 100);
}

TEST_P(Floods, Pings) {
  expect_given_up(flood([](int) { return frame(ping, 0, 0, "12345678"); }), 100);
}

TEST_P(Floods, Priorities) {
  expect_given_up(flood([](int i) { return frame(priority, 0, nth(i), number(0, 4) + "\x10"); }), 100);
}

TEST_P(Floods, PriorityUpdates) {
  expect_given_up(flood([](int) { return frame(0x10, 0, 0, number(1, 4) + "u=1"); }), 100);
}

TEST_P(Floods, EmptyData) {
  expect_given_up(flood([](int i) { return i == 0 ? frame(headers, end_headers, 1, get_block()) : frame(body, 0, 1); }), 100);
}

TEST_P(Floods, PaddingAlone) {
  const std::string nothing = std::string(1, '\x3') + std::string(3, '\0');
  expect_given_up(flood([&](int i) { return i == 0 ? frame(headers, end_headers, 1, get_block()) : frame(body, padded, 1, nothing); }),
                  100);
}

TEST_P(Floods, WindowUpdates) {
  expect_given_up(flood([](int) { return frame(window_update, 0, 0, number(1, 4)); }), 100);
}

TEST_P(Floods, HeadThatUnpacksToMuch) {
  // One large field goes into the table, then is named by one byte each time.
  std::string large = std::string(1, '\x40') + "\1x" + "\x7f\x80\x1e" + std::string(3967, 'a');  // 127 + 3840
  std::string head = get_block() + large + std::string(8000, '\xbe');
  flood([&](int i) { return frame(headers, end_stream | end_headers, nth(i), head); }, 1);
  EXPECT_TRUE(bench.until([&] { return given_up(); }));
  EXPECT_EQ(bench.origins[0]->count(), 0u);
}

TEST_P(Floods, WindowsOfOneByte) {
  if (GetParam().bytewise) GTEST_SKIP();  // the answer comes in pieces that small by itself
  wire.say(frame(settings, 0, 0, setting(4, 1)));
  wire.say(request(1));
  bench.origin().say("HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n" + std::string(2000, 'x'));
  expect_given_up(flood([](int) { return frame(window_update, 0, 1, number(1, 4)); }), 200);
}

// Neither their bytes nor their streams stay: each stands still for as long as the listener allows and is reset.
TEST_P(Floods, WindowsOfNothing) {
  if (GetParam().bytewise) GTEST_SKIP();
  wire.say(frame(settings, 0, 0, setting(4, 0)));
  for (int i = 0; i < 30; ++i) {
    wire.say(request(nth(i)));
    bench.origin(static_cast<size_t>(i)).say("HTTP/1.1 200 OK\r\nContent-Length: 500000\r\n\r\n" + std::string(500'000, 'x'));
  }
  bench.loop.run_for(1s);
  size_t taken = 0;
  for (size_t i = 0; i < 30; ++i) taken += 500'000 - std::min<size_t>(500'000, (*bench.origins[0])[i].unsent());
  EXPECT_LT(taken, 30u * 400'000);  // the rest waits with the origins
  size_t pings = 0;
  auto answer_pings = [&] {
    size_t heard = 0;
    for (const Heard& one : frames_of(wire.heard)) heard += one.type == ping;
    for (; pings < heard; ++pings) wire.say(frame(ping, ack, 0, std::string(8, '\0')));
  };
  EXPECT_TRUE(bench.until([&] { return answer_pings(), given_up(); }, 100s));
  EXPECT_TRUE(bench.is_over(wire));
  EXPECT_EQ(bench.active(), 0u);
}

TEST_P(Floods, WhoDoesNotReadIsGivenUp) {
  if (GetParam().bytewise) GTEST_SKIP();
  wire.say(frame(settings, 0, 0, setting(4, 1 << 30)) + frame(window_update, 0, 0, number(1 << 30, 4)));
  bench.until([&] { return wire.total() > 0; });
  wire.read_until(wire.total());
  for (int i = 0; i < 30; ++i) wire.say(request(nth(i)));
  for (size_t i = 0; i < 30; ++i) bench.origin(i).say("HTTP/1.1 200 OK\r\nContent-Length: 500000\r\n\r\n" + std::string(500'000, 'x'));
  EXPECT_TRUE(bench.until([&] { return bench.accounts.list.size() == 30; }, 200s));
  EXPECT_EQ(bench.active(), 0u);
}

TEST_P(Floods, StreamsOverTheBoundAreRefused) {
  for (int i = 0; i < 45; ++i) wire.say(request(nth(i)));
  ASSERT_TRUE(bench.until([&] { return last_of(frames_of(wire.heard), rst_stream, nth(44)) != nullptr; }));
  EXPECT_EQ(last_of(frames_of(wire.heard), rst_stream, nth(44))->error(), 7);
  EXPECT_EQ(last_of(frames_of(wire.heard), rst_stream, nth(39)), nullptr);
  EXPECT_FALSE(given_up());
}

}  // namespace
}  // namespace portloom::server
