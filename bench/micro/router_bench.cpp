// RouteTable: what one match costs with 10 to 100,000 routes, what compiling them costs, and what a search costs that has
// to turn back as often as 256 arrangements of literals and {name}s can make it.
#include <benchmark/benchmark.h>

#include <random>

#include "pipeline/router.h"

namespace portloom::pipeline {

namespace {

std::string resource(uint32_t i) { return "/api/v" + std::to_string(i % 3) + "/resource-" + std::to_string(i / 4); }

// As teams write them: collections, items, a sub-collection, a prefix; 4 routes per resource.
void make_routes(uint32_t count, std::vector<Route>& routes, std::vector<Pattern>& patterns) {
  static constexpr std::string_view tails[] = {"", "/{id}", "/{id}/events", "/static"};
  for (uint32_t i = 0; i < count; ++i) {
    routes.push_back({i, "GET " + resource(i), 1, {}, "portloom.yaml:" + std::to_string(i)});
    patterns.push_back(
        {.route = i, .host = i % 2 == 0 ? "shop.example" : "*.api.example", .path = resource(i).append(tails[i % 4]), .methods = 1});
    if (i % 4 == 3) patterns.back().form = Pattern::Form::prefix;
  }
}

void match(benchmark::State& state) {
  auto count = static_cast<uint32_t>(state.range(0));
  std::vector<Route> routes;
  std::vector<Pattern> patterns;
  make_routes(count, routes, patterns);
  auto table = RouteTable::compile(routes, patterns);
  if (!table) return state.SkipWithError(table.error().detail.c_str());
  static constexpr std::string_view tails[] = {"", "/4711", "/4711/events", "/static/a/b.css"};
  std::mt19937 random(1);
  std::vector<std::pair<std::string, std::string>> asked;
  for (int k = 0; k < 4096; ++k) {
    uint32_t i = random() % count;
    asked.emplace_back(i % 2 == 0 ? "Shop.Example:8443" : "eu.api.example", resource(i).append(tails[i % 4]));
  }
  size_t next = 0;
  size_t found = 0;
  Params params;
  for (auto _ : state) {
    const auto& [host, path] = asked[next++ % asked.size()];
    found += (*table)->match({.host = host, .path = path}, params).route != nullptr;
  }
  if (found != next) state.SkipWithError("a request found no route");
}

void compile(benchmark::State& state) {
  std::vector<Route> routes;
  std::vector<Pattern> patterns;
  make_routes(static_cast<uint32_t>(state.range(0)), routes, patterns);
  for (auto _ : state) benchmark::DoNotOptimize(RouteTable::compile(routes, patterns));
}

// All arrangements of 8 literals and {name}s, each followed by a segment that the request has not.
void turn_back(benchmark::State& state) {
  std::vector<Pattern> patterns;
  for (unsigned shape = 0; shape < 256; ++shape) {
    std::string path;
    for (unsigned i = 0; i < 8; ++i) path += (shape >> i & 1) != 0 ? "/{n" + std::to_string(i) + "}" : "/a";
    patterns.push_back({.path = path + "/end"});
  }
  auto table = RouteTable::compile(std::vector<Route>(1), patterns);
  if (!table) return state.SkipWithError(table.error().detail.c_str());
  Params params;
  for (auto _ : state) benchmark::DoNotOptimize((*table)->match({.path = "/a/a/a/a/a/a/a/a/b"}, params));
}

BENCHMARK(match)->Arg(10)->Arg(1000)->Arg(10'000)->Arg(100'000);
BENCHMARK(compile)->Arg(1000)->Arg(100'000)->Unit(benchmark::kMillisecond);
BENCHMARK(turn_back);

}  // namespace

}  // namespace portloom::pipeline
