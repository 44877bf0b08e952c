// Tests of adaptive concurrency: a service with so many places and a fixed time of work, in front of which too many requests come. What it
// delivers, where the limit comes to rest, and how it follows a service that changes. In virtual time.
#include "async/scope.h"
#include "base/random.h"
#include "io/permits.h"
#include "policy/bench_for_tests.h"
#include "policy/gradient.h"
#include "testing/sim_loop.h"

namespace portloom::policy {
namespace {

// Works on `places` requests at once, the others wait: however many, first come first served.
struct Server final : pipeline::Service {
  Server(uint32_t places, Duration work) : permits(std::make_shared<io::Permits>(places, 1'000'000)), line(permits), takes(work) {}
  Task<pipeline::Response> call(pipeline::Request&) override {
    bool entered = co_await line.enter(never);
    EXPECT_TRUE(entered);
    struct Leave {
      io::Permits::Line& line;
      ~Leave() { line.leave(); }
    } leave{line};
    Duration work = takes / 2 + Duration(static_cast<int64_t>(random.below(static_cast<uint64_t>(takes.count()))));
    co_await sleep_for(work);
    co_return pipeline::Response(200);
  }
  std::shared_ptr<io::Permits> permits;
  io::Permits::Line line;
  Duration takes;  // in the mean
  portloom::Random random{4};
};

struct Overload : ::testing::Test {
  Overload() { Agenda::make_current(&loop); }
  ~Overload() override { calls.clear(); }
  struct Asking {
    explicit Asking(Bench& bench) : call(bench) {}
    static Task<void> run(Asking* self, Overload* test) {
      Instant begun = test->loop.now();
      pipeline::Response response = co_await test->chain->call(self->call.request);
      ++(response.status == 200 ? test->served : test->refused);
      if (response.status == 200) test->longest = std::max(test->longest, test->loop.now() - begun);
      if (response.status != 200) EXPECT_EQ(response.fault->code, Code::overloaded);
      self->over = true;
    }
    Bench::Call call;
    bool over = false;
    Scope scope;
  };
  // So many requests a second, for so long, evenly.
  void come(uint32_t rate, Duration length) {
    served = refused = 0;
    longest = {};
    Duration between = Duration(1s) / rate;
    for (Instant end = loop.now() + length; loop.now() < end; loop.run_for(between)) {
      Asking& one = *calls.emplace_back(std::make_unique<Asking>(bench));
      one.scope.spawn(Asking::run, &one, this);
      if (calls.size() > 2000) std::erase_if(calls, [](const auto& call) { return call->over; });
    }
  }
  void serve(uint32_t places, Duration work) {
    server = std::make_unique<Server>(places, work);
    policy = adaptive_concurrency(config, Building{"services.shop", "test.yaml:1", *document.document, states});
    chain = std::make_unique<pipeline::Chain>(std::vector<pipeline::Policy*>{policy.get()}, *server);
  }
  double goodput(Duration length) const {
    double seconds = static_cast<double>(length.count()) / 1e9;
    return served / seconds;
  }
  Bench bench{"[]"};
  config::Loaded document = Bench::load("[]", {});
  States states;
  config::Concurrency config;
  testing::SimLoop loop;
  std::unique_ptr<Server> server;
  std::unique_ptr<pipeline::Policy> policy;
  std::unique_ptr<pipeline::Chain> chain;
  std::deque<std::unique_ptr<Asking>> calls;
  uint32_t served = 0;
  uint32_t refused = 0;
  Duration longest{};
};

TEST_F(Overload, ThreeTimesTheCapacityIsServedAtCapacity) {
  for (auto [places, work] : {std::pair{4U, 20ms}, std::pair{40U, 200ms}}) {
    states = States();
    serve(places, work);
    auto capacity = static_cast<uint32_t>(places * 1000 / static_cast<uint32_t>(work / 1ms));
    come(3 * capacity, 10s);
    come(3 * capacity, 40s);  // a measurement of `unloaded` is in it
    EXPECT_GE(goodput(40s), 0.9 * capacity) << places;
    EXPECT_GE(refused, 1.8 * served) << places;
    EXPECT_LE(longest, 6 * work + 60ms) << places;  // of which 50 ms before the service
    calls.clear();
  }
}

TEST_F(Overload, HalfTheCapacityIsServedWhole) {
  serve(20, 50ms);
  come(200, 70s);
  EXPECT_EQ(refused, 0u);
}

TEST_F(Overload, FollowsAServiceThatBecomesSlowerAndFasterAgain) {
  serve(20, 20ms);
  come(3000, 10s);
  server->takes = 100ms;
  come(600, 5s);
  come(600, 40s);
  EXPECT_GE(goodput(40s), 0.85 * 200);
  EXPECT_LE(longest, 700ms);
  server->takes = 20ms;
  come(3000, 3s);
  come(3000, 10s);
  EXPECT_GE(goodput(10s), 0.9 * 1000);
}

TEST_F(Overload, AStandstillEndsAndTheServiceIsUsedAgain) {
  serve(20, 50ms);
  come(1200, 10s);
  server->takes = 3s;
  come(1200, 10s);
  server->takes = 50ms;
  come(1200, 12s);
  come(1200, 10s);
  EXPECT_GE(goodput(10s), 0.9 * 400);
}

TEST(Gradient, KeepsWithinItsBounds) {
  config::Concurrency rules{.least = 4, .first = 8, .most = 30};
  Gradient gradient(rules);
  EXPECT_EQ(gradient.limit(), 8u);
  Instant now = Instant{} + 1h;
  auto answers = [&](Duration took, uint32_t active, bool well = true) {
    for (int i = 0; i < 2000; ++i, now += 5ms) gradient.learn(now - took, now, well, active);
  };
  answers(2ms, 1);
  EXPECT_EQ(gradient.limit(), 8u);  // what is not used does not grow
  EXPECT_EQ(gradient.unloaded(), 2ms);
  answers(2ms, 30);
  EXPECT_EQ(gradient.limit(), 30u);
  answers(1ms, 30, false);  // failures that come soon
  EXPECT_EQ(gradient.unloaded(), 2ms);
  for (int i = 0; i < 600; ++i, now += 5ms) gradient.learn(now - 1s, now, true, 30);
  EXPECT_LE(gradient.limit(), 30u);
}

}  // namespace
}  // namespace portloom::policy
