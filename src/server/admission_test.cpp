// Tests of server/admission and of what a Server does with it: who is let in, whose connection it is, what happens near limits.memory.
#include "server/admission.h"

#include <gtest/gtest.h>

#include <array>

#include "io/proxy_protocol.h"
#include "testing/exchanges.h"

namespace portloom::server {
namespace {

using namespace testing;               // NOLINT: the bench, its fixtures and its texts
using namespace std::string_literals;  // NOLINT: texts with zeros in them

// ---- The counts by themselves ----

http::Address ip(std::string_view text) { return *http::Address::parse(text); }

TEST(Admission, CountsToTheBoundAndBack) {
  Admission admission({.connections = 2});
  EXPECT_TRUE(admission.enter());
  EXPECT_TRUE(admission.enter());
  EXPECT_FALSE(admission.enter());
  admission.leave();
  EXPECT_TRUE(admission.enter());
  EXPECT_EQ(admission.connections(), 2u);
}

TEST(Admission, SharesAreByAddressAndByNetworkOfIPv6) {
  Admission admission({.per_address = 2});
  uint64_t first = admission.enter(ip("192.0.2.1"));
  EXPECT_GT(first, Admission::unbounded);
  EXPECT_EQ(admission.enter(ip("192.0.2.1")), first);
  EXPECT_EQ(admission.enter(ip("192.0.2.1")), 0u);
  EXPECT_NE(admission.enter(ip("192.0.2.2")), 0u);
  EXPECT_NE(admission.enter(ip("2001:db8::1")), 0u);
  EXPECT_NE(admission.enter(ip("2001:db8::ffff")), 0u);
  EXPECT_EQ(admission.enter(ip("2001:db8:0:0:1::1")), 0u);  // the same /64
  EXPECT_NE(admission.enter(ip("2001:db8:0:1::1")), 0u);    // the next one
  admission.leave(first);
  EXPECT_NE(admission.enter(ip("192.0.2.1")), 0u);
  EXPECT_EQ(admission.enter(ip("192.0.2.1")), 0u);
}

TEST(Admission, ABoundThatComesLaterCountsOnlyWhoComesAfterIt) {
  Admission admission({});
  uint64_t early = admission.enter(ip("192.0.2.1"));
  EXPECT_EQ(early, Admission::unbounded);
  admission.use(Admission::Bounds{.per_address = 1});
  EXPECT_NE(admission.enter(ip("192.0.2.1")), 0u);
  EXPECT_EQ(admission.enter(ip("192.0.2.1")), 0u);
  admission.leave(early);
  EXPECT_EQ(admission.enter(ip("192.0.2.1")), 0u);  // it never had a share to give back
  admission.use(Admission::Bounds{});
  EXPECT_EQ(admission.enter(ip("192.0.2.1")), Admission::unbounded);
}

// ---- At a Server ----

class Counts final : public pipeline::Gauges {
 public:
  void connections(std::string_view, int change) override { open += change; }
  void accept_paused(std::string_view) override {}
  void handshake_failed(std::string_view) override {}
  void refused(std::string_view listener, pipeline::Refused why) override {
    EXPECT_EQ(listener, "public");
    ++by_reason[static_cast<size_t>(why)];
  }
  int at(pipeline::Refused why) const { return by_reason[static_cast<size_t>(why)]; }
  int open = 0;
  std::array<int, pipeline::refused_count> by_reason{};
};

class Entering : public Single {
 protected:
  Entering() { bench.workplace.gauges = &counts; }
  Counts counts;
  static std::string line(std::string_view from) {
    return io::write_proxy_header(io::ProxyVersion::v1, *io::Address::parse(from), *io::Address::parse("192.0.2.9:80"));
  }
  void trust(std::string_view network) { bench.door.trusted_proxies.add(*http::Cidr::parse(network)); }
  void proxied() { bench.door.proxy_protocol = true; }
};
INSTANTIATE_TEST_SUITE_P(Modes, Entering, modes);

TEST_P(Entering, TheConnectionAfterTheLastIsClosedAndCounted) {
  bench.admission.use(Admission::Bounds{.connections = 2});
  Wire& first = bench.client(get);
  Wire& second = bench.client(get);
  bench.origin(1);
  Wire& third = bench.client(get);
  EXPECT_TRUE(bench.is_over(third));
  EXPECT_EQ(third.heard, "");
  EXPECT_EQ(counts.at(pipeline::Refused::connections), 1);
  first.close();
  bench.loop.run_for(2s);
  EXPECT_EQ(counts.open, 1);
  Wire& fourth = bench.client(get);
  bench.origin(2).say(small_answer);
  EXPECT_TRUE(bench.hears(fourth, "hello"));
  EXPECT_FALSE(second.over());
}

TEST_P(Entering, AnAddressHasItsShare) {
  bench.admission.use(Admission::Bounds{.per_address = 1});
  bench.loop.network.source = *io::Address::parse("192.0.2.1:0");
  Wire& first = bench.client(get);
  bench.origin(0);
  Wire& second = bench.client(get);
  EXPECT_TRUE(bench.is_over(second));
  EXPECT_EQ(counts.at(pipeline::Refused::connections_per_address), 1);
  bench.loop.network.source = *io::Address::parse("192.0.2.2:0");
  bench.client(get);
  bench.origin(1);
  first.close();
  bench.loop.run_for(2s);
  bench.loop.network.source = *io::Address::parse("192.0.2.1:0");
  bench.client(get);
  bench.origin(2);
  EXPECT_EQ(counts.at(pipeline::Refused::connections_per_address), 1);
}

TEST_P(Entering, AProxiedClientHasTheShareOfItsOwnAddress) {
  proxied();
  bench.admission.use(Admission::Bounds{.per_address = 1});
  bench.client(line("198.51.100.1:1") + std::string(get));
  bench.origin(0);
  bench.client(line("198.51.100.2:1") + std::string(get));
  bench.origin(1);
  Wire& again = bench.client(line("198.51.100.1:2") + std::string(get));
  EXPECT_TRUE(bench.is_over(again));
  EXPECT_EQ(counts.at(pipeline::Refused::connections_per_address), 1);
}

// ---- PROXY headers ----

TEST_P(Entering, APROXYHeaderSaysWhoseConnectionItIs) {
  proxied();
  const std::string headers[] = {
      line("198.51.100.7:4711"),
      io::write_proxy_header(io::ProxyVersion::v2, *io::Address::parse("198.51.100.7:1"), *io::Address::parse("192.0.2.9:80"))};
  for (size_t i = 0; i < 2; ++i) {
    Wire& client = bench.client(headers[i] + std::string(get));
    Wire& origin = bench.origin(0);
    EXPECT_TRUE(origin.has("X-Forwarded-For: 198.51.100.7\r\n")) << origin.heard;
    EXPECT_FALSE(origin.has("PROXY"));
    origin.take();
    origin.say(small_answer);
    ASSERT_TRUE(bench.hears(client, "hello"));
    client.take();
    client.say(get);  // the header counts for the whole connection
    EXPECT_TRUE(bench.origin(0).has("X-Forwarded-For: 198.51.100.7\r\n"));
    origin.take();
    origin.say(small_answer);
    ASSERT_TRUE(bench.hears(client, "hello"));
    expect(bench.account(2 * i + 2), 200, true);
  }
}

TEST_P(Entering, AHeaderForNobodyLeavesTheConnectionsOwnAddress) {
  proxied();
  for (const std::string& header : {"PROXY UNKNOWN\r\n"s, "\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"s}) {
    size_t n = bench.accounts.list.size();
    Wire& client = bench.client(header + std::string(get));
    Wire& origin = bench.origin(0);
    EXPECT_TRUE(origin.has("X-Forwarded-For: 127.0.0.1\r\n")) << origin.heard;
    origin.take();
    origin.say(small_answer);
    ASSERT_TRUE(bench.hears(client, "hello"));
    bench.account(n + 1);
  }
}

TEST_P(Entering, WhatTheProxiedClientSaysOfItselfIsBelievedOnlyIfItIsTrusted) {
  proxied();
  trust("127.0.0.0/8");
  trust("203.0.113.0/24");
  Wire& stranger = bench.client(line("198.51.100.7:1") + "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 9.9.9.9\r\n\r\n");
  Wire& origin = bench.origin(0);
  EXPECT_TRUE(origin.has("X-Forwarded-For: 198.51.100.7\r\n")) << origin.heard;
  origin.take();
  origin.say(small_answer);
  ASSERT_TRUE(bench.hears(stranger, "hello"));
  Wire& known = bench.client(line("203.0.113.1:1") + "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 9.9.9.9\r\n\r\n");
  bench.origin(0, "9.9.9.9, 203.0.113.1\r\n");
  origin.say(small_answer);
  EXPECT_TRUE(bench.hears(known, "hello"));
}

TEST_P(Entering, NothingIsServedWithoutARightHeader) {
  proxied();
  int count = 0;
  for (const std::string& wrong : {std::string(get), "PROXY TCP4 1.2.3.4\r\n"s + std::string(get), "PROXY TCP4 999.1.1.1 1.1.1.1 1 1\r\n"s,
                                   "\r\n\r\n\0\r\nQUIT\n\x31\x11\0\0"s, "\x16\x03\x01\x02"s, std::string(10'000, 'P')}) {
    Wire& client = bench.client(wrong);
    EXPECT_TRUE(bench.is_over(client));
    EXPECT_EQ(client.heard, "");
    EXPECT_EQ(counts.at(pipeline::Refused::proxy_protocol), ++count);
  }
  EXPECT_EQ(bench.origins[0]->count(), 0u);
  EXPECT_TRUE(bench.accounts.list.empty());
}

TEST_P(Entering, AHeaderThatNeverComesIsNotWaitedForLongerThanAHead) {
  proxied();
  Wire& silent = bench.client();
  Wire& slow = bench.client("PROXY TCP4 1.2");
  bench.loop.run_for(9s);
  EXPECT_FALSE(silent.over());
  EXPECT_FALSE(slow.over());
  bench.loop.run_for(2s);
  EXPECT_TRUE(silent.over());
  EXPECT_TRUE(slow.over());
  EXPECT_EQ(counts.at(pipeline::Refused::proxy_protocol), 2);
  EXPECT_EQ(counts.open, 0);
}

TEST_P(Entering, ABalancerThatOnlyKnocksIsNoFault) {
  proxied();
  Wire& knock = bench.client();
  bench.loop.run_for(10ms);
  knock.half_close();
  EXPECT_TRUE(bench.is_over(knock));
  EXPECT_EQ(counts.at(pipeline::Refused::proxy_protocol), 0);
}

TEST_P(Entering, AHeaderOfAStrangerIsNotRead) {
  proxied();
  trust("10.0.0.0/8");
  Wire& stranger = bench.client(line("198.51.100.7:1") + std::string(get));
  EXPECT_TRUE(bench.is_over(stranger));
  EXPECT_EQ(counts.at(pipeline::Refused::proxy_protocol), 1);
  bench.loop.network.source = *io::Address::parse("10.1.2.3:0");
  bench.client(line("198.51.100.7:1") + std::string(get));
  EXPECT_TRUE(bench.origin(0).has("X-Forwarded-For: 198.51.100.7\r\n"));
}

// ---- limits.memory ----

TEST_P(Entering, WhereMemoryIsScarceNewRequestsGet503AndTheConnectionEnds) {
  Wire& busy = bench.client(get);
  Wire& origin = bench.origin(0);
  bench.admission.use(Memory::scarce);
  Wire& client = bench.client(get);
  ASSERT_TRUE(bench.hears(client, "\r\n\r\n{"));
  EXPECT_TRUE(client.heard.starts_with("HTTP/1.1 503 ")) << client.heard;
  EXPECT_TRUE(client.has("application/problem+json"));
  EXPECT_TRUE(client.has("Retry-After: 1\r\n"));
  EXPECT_TRUE(client.has("Connection: close\r\n"));
  EXPECT_TRUE(bench.is_over(client));
  expect(bench.account(), 503, true, Code::overloaded);
  origin.say(small_answer);  // what was begun is finished
  EXPECT_TRUE(bench.hears(busy, "hello"));
  EXPECT_FALSE(busy.over());
  bench.admission.use(Memory::plenty);
  busy.say(get);
  bench.origin(0);
  EXPECT_EQ(bench.origins[0]->count(), 1u);
}

TEST_P(Entering, IdleConnectionsAreClosedAndOthersGoOn) {
  Wire& idle = bench.client(get);
  Wire& origin = bench.origin(0);
  origin.take();
  origin.say(small_answer);
  ASSERT_TRUE(bench.hears(idle, "hello"));
  bench.account();
  Wire& fresh = bench.client();
  Wire& busy = bench.client(get);
  bench.origin(0);
  bench.server().close_idle_connections();
  EXPECT_TRUE(bench.is_over(idle));
  EXPECT_TRUE(bench.is_over(fresh));
  origin.say(small_answer);
  EXPECT_TRUE(bench.hears(busy, "hello"));
  bench.loop.run_for(1s);
  EXPECT_FALSE(busy.over());
}

TEST_P(Entering, WhereMemoryIsSpentConnectionsAreClosedAsTheyCome) {
  bench.server();
  bench.admission.use(Memory::spent);
  Wire& client = bench.client(get);
  EXPECT_TRUE(bench.is_over(client));
  EXPECT_EQ(client.heard, "");
  EXPECT_EQ(counts.at(pipeline::Refused::memory), 1);
}

}  // namespace
}  // namespace portloom::server
