// bench/micro/breaker_bench.cpp
//
// What a circuit breaker's accounting costs a request (bound: 30 ns, from all workers at once), and what the whole layer does. A
// failed request costs more: it looks at all workers' counts.
#include <benchmark/benchmark.h>

#include "pipeline/exchange.h"
#include "pipeline/fixed_answer.h"
#include "upstream/breaker.h"

namespace portloom::upstream {
namespace {

config::Breaker rules() {
  config::Breaker made;
  made.failures = 1'000'000;
  made.slow = 1s;
  return made;
}

std::shared_ptr<Circuit> shared = std::make_shared<Circuit>(rules());

// In and out, one seat per thread; `failed_in` of a thousand fail.
void accounting(benchmark::State& state) {
  Circuit::Seat seat(shared);
  Instant now = Instant{} + 1h;
  int64_t turn = 0;
  for (auto _ : state) {
    Circuit::Entry entry = shared->enter(seat, now);
    bool fails = ++turn % 1000 < state.range(0);
    shared->leave(seat, entry.ticket, fails ? Circuit::Outcome::failed : Circuit::Outcome::good, now);
    now += Duration(5us);
  }
}
BENCHMARK(accounting)->Name("breaker in and out, failing per mille")->Arg(0)->Arg(10)->Threads(1)->Threads(2)->UseRealTime();

struct Clock final : Agenda {
  Clock() : Agenda(Instant{} + 1h) { make_current(this); }
};

// The policy in front of a service that answers at once.
void layer(benchmark::State& state) {
  Clock clock;
  auto snapshot = std::make_shared<pipeline::Snapshot>();
  snapshot->table = *pipeline::RouteTable::compile({}, {});
  pipeline::Plan plan(snapshot);
  pipeline::Peer peer;
  Breaker breaker(std::make_shared<Circuit::Seat>(std::make_shared<Circuit>(rules())), "shop", "");
  config::ResponseDestination written;
  written.status = 204;
  pipeline::FixedAnswer answer(written);
  std::vector<pipeline::Policy*> policies;
  if (state.range(0) == 1) policies.push_back(&breaker);
  pipeline::Chain chain(std::move(policies), answer);
  pipeline::Exchange exchange(plan, peer);
  pipeline::Request request(exchange, exchange.record.call);
  for (auto _ : state) {
    Task<pipeline::Response> task = chain.call(request);
    if (!task.start()) return state.SkipWithError("did not answer at once");
    benchmark::DoNotOptimize(task.take().status);
  }
}
BENCHMARK(layer)->Name("a request without and with a breaker")->Arg(0)->Arg(1);

}  // namespace
}  // namespace portloom::upstream
