// bench/micro/chain_bench.cpp
//
// The chain: what a layer costs in front of a service that answers at once; layers that await and layers that only pass on.
#include <benchmark/benchmark.h>

#include "pipeline/exchange.h"
#include "pipeline/fixed_answer.h"

namespace portloom::pipeline {
namespace {

struct Clock final : Agenda {
  Clock() : Agenda(Instant{}) { make_current(this); }
};

struct Passing final : Policy {
  [[clang::coro_wrapper]] Task<Response> call(Request& request, Next next) override { return next(request); }
  std::string_view kind() const override { return "passing"; }
};
struct Awaiting final : Policy {
  Task<Response> call(Request& request, Next next) override {
    Response response = co_await next(request);
    co_return response;
  }
  std::string_view kind() const override { return "awaiting"; }
};

template <class Layer>
void layers(benchmark::State& state) {
  Clock clock;
  auto snapshot = std::make_shared<Snapshot>();
  snapshot->table = *RouteTable::compile({}, {});
  Plan plan(snapshot);
  Peer peer;
  std::vector<std::unique_ptr<Layer>> owned;
  std::vector<Policy*> policies;
  for (int64_t i = 0; i < state.range(0); ++i) policies.push_back(owned.emplace_back(std::make_unique<Layer>()).get());
  config::ResponseDestination written;
  written.status = 204;
  FixedAnswer answer(written);
  Chain chain(std::move(policies), answer);
  Exchange exchange(plan, peer);
  Request request(exchange, exchange.record.call);
  for (auto _ : state) {
    Task<Response> task = chain.call(request);
    if (!task.start()) return state.SkipWithError("did not answer at once");
    benchmark::DoNotOptimize(task.take().status);
  }
}
BENCHMARK(layers<Passing>)->Arg(0)->Arg(8);
BENCHMARK(layers<Awaiting>)->Arg(1)->Arg(8);

}  // namespace
}  // namespace portloom::pipeline
