// telemetry/metrics.h
//
// Metrics: what the process counts, as the page /metrics shows it. Each worker counts into its own MetricsShard without a
// locked instruction; render() sums the shards. Labels are interned by text, so totals live through a reload; their number is
// bounded, and what is over the bound counts as "other". With a reload the series of routes and services that are no more end.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/counters.h"
#include "base/duration.h"
#include "pipeline/ports.h"
#include "telemetry/delivery.h"
#include "telemetry/dependencies.h"
#include "telemetry/tally.h"

namespace portloom::telemetry {

class Page;

// What a policy made of a request, as Tally numbers it: refused it by a code, answered it, or would have refused it.
inline constexpr uint32_t verdict_answered = 0;
inline constexpr uint32_t verdict_dry_run = 1;
constexpr uint32_t verdict_of(Code code) { return 2 + static_cast<uint32_t>(code); }

// The names of one snapshot with the places of their counts. Immutable; shared by the workers.
struct Labels {
  struct Label {
    std::string name;
    uint32_t place = 0;
    Duration latency{};  // a route's objective
  };
  std::vector<Label> listeners;  // by index
  std::vector<Label> routes;     // by index
  std::map<std::string, uint32_t, std::less<>> listener_places;
  std::map<std::string, uint32_t, std::less<>> route_places;
  std::map<std::string, uint32_t, std::less<>> service_places;
  std::map<std::string, uint32_t, std::less<>> composition_places;
  // Places whose names are no more: each worker empties them before it counts by these labels.
  std::vector<uint32_t> free_routes;
  std::vector<uint32_t> free_services;
  std::vector<uint32_t> free_compositions;
};

// Names in the order of their places. Place 0 is "", place 1 "other".
struct Names {
  static constexpr uint32_t other = 1;
  std::vector<std::string> texts = {"", "other"};
  std::map<std::string, uint32_t, std::less<>> places = {{"", 0}, {"other", 1}};
  std::vector<uint32_t> unused;  // places without a name
  uint32_t place_of(std::string_view name, size_t names_max);
  // Forgets the names that are not among these; their places.
  std::vector<uint32_t> keep_only(const std::vector<std::string>& names);
};

// One worker's counts.
class MetricsShard final : public pipeline::RecordSink, public pipeline::Gauges {
 public:
  static constexpr size_t listeners_max = 64;
  static constexpr size_t services_max = 4096;
  static constexpr size_t compositions_max = 4096;

  // The worker, while nobody renders (the control thread, which does, waits for it). From now on records are those of this
  // snapshot; late ones of an older snapshot are found by their names, or count as "other" where the name is no more.
  void use(std::shared_ptr<const Labels> labels);
  void write(const pipeline::Record& record) override;
  void connections(std::string_view listener, int change) override;
  void accept_paused(std::string_view listener) override;
  void handshake_failed(std::string_view listener) override;
  void refused(std::string_view listener, pipeline::Refused why) override;

 private:
  friend class Metrics;
  struct ServiceCell {
    Tally outcomes;  // by outcome
    Histogram first_byte;
    ServiceDelivery delivery;
  };
  struct RouteCell {
    Tally requests;  // by service and status
    Tally verdicts;  // by policy and reason
    Tally degraded;  // by call
    Histogram duration;
    RouteDelivery delivery;
    std::string service;  // the last one that it led to, and its place
    ServiceCell* destination = nullptr;
  };
  struct ListenerCell {
    Counter connections;
    Counter accept_paused;
    Counter handshakes_failed;
    std::array<Counter, pipeline::refused_count> refused;  // by reason
    std::unique_ptr<Published<RouteCell*>[]> routes;       // by route place; a cell is made with its first record
    std::map<uint32_t, std::unique_ptr<RouteCell>> owned;  // by route place
  };
  explicit MetricsShard(size_t routes_max);
  ListenerCell& listener_cell(uint32_t place);
  ListenerCell& listener_cell_of(std::string_view listener);
  RouteCell& route_cell(const pipeline::Record& record);
  ServiceCell& service_cell(std::string_view service);
  CompositionDelivery* composition_cell(std::string_view composition);  // null: it is no more
  static void count_call(ServiceCell& cell, const pipeline::Record::Call& call, std::string_view outcome, Verdict verdict);
  void count_compositions(const pipeline::Record& record, Verdict whole);
  Duration objective_of(const pipeline::Record& record) const;
  static void count_degraded(RouteCell& cell, std::string_view calls);

  size_t routes_max_;
  std::shared_ptr<const Labels> labels_;
  std::unique_ptr<Published<ListenerCell*>[]> listeners_;  // by listener place
  std::vector<std::unique_ptr<ListenerCell>> owned_listeners_;
  std::unique_ptr<Published<ServiceCell*>[]> services_;              // by service place
  std::map<uint32_t, std::unique_ptr<ServiceCell>> owned_services_;  // by service place
  std::unique_ptr<Published<CompositionDelivery*>[]> compositions_;  // by composition place
  std::map<uint32_t, std::unique_ptr<CompositionDelivery>> owned_compositions_;
};

class Metrics {
 public:
  // `routes_max`: telemetry.metrics.routes.
  Metrics(size_t workers, size_t routes_max);

  MetricsShard& shard(size_t worker) { return *shards_[worker]; }
  // The thread that renders, once per snapshot; then shard.use() on each worker before the next call of either. Names by
  // index; services in any order. `dependencies`: its routes by the same index, or none.
  std::shared_ptr<const Labels> describe(const std::vector<std::string>& listeners, const std::vector<std::string>& routes,
                                         const std::vector<std::string>& services, const Dependencies& dependencies = {});
  // Any thread.
  void config_loaded(std::string hash, WallTime when);
  void config_refused();

  // What was counted, by name; of names over a budget nothing. Who renders.
  Delivered delivered() const;
  // Appends the page. StatusSources (endpoints, breakers, the log) add theirs behind it.
  void render(std::string& page) const;

 private:
  struct Config {
    std::string hash;
    WallTime loaded{};
    bool last_reload_ok = false;
    uint64_t taken = 0;
    uint64_t refused = 0;
  };
  struct Places {
    Names listeners;
    Names routes;
    Names services;
    Names compositions;
    std::set<std::string, std::less<>> open_listeners;  // of the snapshot in force: shown from the start
  };
  struct RouteTotal;
  std::vector<RouteTotal> route_totals(const Places& places) const;
  static void render_requests(Page& page, const std::vector<RouteTotal>& routes);
  static void render_policies(Page& page, const std::vector<RouteTotal>& routes);
  void render_upstream(Page& page, const Places& places) const;
  void render_listeners(Page& page, const Places& places) const;
  void render_config(Page& page) const;

  size_t routes_max_;
  std::vector<std::unique_ptr<MetricsShard>> shards_;
  Guarded<Places> places_;
  Guarded<Config> config_;
};

}  // namespace portloom::telemetry
