// Tests of upstream: many requests over few HTTP/2 connections, in virtual time, whole and byte by byte: flow control, ends
// of every kind, limits. The origin is nghttp2, answered by hand.
#include "testing/clusters.h"
#include "testing/http2_origin.h"

namespace portloom::upstream {
namespace {

using namespace testing;  // NOLINT: fixtures and the origin

// A request body that a test fills as it goes.
class Feed final : public http::BodySource {
 public:
  struct State {
    std::deque<std::string> pieces;
    bool ended = false;
    size_t read = 0;
    Event more;
  };
  explicit Feed(State& state) : state_(state) {}
  Task<Result<Bytes>> read() override {
    while (state_.pieces.empty() && !state_.ended) {
      state_.more.reset();
      co_await state_.more.wait();
    }
    if (state_.pieces.empty()) co_return Bytes();
    std::string piece = std::move(state_.pieces.front());
    state_.pieces.pop_front();
    state_.read += piece.size();
    co_return Bytes::copy(piece);
  }

 private:
  State& state_;
};

// Reads an answer's body to its end.
Task<void> read_all(Response* response, std::string* heard, std::optional<Error>* error, bool* done) {
  while (true) {
    Result<Bytes> piece = co_await response->body.read();
    if (!piece) *error = piece.error();
    if (!piece || piece->empty()) break;
    *heard += piece->view();
  }
  *done = true;
}

struct Reading {
  explicit Reading(Call& call) { scope.spawn(read_all, &*call.response, &heard, &error, &done); }
  std::string heard;
  std::optional<Error> error;
  bool done = false;
  Scope scope;
};

class Shared : public Clusters {
 protected:
  Shared() { settings.protocol = config::Protocol::http2; }
  ~Shared() override {
    calls.clear();
    if (cluster) {
      EXPECT_EQ(active(*cluster), 0u);
    }
  }
  Cluster& start() {
    cluster = std::make_unique<Cluster>(settings, std::vector<Target>{origins[0].address()}, 1);
    return *cluster;
  }
  Call& ask(std::string_view method = "GET") { return call(cluster ? *cluster : start(), method); }
  Call& ask_with_body(Feed::State& state) {
    Call& made = *calls.emplace_back(std::make_unique<Call>(plan, peer, "POST"));
    made.request.body = http::Body(std::make_unique<Feed>(state), std::nullopt);
    made.scope.spawn(Call::run, &made, cluster ? cluster.get() : &start());
    return made;
  }
  // The origin's connection number `i`.
  Http2Origin& origin(size_t i = 0) {
    EXPECT_TRUE(until([&] { return servers.size() > i; }));
    return *servers[i];
  }
  bool until(const std::function<bool()>& done, Duration limit = 60s) {
    return loop.run_until(
        [&] {
          turn();
          return done();
        },
        limit);
  }
  void pass(Duration time) {
    Instant end = loop.now() + time;
    until([&] { return loop.now() >= end; }, time + 1s);
  }
  void turn() {
    while (servers.size() < origins[0].count())
      servers.push_back(std::make_unique<Http2Origin>(origins[0][servers.size()], origin_settings, manual));
    for (auto& server : servers) server->turn();
  }
  // Waits for the `count`-th request on connection `i`, and returns its stream.
  int32_t asked(size_t count = 1, size_t i = 0) {
    EXPECT_TRUE(until([&] { return servers.size() > i && servers[i]->asked.size() >= count; }));
    return servers.size() > i && servers[i]->asked.size() >= count
               ? std::next(servers[i]->asked.begin(), static_cast<long>(count - 1))->first
               : 0;
  }
  bool answered(Call& one) {
    return until([&] { return one.response.has_value(); });
  }
  void expect_fault(Call& one, Code code, uint16_t status) {
    ASSERT_TRUE(answered(one));
    ASSERT_TRUE(one.response->fault);
    EXPECT_EQ(name_of(one.response->fault->code), name_of(code)) << one.response->fault->detail;
    EXPECT_EQ(one.response->status, status);
  }
  std::vector<nghttp2_settings_entry> origin_settings;
  bool manual = false;
  std::unique_ptr<Cluster> cluster;
  std::vector<std::unique_ptr<Http2Origin>> servers;
};
INSTANTIATE_TEST_SUITE_P(Seeds, Shared, ::testing::Values(0, 1, 2, 3));

TEST_P(Shared, RequestAndAnswer) {
  Call& one = ask();
  one.request.te_trailers = true;
  one.request.headers.add("X-Mixed", "Case");
  int32_t id = asked();
  const Http2Origin::Asked& seen = origin().asked[id];
  EXPECT_EQ(seen.field(":method"), "GET");
  EXPECT_EQ(seen.field(":scheme"), "http");
  EXPECT_EQ(seen.field(":authority"), "shop");
  EXPECT_EQ(seen.field(":path"), "/a");
  EXPECT_EQ(seen.field("te"), "trailers");
  EXPECT_EQ(seen.field("x-mixed"), "Case");
  EXPECT_EQ(seen.field("host"), "");
  EXPECT_TRUE(seen.ended);
  origin().interim(id, "103");
  origin().answer(id, "201", {{"x-from", "origin"}});
  origin().say(id, "hello", true);
  ASSERT_TRUE(answered(one));
  EXPECT_EQ(one.response->status, 201);
  EXPECT_EQ(one.response->headers.find("x-from").value_or(""), "origin");
  Reading reading(one);
  EXPECT_TRUE(until([&] { return reading.done; }));
  EXPECT_EQ(reading.heard, "hello");
}

TEST_P(Shared, OneConnectionForMany) {
  std::vector<Call*> all;
  for (int i = 0; i < 50; ++i) all.push_back(&ask());
  asked(50);
  EXPECT_EQ(origins[0].count(), 1u);
  EXPECT_EQ(active(*cluster), 50u);
  for (auto& [id, seen] : origin().asked) origin().answer(id, "200", {}, true);
  for (Call* one : all) EXPECT_TRUE(answered(*one));
  EXPECT_EQ(active(*cluster), 0u);
}

TEST_P(Shared, PeersLimitOnStreamsIsObeyedByAnotherConnection) {
  origin_settings = {{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 2}};
  settings.connections_max = 2;
  Call& first = ask();
  asked(1);
  pass(1ms);  // its SETTINGS have come
  for (int i = 0; i < 5; ++i) ask();
  EXPECT_TRUE(until([&] { return servers.size() == 2 && servers[1]->asked.size() == 2; }));
  pass(100ms);
  EXPECT_EQ(servers.size(), 2u);
  EXPECT_EQ(servers[0]->asked.size(), 2u);
  EXPECT_EQ(servers[1]->asked.size(), 2u);
  servers[0]->answer(servers[0]->asked.begin()->first, "200", {}, true);
  EXPECT_TRUE(answered(first));
  EXPECT_TRUE(until([&] { return servers[0]->asked.size() == 3; }));  // the next in line
  pass(2s);
  expect_fault(*calls.back(), Code::overloaded, 503);
}

TEST_P(Shared, SlowReaderStallsNoOther) {
  Call& slow = ask();
  int32_t slow_id = asked(1);
  origin().answer(slow_id, "200");
  origin().say(slow_id, std::string(2'000'000, 's'), true);
  ASSERT_TRUE(answered(slow));
  pass(10ms);
  Call& quick = ask();
  int32_t quick_id = asked(2);
  origin().answer(quick_id, "200");
  origin().say(quick_id, std::string(3'000'000, 'q'), true);
  ASSERT_TRUE(answered(quick));
  Reading reading(quick);
  ASSERT_TRUE(until([&] { return reading.done; }));
  EXPECT_EQ(reading.heard.size(), 3'000'000u);
  EXPECT_FALSE(reading.error);
  Reading late(slow);
  ASSERT_TRUE(until([&] { return late.done; }));
  EXPECT_EQ(late.heard.size(), 2'000'000u);
  EXPECT_EQ(origins[0].count(), 1u);
}

TEST_P(Shared, UploadWaitsForThePeersWindow) {
  manual = true;
  Feed::State body;
  for (int i = 0; i < 20; ++i) body.pieces.push_back(std::string(16'384, 'u'));
  body.ended = true;
  Call& one = ask_with_body(body);
  int32_t id = asked();
  pass(100ms);
  EXPECT_EQ(origin().asked[id].body.size(), 65'535u);  // RFC 9113 §6.9.2
  EXPECT_LE(body.read, 65'535u + 3 * 16'384);          // what waits here is bounded
  while (!origin().asked[id].ended) {
    size_t before = origin().asked[id].body.size();
    origin().credit(id, before);
    if (!until([&] { return origin().asked[id].body.size() > before || origin().asked[id].ended; }, 1s)) break;
  }
  EXPECT_EQ(origin().asked[id].body.size(), 20u * 16'384);
  origin().answer(id, "204", {}, true);
  EXPECT_TRUE(answered(one));
  EXPECT_EQ(one.response->status, 204);
}

TEST_P(Shared, AnswerBeforeTheUploadEnds) {
  Feed::State body;
  body.pieces.push_back("first");
  Call& one = ask_with_body(body);
  int32_t id = asked();
  origin().answer(id, "200");
  origin().say(id, "early", false);
  ASSERT_TRUE(answered(one));
  Reading reading(one);
  EXPECT_TRUE(until([&] { return reading.heard == "early"; }));
  body.pieces.push_back("second");
  body.more.set();
  EXPECT_TRUE(until([&] { return origin().asked[id].body == "firstsecond"; }));
  body.ended = true;
  body.more.set();
  EXPECT_TRUE(until([&] { return origin().asked[id].ended; }));
  origin().say(id, "late", true, {{"x-sum", "7"}});
  EXPECT_TRUE(until([&] { return reading.done; }));
  EXPECT_EQ(reading.heard, "earlylate");
  ASSERT_NE(one.response->body.trailers(), nullptr);
  EXPECT_EQ(one.response->body.trailers()->find("x-sum").value_or(""), "7");
}

TEST_P(Shared, DroppedCallIsCancelledAtTheOrigin) {
  Call& one = ask();
  int32_t id = asked();
  EXPECT_FALSE(one.response);
  calls.clear();
  EXPECT_TRUE(until([&] { return origin().asked[id].closed; }));
  EXPECT_EQ(origin().asked[id].error, uint32_t{NGHTTP2_CANCEL});
  Call& next = ask();
  origin().answer(asked(2), "200", {}, true);
  EXPECT_TRUE(answered(next));
  EXPECT_EQ(origins[0].count(), 1u);
}

TEST_P(Shared, RefusedStreamIsSentAgainUnseen) {
  Call& one = ask("POST");
  one.request.body = http::Body(Bytes::copy("order"));
  origin().reset(asked(1), NGHTTP2_REFUSED_STREAM);
  int32_t again = asked(2);
  EXPECT_TRUE(until([&] { return origin().asked[again].ended; }));
  EXPECT_EQ(origin().asked[again].body, "order");
  origin().answer(again, "200", {}, true);
  ASSERT_TRUE(answered(one));
  EXPECT_EQ(one.response->status, 200);
  EXPECT_EQ(one.request.call.attempts, 1u);
}

TEST_P(Shared, RefusedForEverIsAFailure) {
  Call& one = ask();
  for (size_t i = 1; i <= 3; ++i) origin().reset(asked(i), NGHTTP2_REFUSED_STREAM);
  expect_fault(one, Code::reset, 502);
  EXPECT_TRUE(one.response->fault->progress == Progress::nothing);
}

TEST_P(Shared, RefusedUploadThatHasBegunIsNotSentAgain) {
  Feed::State body;
  body.pieces.push_back("first");
  Call& one = ask_with_body(body);
  int32_t id = asked();
  EXPECT_TRUE(until([&] { return origin().asked[id].body == "first"; }));
  origin().reset(id, NGHTTP2_REFUSED_STREAM);
  expect_fault(one, Code::reset, 502);
  EXPECT_TRUE(one.response->fault->progress == Progress::body);
  EXPECT_EQ(origin().asked.size(), 1u);
}

TEST_P(Shared, GoAwayMovesWhatWasNotSeen) {
  Call& served = ask();
  Call& moved = ask();
  asked(2);
  int32_t first = origin().asked.begin()->first;
  origin().go_away(first);
  int32_t again = asked(1, 1);
  origin(1).answer(again, "202", {}, true);
  ASSERT_TRUE(answered(moved));
  origin(0).answer(first, "200", {}, true);
  ASSERT_TRUE(answered(served));
  EXPECT_EQ(served.response->status + moved.response->status, 402);
  EXPECT_TRUE(until([&] { return origins[0][0].over(); }));  // nothing is left on it
  origins[0][0].close();
  EXPECT_TRUE(until([&] { return cluster->endpoints()[0]->http2->connections() == 1; }));
}

TEST_P(Shared, ResetsSayWhatHappened) {
  struct Case {
    uint32_t error;
    Code code;
    uint16_t status;
  };
  size_t count = 0;
  for (const Case& each : {Case{NGHTTP2_CANCEL, Code::cancelled, 503}, Case{NGHTTP2_ENHANCE_YOUR_CALM, Code::overloaded, 503},
                           Case{NGHTTP2_INTERNAL_ERROR, Code::upstream_protocol, 502}}) {
    Call& one = ask("POST");
    origin().reset(asked(++count), each.error);
    expect_fault(one, each.code, each.status);
  }
}

TEST_P(Shared, ResetInsideTheBodyCutsIt) {
  Call& one = ask();
  int32_t id = asked();
  origin().answer(id, "200");
  origin().say(id, "half", false);
  ASSERT_TRUE(answered(one));
  Reading reading(one);
  EXPECT_TRUE(until([&] { return reading.heard == "half"; }));
  origin().reset(id, NGHTTP2_CANCEL);
  EXPECT_TRUE(until([&] { return reading.done; }));
  ASSERT_TRUE(reading.error);
  EXPECT_EQ(name_of(reading.error->code), name_of(Code::cancelled));
}

TEST_P(Shared, WrongContentLengthIsNotPassedOn) {
  Call& one = ask();
  int32_t id = asked();
  origin().answer(id, "200", {{"content-length", "10"}});
  origin().say(id, "short", true);
  if (!answered(one)) FAIL();
  if (one.response->fault) return;
  Reading reading(one);
  EXPECT_TRUE(until([&] { return reading.done; }));
  EXPECT_TRUE(reading.error);
}

TEST_P(Shared, ResetWithoutErrorEndsWhatIsAsLongAsItSaid) {
  for (bool declares : {true, false}) {
    Call& one = ask();
    int32_t id = asked(declares ? 1 : 2);
    origin().answer(id, "200", declares ? Http2Origin::Fields{{"content-length", "5"}} : Http2Origin::Fields{});
    origin().say(id, "whole", false);
    ASSERT_TRUE(answered(one));
    Reading reading(one);
    EXPECT_TRUE(until([&] { return reading.heard == "whole"; }));
    origin().reset(id, NGHTTP2_NO_ERROR);
    EXPECT_TRUE(until([&] { return reading.done; }));
    EXPECT_EQ(reading.error.has_value(), !declares);
  }
}

TEST_P(Shared, LostConnectionEndsAllOfThem) {
  Call& before = ask();
  origin().answer(asked(), "200", {}, true);
  ASSERT_TRUE(answered(before));
  Call& read = ask("GET");
  Call& write = ask("POST");
  asked(3);
  loop.reset_all(origins[0].address());
  expect_fault(write, Code::reset, 502);
  origin(1).answer(asked(1, 1), "200", {}, true);  // what is safe to repeat is, once
  ASSERT_TRUE(answered(read));
  EXPECT_EQ(read.response->status, 200);
}

TEST_P(Shared, SilentPeerIsAskedAndGivenUp) {
  Call& one = ask("POST");
  asked();
  pass(1ms);
  Instant begun = loop.now();
  servers[0]->deaf = true;
  expect_fault(one, Code::reset, 502);
  EXPECT_GE(loop.now() - begun, http::http2_ping_after);
  EXPECT_LE(loop.now() - begun, http::http2_ping_after + http::http2_pong_within + 1s);
}

TEST_P(Shared, SilentConnectionTakesNoMoreRequests) {
  ask();
  asked();
  pass(1ms);
  servers[0]->deaf = true;
  calls.clear();
  ask();
  pass(5s);
  calls.clear();  // given up after a long silence: whether anybody is there is asked now
  pass(2s);
  Call& next = ask();
  origin(1).answer(asked(1, 1), "200", {}, true);
  EXPECT_TRUE(answered(next));
}

TEST_P(Shared, NoAnswerInTimeIs504) {
  settings.first_byte_timeout = 2s;
  Call& one = ask();
  int32_t id = asked();
  expect_fault(one, Code::upstream_timeout, 504);
  EXPECT_TRUE(until([&] { return origin().asked[id].closed; }));
  EXPECT_EQ(origin().asked[id].error, uint32_t{NGHTTP2_CANCEL});
}

TEST_P(Shared, FailedDialIsToldToAll) {
  loop.refuse(origins[0].address());
  Call& first = ask();
  Call& second = ask();
  expect_fault(first, Code::refused, 502);
  expect_fault(second, Code::refused, 502);
  loop.allow(origins[0].address());
  Call& third = ask();
  origin().answer(asked(), "200", {}, true);
  EXPECT_TRUE(answered(third));
}

TEST_P(Shared, DialThatHangsEndsInTime) {
  loop.blackhole(origins[0].address());
  Call& one = ask();
  Instant begun = loop.now();
  expect_fault(one, Code::connect_timeout, 504);
  EXPECT_LE(loop.now() - begun, settings.connect_timeout + 1ms);
}

TEST_P(Shared, CallerThatLeavesTheLineLeavesItsTurn) {
  loop.network.latency = 5ms;
  Call& gone = ask();
  Call& stays = ask();
  loop.run_for(1ms);
  EXPECT_FALSE(gone.response);
  calls.erase(calls.begin());
  origin().answer(asked(), "200", {}, true);
  EXPECT_TRUE(answered(stays));
}

TEST_P(Shared, IdleConnectionEnds) {
  Call& one = ask();
  origin().answer(asked(), "200", {}, true);
  ASSERT_TRUE(answered(one));
  pass(settings.pool_idle + 3s);
  EXPECT_EQ(origin().goaways, 1);
  EXPECT_TRUE(origins[0][0].over());
  EXPECT_EQ(cluster->endpoints()[0]->http2->connections(), 0u);
}

TEST_P(Shared, UnreadBytesAreBounded) {
  std::vector<Call*> all;
  for (int i = 0; i < 40; ++i) all.push_back(&ask());
  asked(40);
  for (auto& [id, seen] : origin().asked) {
    origin().answer(id, "200");
    origin().say(id, std::string(1'000'000, 'x'), true);
  }
  for (Call* one : all) ASSERT_TRUE(answered(*one));
  pass(100ms);
  EXPECT_LE(origins[0][0].total(), 1'000'000u);  // of what we said
  Call& next = ask();                            // a connection that is choked takes no more
  origin(1).answer(asked(1, 1), "200", {}, true);
  EXPECT_TRUE(answered(next));
  std::vector<std::unique_ptr<Reading>> readings;
  for (Call* one : all) readings.push_back(std::make_unique<Reading>(*one));
  EXPECT_TRUE(until([&] { return std::all_of(readings.begin(), readings.end(), [](auto& each) { return each->done; }); }));
  for (auto& each : readings) EXPECT_EQ(each->heard.size(), 1'000'000u);
}

TEST_P(Shared, BytewiseWorksToo) {
  loop.network.one_byte_at_a_time = true;
  Feed::State body;
  body.pieces.push_back(std::string(3'000, 'u'));
  body.ended = true;
  Call& one = ask_with_body(body);
  int32_t id = asked();
  EXPECT_TRUE(until([&] { return origin().asked[id].ended; }));
  origin().answer(id, "200", {{"content-length", "3000"}});
  origin().say(id, std::string(3'000, 'd'), true, {{"x-sum", "7"}});
  ASSERT_TRUE(answered(one));
  Reading reading(one);
  ASSERT_TRUE(until([&] { return reading.done; }));
  EXPECT_EQ(reading.heard.size(), 3'000u);
  EXPECT_FALSE(reading.error);
}

}  // namespace
}  // namespace portloom::upstream
