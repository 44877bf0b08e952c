// telemetry/metrics_page.cpp
//
// The page: the shards' counts summed by label, in the order in which labels were first described.
#include <array>
#include <map>
#include <tuple>

#include "telemetry/metrics.h"
#include "telemetry/page.h"

namespace portloom::telemetry {
namespace {

using Pairs = std::map<std::pair<std::string, uint32_t>, uint64_t>;

void add_to(Pairs& pairs, const Tally& tally) {
  tally.each([&](std::string_view text, uint32_t number, uint64_t count) { pairs[{std::string(text), number}] += count; });
}

std::string_view verdict_text(uint32_t number) {
  if (number == verdict_answered) return "answered";
  if (number == verdict_dry_run) return "dry_run";
  return name_of(static_cast<Code>(number - verdict_of(Code{})));
}

}  // namespace

// What all workers counted for one route on one listener.
struct Metrics::RouteTotal {
  std::string_view listener;
  std::string_view route;
  Pairs requests;
  Pairs verdicts;
  Pairs degraded;
  Histogram::Total duration;
};

std::vector<Metrics::RouteTotal> Metrics::route_totals(const Places& places) const {
  std::vector<RouteTotal> totals;
  for (size_t listener = 0; listener < places.listeners.texts.size(); ++listener) {
    for (size_t route = 0; route < places.routes.texts.size(); ++route) {
      RouteTotal* total = nullptr;
      for (const auto& shard : shards_) {
        const auto* door = shard->listeners_[listener].load();
        const auto* cell = door == nullptr ? nullptr : door->routes[route].load();
        if (cell == nullptr) continue;
        if (total == nullptr) total = &totals.emplace_back(RouteTotal{places.listeners.texts[listener], places.routes.texts[route]});
        cell->requests.each([&](std::string_view service, uint32_t status, uint64_t count) {
          if (places.services.places.contains(service)) total->requests[{std::string(service), status}] += count;
        });
        add_to(total->verdicts, cell->verdicts);
        add_to(total->degraded, cell->degraded);
        cell->duration.add_to(total->duration);
      }
    }
  }
  return totals;
}

void Metrics::render_requests(Page& page, const std::vector<RouteTotal>& routes) {
  page.family("portloom_requests_total", "counter", "Requests that were finished; 499: the client left before an answer began.");
  for (const RouteTotal& total : routes)
    for (const auto& [pair, count] : total.requests)
      page.sample({{"listener", total.listener}, {"route", total.route}, {"service", pair.first}, {"status", std::to_string(pair.second)}},
                  count);
  page.family("portloom_request_duration_seconds", "histogram", "From a request's head to the last byte of its answer.");
  for (const RouteTotal& total : routes) page.sample({{"listener", total.listener}, {"route", total.route}}, total.duration);
}

void Metrics::render_policies(Page& page, const std::vector<RouteTotal>& routes) {
  std::map<std::tuple<std::string_view, std::string_view, std::string_view>, uint64_t> verdicts;  // policy, route, verdict
  std::map<std::pair<std::string_view, std::string_view>, uint64_t> degraded;                     // route, call
  for (const RouteTotal& total : routes) {
    for (const auto& [pair, count] : total.verdicts) verdicts[{pair.first, total.route, verdict_text(pair.second)}] += count;
    for (const auto& [pair, count] : total.degraded) degraded[{total.route, pair.first}] += count;
  }
  page.family("portloom_policy_verdicts_total", "counter",
              "Requests that a policy answered itself, by the reason it gave; dry_run: it would have.");
  for (const auto& [labels, count] : verdicts)
    page.sample({{"policy", std::get<0>(labels)}, {"route", std::get<1>(labels)}, {"verdict", std::get<2>(labels)}}, count);
  page.family("portloom_degraded_total", "counter", "Answers that were composed without this call.");
  for (const auto& [labels, count] : degraded) page.sample({{"route", labels.first}, {"call", labels.second}}, count);
}

void Metrics::render_upstream(Page& page, const Places& places) const {
  struct ServiceTotal {
    std::string_view name;
    Pairs outcomes;
    Histogram::Total first_byte;
  };
  std::vector<ServiceTotal> totals;
  for (size_t service = 0; service < places.services.texts.size(); ++service) {
    ServiceTotal* total = nullptr;
    for (const auto& shard : shards_) {
      const auto* cell = shard->services_[service].load();
      if (cell == nullptr) continue;
      if (total == nullptr) total = &totals.emplace_back(ServiceTotal{places.services.texts[service]});
      add_to(total->outcomes, cell->outcomes);
      cell->first_byte.add_to(total->first_byte);
    }
  }
  page.family("portloom_upstream_requests_total", "counter", "Calls to a service by what became of them: answered, or the failure.");
  for (const ServiceTotal& total : totals)
    for (const auto& [pair, count] : total.outcomes) page.sample({{"service", total.name}, {"outcome", pair.first}}, count);
  page.family("portloom_upstream_duration_seconds", "histogram", "From a call to a service to the first byte of its answer.");
  for (const ServiceTotal& total : totals) page.sample({{"service", total.name}}, total.first_byte);
}

void Metrics::render_listeners(Page& page, const Places& places) const {
  struct DoorTotal {
    std::string_view name;
    int64_t open = 0;
    uint64_t paused = 0;
    uint64_t failed = 0;
    std::array<uint64_t, pipeline::refused_count> refused{};
  };
  std::vector<DoorTotal> totals;
  for (size_t listener = 0; listener < places.listeners.texts.size(); ++listener) {
    DoorTotal total{places.listeners.texts[listener]};
    bool seen = places.open_listeners.contains(total.name);
    for (const auto& shard : shards_) {
      const auto* door = shard->listeners_[listener].load();
      if (door == nullptr) continue;
      total.open += door->connections.as_signed();
      total.paused += door->accept_paused.value();
      total.failed += door->handshakes_failed.value();
      for (size_t why = 0; why < pipeline::refused_count; ++why) total.refused[why] += door->refused[why].value();
    }
    if (seen || total.open != 0 || total.paused != 0 || total.failed != 0) totals.push_back(total);
  }
  page.family("portloom_connections", "gauge", "Connections of clients.");
  for (const DoorTotal& total : totals) page.sample({{"listener", total.name}, {"state", "open"}}, total.open);
  page.family("portloom_accept_paused_total", "counter", "How often no descriptor was left for the next connection.");
  for (const DoorTotal& total : totals) page.sample({{"listener", total.name}}, total.paused);
  page.family("portloom_tls_handshakes_failed_total", "counter", "TLS handshakes of clients that came to nothing.");
  for (const DoorTotal& total : totals) page.sample({{"listener", total.name}}, total.failed);
  page.family("portloom_connections_refused_total", "counter", "Connections of clients that were closed before they were served.");
  constexpr std::array<std::string_view, pipeline::refused_count> reasons = {"connections", "connections_per_address", "memory",
                                                                             "proxy_protocol"};
  for (const DoorTotal& total : totals)
    for (size_t why = 0; why < reasons.size(); ++why) page.sample({{"listener", total.name}, {"reason", reasons[why]}}, total.refused[why]);
}

void Metrics::render_config(Page& page) const {
  Config config = config_.with([](const Config& current) { return current; });
  double loaded = std::chrono::duration<double>(std::chrono::floor<std::chrono::milliseconds>(config.loaded).time_since_epoch()).count();
  page.family("portloom_config_info", "gauge", "The configuration in force.");
  if (!config.hash.empty()) page.sample({{"hash", config.hash}}, uint64_t{1});
  page.family("portloom_config_loaded_timestamp_seconds", "gauge", "When it was loaded, in seconds since the epoch.");
  page.sample({}, loaded);
  page.family("portloom_config_last_reload_ok", "gauge", "1 when the last load succeeded, 0 when an older configuration had to stay.");
  page.sample({}, uint64_t{config.last_reload_ok});
  page.family("portloom_config_loads_total", "counter", "Configurations that were loaded, the first one included, and that were refused.");
  page.sample({{"outcome", "taken"}}, config.taken);
  page.sample({{"outcome", "refused"}}, config.refused);
}

void Metrics::render(std::string& text) const {
  Places places = places_.with([](const Places& current) { return current; });  // a copy: describe() never waits for a page
  std::vector<RouteTotal> routes = route_totals(places);
  Page page(text);
  render_requests(page, routes);
  render_policies(page, routes);
  render_upstream(page, places);
  render_listeners(page, places);
  render_config(page);
  render_process(page);
}

}  // namespace portloom::telemetry
