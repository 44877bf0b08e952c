// Tests of server: what upstreams and clients do wrong, what the pool does about it, and what the record says.

#include <gtest/gtest.h>

#include "testing/exchanges.h"

namespace portloom::server {
namespace {

using namespace testing;  // NOLINT: the bench, its fixtures and its texts

// ---- What an upstream does wrong ----

TEST_P(Single, TruncatedBodyCutsTheClient) {
  for (std::string_view answer : {"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
                                  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n5\r\nhe"}) {
    size_t n = bench.accounts.list.size();
    Wire& client = bench.client(get);
    Wire& origin = bench.origin(n);
    origin.say(answer);
    origin.half_close();
    ASSERT_TRUE(bench.is_over(client));
    EXPECT_FALSE(client.has("0\r\n\r\n"));
    Account account = bench.account(n + 1);
    expect(account, 200, false, Code::closed);
    if (account.side) {
      EXPECT_EQ(name_of(*account.side), name_of(Side::upstream));
    }
  }
}

TEST_P(Single, GarbageIs502) {
  Wire& client = bench.client(get);
  Wire& origin = bench.origin();
  origin.say("SMTP 220 hello\r\n\r\n");
  ASSERT_TRUE(bench.hears(client, "HTTP/1.1 502 "));
  EXPECT_TRUE(bench.is_over(origin));
  expect(bench.account(), 502, true, Code::upstream_protocol);
  EXPECT_FALSE(client.over());
}

TEST_P(Single, HeadCutOffIs502) {
  Wire& client = bench.client(get);
  Wire& origin = bench.origin();
  origin.say("HTTP/1.1 200 OK\r\nConte");
  origin.half_close();
  ASSERT_TRUE(bench.hears(client, "HTTP/1.1 502 "));
  expect(bench.account(), 502, true, Code::upstream_protocol);
}

TEST_P(Single, SurplusBehindAnAnswerIsNeverAnAnswer) {
  for (std::string_view answer : {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "HTTP/1.1 204 No Content\r\n\r\n",
                                  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"}) {
    size_t n = bench.accounts.list.size();
    Wire& client = bench.client(get);
    Wire& origin = bench.origin(n / 2 * 2);
    origin.say(std::string(answer) + "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison");
    bench.account(n + 1);
    bench.loop.run_for(10ms);
    client.take();
    client.say(get);
    bench.origin(n / 2 * 2 + 1).say("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nclean");
    EXPECT_TRUE(bench.hears(client, "clean"));
    EXPECT_FALSE(client.has("poison"));
    bench.account(n + 2);
  }
}

TEST_P(Single, SurplusThatComesLateIsNeverAnAnswer) {
  Wire& client = bench.client(get);
  Wire& origin = bench.origin();
  origin.say("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
  origin.say(std::string(100'000, 'x'));
  bench.account();
  origin.say("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison");
  bench.loop.run_for(10ms);
  client.take();
  client.say(get);
  bench.origin(1).say("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nclean");
  EXPECT_TRUE(bench.hears(client, "clean"));
  EXPECT_FALSE(client.has("poison"));
  bench.account(2);
}

TEST_P(Single, TooManyInterimAnswersAre502) {
  Wire& client = bench.client(get);
  std::string many;
  for (int i = 0; i < 20; ++i) many += "HTTP/1.1 103 Early Hints\r\n\r\n";
  bench.origin().say(many);
  ASSERT_TRUE(bench.hears(client, "HTTP/1.1 502 "));
  expect(bench.account(), 502, true, Code::upstream_protocol);
}

TEST_P(Single, UnaskedSwitchIs502) {
  Wire& client = bench.client(get);
  bench.origin().say("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n");
  ASSERT_TRUE(bench.hears(client, "HTTP/1.1 502 "));
  expect(bench.account(), 502, true, Code::upstream_protocol);
}

// ---- Pool ----

TEST_P(Single, StaleConnectionIsReplacedUnseen) {
  Wire& client = bench.client(get);
  bench.origin().take();
  (*bench.origins[0])[0].say(small_answer);
  bench.account();
  bench.loop.network.latency = 5ms;
  (*bench.origins[0])[0].half_close();  // its FIN is under way as the next request is
  client.take();
  client.say(get);
  bench.origin(1).say("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfresh");
  ASSERT_TRUE(bench.hears(client, "fresh"));
  Account account = bench.account(2);
  expect(account, 200, true);
  EXPECT_EQ(account.attempts, 1u);
}

TEST_P(Single, ClosedPooledConnectionIsNotTakenForAPost) {
  for (bool large : {false, true}) {
    size_t n = bench.origins[0]->count();
    size_t done = bench.accounts.list.size();
    Wire& client = bench.client("GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
    Wire& origin = bench.origin(n);
    size_t size = large ? 100'000 : 5;
    origin.say("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(size) + "\r\n\r\n");
    origin.say(std::string(size, 'x'));
    bench.account(done + 1);
    EXPECT_EQ(bench.pooled(), 1u);
    origin.half_close();
    bench.loop.run_for(10ms);
    client.take();
    client.say("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody");
    bench.origin(n + 1, "body").say("HTTP/1.1 201 Created\r\nConnection: close\r\nContent-Length: 5\r\n\r\nfresh");
    EXPECT_TRUE(bench.hears(client, "HTTP/1.1 201 "));
    bench.account(done + 2);
  }
}

TEST_P(Single, PostOnADyingConnectionIsNotRepeated) {
  Wire& client = bench.client(get);
  bench.origin().take();
  Wire& origin = (*bench.origins[0])[0];
  origin.say(small_answer);
  bench.account();
  client.take();
  client.say("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody");
  bench.origin(0, "body");
  origin.half_close();
  ASSERT_TRUE(bench.hears(client, "HTTP/1.1 502 "));
  expect(bench.account(2), 502, true, Code::closed);
  EXPECT_EQ(bench.origins[0]->count(), 1u);
}

TEST_P(Single, RefusedIs502AndBlackholeIs504) {
  bench.loop.refuse(bench.origins[0]->address());
  Wire& client = bench.client(get);
  ASSERT_TRUE(bench.hears(client, "HTTP/1.1 502 "));
  expect(bench.account(), 502, true, Code::refused);
  bench.loop.allow(bench.origins[0]->address());
  bench.loop.blackhole(bench.origins[0]->address());
  client.take();
  client.say(get);
  ASSERT_TRUE(bench.hears(client, "HTTP/1.1 504 "));
  Account account = bench.account(2);
  expect(account, 504, true, Code::connect_timeout);
  EXPECT_GE(account.duration, 1s);
  EXPECT_LE(account.duration, 1100ms);
}

TEST_P(Single, SilentUpstreamIs504) {
  bench.settings.first_byte_timeout = 3s;
  Wire& client = bench.client(get);
  Wire& origin = bench.origin();
  ASSERT_TRUE(bench.hears(client, "HTTP/1.1 504 "));
  Account account = bench.account();
  expect(account, 504, true, Code::upstream_timeout);
  EXPECT_GE(account.duration, 3s);
  EXPECT_TRUE(bench.is_over(origin));
}

TEST_P(Single, FullPoolIs503) {
  bench.settings.connections_max = 2;
  bench.loop.network.latency = 10ms;  // all of them are connecting at once
  std::vector<Wire*> clients;
  for (int i = 0; i < 5; ++i) clients.push_back(&bench.client(get));
  ASSERT_TRUE(bench.until([&] { return bench.accounts.list.size() == 3; }));
  bench.loop.run_for(1s);
  EXPECT_EQ(bench.origins[0]->count(), 2u);
  for (const Account& account : bench.accounts.list) expect(account, 503, true, Code::overloaded);
  for (size_t i = 0; i < bench.origins[0]->count(); ++i) (*bench.origins[0])[i].say(small_answer);
  bench.account(5);
  EXPECT_EQ(bench.pooled(), 2u);
  bench.loop.run_for(32s);
  EXPECT_EQ(bench.pooled(), 0u);  // swept
}

TEST_P(Exchanges, RetryGoesToTheOtherEndpoint) {
  bench.policies.push_back(policy::usual_retry());
  bench.loop.refuse(bench.origins[0]->address());
  for (size_t i = 0; i < 4; ++i) {
    Wire& client = bench.client("POST /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbody");
    bench.origin(i, "body", 1).say("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello");
    ASSERT_TRUE(bench.hears(client, "hello"));
    expect(bench.account(i + 1), 200, true);
  }
}

TEST_P(Exchanges, RetryAfterAResetOnlyOfSafeMethods) {
  bench.policies.push_back(policy::usual_retry());
  Wire& client = bench.client(get);
  size_t which = 0;
  auto asked = [&](size_t i) { return bench.origins[i]->count() > 0 && (*bench.origins[i])[0].has("\r\n\r\n"); };
  ASSERT_TRUE(bench.until([&] { return asked(which = 0) || asked(which = 1); }));
  bench.origin(0, "\r\n\r\n", which).reset();
  bench.origin(0, "\r\n\r\n", 1 - which).say("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello");
  ASSERT_TRUE(bench.hears(client, "hello"));
  EXPECT_EQ(bench.account().attempts, 2u);
  client.take();
  client.say("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody");
  ASSERT_TRUE(bench.until([&] {
    for (auto& origin : bench.origins)
      if (origin->count() > 1 && (*origin)[1].has("body")) return (*origin)[1].reset(), true;
    return false;
  }));
  ASSERT_TRUE(bench.hears(client, "HTTP/1.1 502 "));
  EXPECT_EQ(bench.account(2).attempts, 1u);
}

TEST_P(Exchanges, RetryOfAStreamedUploadThatWasNotBegun) {
  bench.policies.push_back(policy::usual_retry());
  bench.loop.refuse(bench.origins[0]->address());
  for (size_t i = 0; i < 3; ++i) {
    Wire& client = bench.client("POST /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n");
    Wire& origin = bench.origin(i, chunk("body"), 1);
    client.say("0\r\n\r\n");
    bench.origin(i, "0\r\n\r\n", 1);
    origin.say("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello");
    ASSERT_TRUE(bench.hears(client, "hello"));
    expect(bench.account(i + 1), 200, true);
  }
}

// ---- Clients that are slow or gone ----

TEST_P(Single, SlowHeadIs408AndIdleIsSilent) {
  Wire& client = bench.client("GET /a HT");
  ASSERT_TRUE(bench.hears(client, "HTTP/1.1 408 ", 11s));
  EXPECT_TRUE(bench.is_over(client));
  expect(bench.account(), 408, true, Code::request_timeout);
  Wire& idle = bench.client();
  Instant begun = bench.loop.now();
  ASSERT_TRUE(bench.is_over(idle, 100s));
  EXPECT_EQ(idle.heard, "");
  EXPECT_GE(bench.loop.now() - begun, 59s);
  EXPECT_LE(bench.loop.now() - begun, 61s);
  bench.account();
}

TEST_P(Single, BodyThatStopsIs408) {
  bench.door.connection.body_timeout = 5s;
  Wire& client = bench.client("POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf");
  ASSERT_TRUE(bench.hears(client, "HTTP/1.1 408 ", 6s));
  EXPECT_TRUE(bench.hears(client, "Connection: close\r\n"));
  EXPECT_TRUE(bench.is_over(client));
  expect(bench.account(), 408, true, Code::request_timeout);
}

TEST_P(Single, ClientThatStopsReadingIsCut) {
  if (GetParam().bytewise) return;
  bench.door.connection.body_timeout = 5s;
  Wire& client = bench.client();
  client.read_until(100);
  client.say(get);
  Wire& origin = bench.origin();
  origin.say("HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\n" + std::string(2'000'000, 'x'));
  Account account = bench.account();
  expect(account, 200, false, Code::client_gone);
  EXPECT_TRUE(bench.is_over(origin));
  EXPECT_GE(account.duration, 5s);
}

TEST_P(Single, ResetDropsTheExchangeAtOnce) {
  Wire& client = bench.client(get);
  Wire& origin = bench.origin();
  Instant begun = bench.loop.now();
  client.reset();
  EXPECT_TRUE(bench.is_over(origin));
  EXPECT_LE(bench.loop.now() - begun, 10ms);
  expect(bench.account(), 0, false, Code::client_gone);
  EXPECT_EQ(bench.pooled(), 0u);
}

TEST_P(Single, FinDropsTheExchangeAfterAGrace) {
  Wire& client = bench.client(get);
  Wire& origin = bench.origin();
  Instant begun = bench.loop.now();
  client.half_close();
  EXPECT_TRUE(bench.is_over(origin));
  EXPECT_GE(bench.loop.now() - begun, 490ms);
  EXPECT_LE(bench.loop.now() - begun, 510ms);
  expect(bench.account(), 0, false, Code::client_gone);
}

TEST_P(Single, AnswerWithinTheGraceReachesAHalfClosedClient) {
  Wire& client = bench.client(get);
  Wire& origin = bench.origin();
  client.half_close();
  bench.loop.run_for(300ms);
  origin.say(small_answer);
  ASSERT_TRUE(bench.hears(client, "hello"));
  expect(bench.account(), 200, true);
}

TEST_P(Single, ResetBehindAnUploadDropsTheExchange) {
  const size_t size = GetParam().bytewise ? 3'000 : 100'000;
  Wire& client = bench.client("POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: " + std::to_string(size) + "\r\n\r\n");
  client.say(std::string(size, 'x'));
  Wire& origin = bench.origin();
  ASSERT_TRUE(bench.until([&] { return origin.total() >= size; }));
  client.reset();
  EXPECT_TRUE(bench.is_over(origin, 1s));
  expect(bench.account(), 0, false, Code::client_gone);
}

TEST_P(Single, ResetOfASecondPipelinedRequestDropsIt) {
  const size_t size = GetParam().bytewise ? 3'000 : 100'000;
  Wire& client = bench.client("POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: " + std::to_string(size) + "\r\n\r\n");
  client.say(std::string(size, 'x') + std::string(get));
  Wire& origin = bench.origin();
  ASSERT_TRUE(bench.until([&] { return origin.total() >= size; }));
  bench.loop.run_for(1ms);
  origin.take();
  origin.say(small_answer);
  bench.origin(0, "GET /a");
  client.reset();
  EXPECT_TRUE(bench.is_over(origin, 1s));
  expect(bench.account(2), 0, false, Code::client_gone);
}

TEST_P(Single, ResetDuringASilentStreamEndsIt) {
  Wire& client = bench.client(get);
  Wire& origin = bench.origin();
  origin.say("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n6\r\ndata:1\r\n");
  ASSERT_TRUE(bench.hears(client, chunk("data:1")));
  client.reset();
  EXPECT_TRUE(bench.is_over(origin, 1s));
  expect(bench.account(), 200, false, Code::client_gone);
}

TEST_P(Single, LargeBodyThroughASlowReaderIsNotHeldHere) {
  if (GetParam().bytewise) return;
  Wire& client = bench.client();
  client.read_until(1000);
  client.say(get);
  Wire& origin = bench.origin();
  constexpr size_t size = 100'000'000;
  origin.say("HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n");
  std::string block(1'000'000, 'x');
  size_t said = 0;
  for (; said < 2'000'000; said += block.size()) origin.say(block);
  for (size_t allowed = 1'000'000; client.total() < size; allowed += 1'000'000) {
    bench.loop.run_for(10ms);
    size_t sent = said - origin.unsent();
    ASSERT_LE(sent, client.total() + 500'000);  // two pipes of 64 KiB, a piece here, a piece there
    for (; said < size && origin.unsent() < 2'000'000; said += block.size()) origin.say(block);
    client.take();
    client.read_until(allowed);
    bench.loop.run_for(10ms);
  }
  expect(bench.account(), 200, true);
}

}  // namespace
}  // namespace portloom::server
