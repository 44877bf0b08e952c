// Balancer: what one pick costs among 10 and 1,000 endpoints, and what a whole request does: a pick, one more in flight, an answer
// that is measured. Bound: 50 ns for 10, 100 ns for 1,000. One thread; no loop and no sockets.
#include <benchmark/benchmark.h>

#include <array>
#include <memory>

#include "upstream/balance.h"

namespace portloom::upstream {

namespace {

struct Endpoints {
  Endpoints(config::Balance method, size_t count, bool weighted) : balancer(method, 1) {
    std::vector<Load*> list;
    for (size_t i = 0; i < count; ++i) {
      loads.push_back(std::make_unique<Load>(Load{.weight = weighted ? static_cast<uint32_t>(i % 4 + 1) : 1}));
      Balancer::measure(*loads.back(), Duration(1ms) * static_cast<int64_t>(i % 7 + 1), now);
      list.push_back(loads.back().get());
    }
    balancer.use(list);
  }
  Instant now = Instant{} + 1h;
  std::vector<std::unique_ptr<Load>> loads;
  Balancer balancer;
};

template <config::Balance method, bool weighted>
void pick(benchmark::State& state) {
  Endpoints endpoints(method, static_cast<size_t>(state.range(0)), weighted);
  for (auto _ : state) {
    uint64_t tried = 0;
    benchmark::DoNotOptimize(endpoints.balancer.pick(tried, endpoints.now));
    endpoints.now += Duration(1us);
  }
}

// By the hash of a value; each request has another.
template <config::Balance method>
void pick_hashed(benchmark::State& state) {
  auto count = static_cast<uint32_t>(state.range(0));
  Endpoints endpoints(method, count, false);
  std::vector<Load*> list;
  Instances instances;
  std::vector<uint32_t> places;
  for (uint32_t i = 0; i < count; ++i) {
    list.push_back(endpoints.loads[i].get());
    places.push_back(i);
    instances.push_back({*io::Address::parse("10.0." + std::to_string(i / 250) + "." + std::to_string(i % 250) + ":80"), 1, "shop"});
  }
  endpoints.balancer.use(list, HashTable::make(method, instances), places);
  Random random(1);
  for (auto _ : state) {
    uint64_t tried = 0;
    benchmark::DoNotOptimize(endpoints.balancer.pick(tried, endpoints.now, {.hash = random.next()}));
  }
}

// The whole of a request: chosen, in flight, answered. 64 are in flight at any time.
void request(benchmark::State& state) {
  Endpoints endpoints(config::Balance::peak_ewma, static_cast<size_t>(state.range(0)), false);
  std::array<Load*, 64> flying{};
  size_t at = 0;
  for (auto _ : state) {
    if (Load*& landed = flying[at]; landed != nullptr) {
      --landed->active;
      Balancer::measure(*landed, 2ms, endpoints.now);
    }
    uint64_t tried = 0;
    flying[at] = endpoints.loads[endpoints.balancer.pick(tried, endpoints.now)].get();
    ++flying[at]->active;
    at = (at + 1) % flying.size();
    endpoints.now += Duration(10us);
  }
}

BENCHMARK(pick<config::Balance::peak_ewma, false>)->Name("pick peak_ewma")->Arg(10)->Arg(1000);
BENCHMARK(pick<config::Balance::peak_ewma, true>)->Name("pick peak_ewma, weights")->Arg(10)->Arg(1000);
BENCHMARK(pick<config::Balance::least_request, false>)->Name("pick least_request")->Arg(10)->Arg(1000);
BENCHMARK(pick<config::Balance::least_request, true>)->Name("pick least_request, weights")->Arg(10)->Arg(1000);
BENCHMARK(pick<config::Balance::round_robin, false>)->Name("pick round_robin")->Arg(10)->Arg(1000);
BENCHMARK(pick<config::Balance::round_robin, true>)->Name("pick round_robin, weights")->Arg(10)->Arg(1000);
BENCHMARK(pick<config::Balance::random, true>)->Name("pick random, weights")->Arg(10)->Arg(1000);
BENCHMARK(pick_hashed<config::Balance::ring_hash>)->Name("pick ring_hash")->Arg(10)->Arg(1000);
BENCHMARK(pick_hashed<config::Balance::maglev>)->Name("pick maglev")->Arg(10)->Arg(1000);
BENCHMARK(request)->Name("request peak_ewma")->Arg(10)->Arg(1000);

}  // namespace

}  // namespace portloom::upstream
