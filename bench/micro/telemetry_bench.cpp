// bench/micro/telemetry_bench.cpp
//
// What a finished exchange costs in telemetry: the access log's line into its ring, and counting the record.
#include <benchmark/benchmark.h>

#include "telemetry/access_log.h"
#include "telemetry/metrics.h"

namespace portloom::telemetry {
namespace {

pipeline::Record sample_record() {
  pipeline::Record record;
  record.time = WallTime(1790000000123ms);
  record.request_id.fill('7');
  record.request_id_size = 32;
  record.client = "203.0.113.9";
  record.method = "GET";
  record.host = "shop.example";
  record.path = "/api/orders/7?full=1";
  record.listener = "edge";
  record.route = "GET /api/orders/{id}";
  record.route_index = 0;
  record.status = 200;
  record.bytes_out = 1024;
  record.duration = 12345678ns;
  record.call.service = "orders";
  record.call.endpoint = "10.0.0.1:8080";
  record.call.attempts = 1;
  record.call.answered = true;
  record.call.connect = 250us;
  record.call.first_byte = 11ms;
  return record;
}

void log_line(benchmark::State& state) {
  LogRing ring(1 << 20);
  AccessLog log(ring);
  log.use(LogRules(config::AccessLog{}));  // as configured by default: every line, credentials in the query hidden
  pipeline::Record record = sample_record();
  for (auto _ : state) {
    record.time += 100us;
    log.write(record);
    for (std::string_view part : ring.readable()) ring.release(part.size());
  }
}
BENCHMARK(log_line);

void metrics_write(benchmark::State& state) {
  Metrics metrics(1, 2000);
  std::vector<std::string> routes = {"GET /api/orders/{id}"};
  for (int i = 1; i < state.range(0); ++i) routes.push_back("GET /api/resource-" + std::to_string(i));
  metrics.shard(0).use(metrics.describe({"edge"}, routes, {"orders"}));
  pipeline::Record record = sample_record();
  uint32_t route = 0;
  for (auto _ : state) {
    record.route_index = route;
    record.route = routes[route];
    metrics.shard(0).write(record);
    route = route + 1 == routes.size() ? 0 : route + 1;
  }
}
BENCHMARK(metrics_write)->Arg(1)->Arg(1000);

void metrics_page(benchmark::State& state) {
  Metrics metrics(4, 2000);
  std::vector<std::string> routes;
  for (int i = 0; i < state.range(0); ++i) routes.push_back("GET /api/resource-" + std::to_string(i));
  auto labels = metrics.describe({"edge"}, routes, {"orders"});
  pipeline::Record record = sample_record();
  for (size_t worker = 0; worker < 4; ++worker) {
    metrics.shard(worker).use(labels);
    for (uint32_t i = 0; i < routes.size(); ++i) {
      record.route_index = i;
      record.route = routes[i];
      metrics.shard(worker).write(record);
    }
  }
  for (auto _ : state) {
    std::string page;
    metrics.render(page);
    benchmark::DoNotOptimize(page);
  }
}
BENCHMARK(metrics_page)->Arg(10)->Arg(1000)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace portloom::telemetry
