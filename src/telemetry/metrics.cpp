// telemetry/metrics.cpp
//
// Counting a record (the worker) and interning labels (once per snapshot). The page itself: metrics_page.cpp.
#include "telemetry/metrics.h"

#include <algorithm>
#include <set>

namespace portloom::telemetry {
namespace {

using Map = std::map<std::string, uint32_t, std::less<>>;

uint32_t place_in(const Map& places, std::string_view name) {
  auto found = places.find(name);
  return found == places.end() ? Names::other : found->second;
}

// By index where the index is this snapshot's; else by name.
uint32_t place_of(const std::vector<Labels::Label>& labels, const Map& places, size_t index, std::string_view name) {
  if (index < labels.size() && labels[index].name == name) [[likely]]
    return labels[index].place;
  return name.empty() ? 0 : place_in(places, name);
}

// What became of the request's own call to a service.
std::string_view outcome_of(const pipeline::Record& record) {
  if (record.call.answered) return "answered";
  if (record.fault) return name_of(record.fault->code);
  return name_of(Code::client_gone);
}

}  // namespace

uint32_t Names::place_of(std::string_view name, size_t names_max) {
  auto found = places.find(name);
  if (found != places.end()) return found->second;
  uint32_t place = 0;
  if (!unused.empty()) {
    place = unused.back();
    unused.pop_back();
    texts[place] = name;
  } else {
    if (texts.size() >= names_max + 2) return other;
    place = static_cast<uint32_t>(texts.size());
    texts.emplace_back(name);
  }
  places.emplace(name, place);
  return place;
}

std::vector<uint32_t> Names::keep_only(const std::vector<std::string>& names) {
  std::set<std::string_view> kept(names.begin(), names.end());
  std::vector<uint32_t> gone;
  for (uint32_t place = other + 1; place < texts.size(); ++place) {
    if (texts[place].empty() || kept.contains(texts[place])) continue;
    places.erase(texts[place]);
    texts[place].clear();
    gone.push_back(place);
  }
  unused.insert(unused.end(), gone.begin(), gone.end());
  return gone;
}

MetricsShard::MetricsShard(size_t routes_max)
    : routes_max_(routes_max),
      labels_(std::make_shared<Labels>()),
      listeners_(std::make_unique<Published<ListenerCell*>[]>(listeners_max + 2)),
      services_(std::make_unique<Published<ServiceCell*>[]>(services_max + 2)),
      compositions_(std::make_unique<Published<CompositionDelivery*>[]>(compositions_max + 2)) {}

void MetricsShard::use(std::shared_ptr<const Labels> labels) {
  labels_ = std::move(labels);
  for (auto& listener : owned_listeners_) {
    for (uint32_t place : labels_->free_routes) {
      listener->routes[place].store(nullptr);
      listener->owned.erase(place);
    }
    for (auto& [place, cell] : listener->owned) {  // a service may have another place from now on
      cell->service.clear();
      cell->destination = nullptr;
    }
  }
  for (uint32_t place : labels_->free_services) {
    services_[place].store(nullptr);
    owned_services_.erase(place);
  }
  for (uint32_t place : labels_->free_compositions) {
    compositions_[place].store(nullptr);
    owned_compositions_.erase(place);
  }
}

MetricsShard::ListenerCell& MetricsShard::listener_cell(uint32_t place) {
  ListenerCell* cell = listeners_[place].own();
  if (cell == nullptr) [[unlikely]] {
    cell = owned_listeners_.emplace_back(std::make_unique<ListenerCell>()).get();
    cell->routes = std::make_unique<Published<RouteCell*>[]>(routes_max_ + 2);
    listeners_[place].store(cell);
  }
  return *cell;
}

MetricsShard::RouteCell& MetricsShard::route_cell(const pipeline::Record& record) {
  ListenerCell& listener = listener_cell(place_of(labels_->listeners, labels_->listener_places, record.listener_index, record.listener));
  uint32_t place = place_of(labels_->routes, labels_->route_places, record.route_index, record.route);
  RouteCell* cell = listener.routes[place].own();
  if (cell == nullptr) [[unlikely]] {
    cell = (listener.owned[place] = std::make_unique<RouteCell>()).get();
    listener.routes[place].store(cell);
  }
  return *cell;
}

MetricsShard::ServiceCell& MetricsShard::service_cell(std::string_view service) {
  uint32_t place = place_in(labels_->service_places, service);
  ServiceCell* cell = services_[place].own();
  if (cell == nullptr) [[unlikely]] {
    cell = (owned_services_[place] = std::make_unique<ServiceCell>()).get();
    services_[place].store(cell);
  }
  return *cell;
}

CompositionDelivery* MetricsShard::composition_cell(std::string_view composition) {
  uint32_t place = place_in(labels_->composition_places, composition);
  if (place == Names::other) return nullptr;
  CompositionDelivery* cell = compositions_[place].own();
  if (cell == nullptr) [[unlikely]] {
    cell = (owned_compositions_[place] = std::make_unique<CompositionDelivery>()).get();
    compositions_[place].store(cell);
  }
  return cell;
}

void MetricsShard::count_call(ServiceCell& cell, const pipeline::Record::Call& call, std::string_view outcome, Verdict verdict) {
  cell.outcomes.add(outcome, 0);
  cell.delivery.count(verdict);
  if (call.answered) cell.first_byte.record(call.first_byte);
}

void MetricsShard::count_degraded(RouteCell& cell, std::string_view calls) {
  while (!calls.empty()) {
    size_t end = std::min(calls.find(','), calls.size());
    cell.degraded.add(calls.substr(0, end), 0);
    calls.remove_prefix(std::min(end + 1, calls.size()));
  }
}

// How the compositions did that had a part in it, and how often each made its calls.
void MetricsShard::count_compositions(const pipeline::Record& record, Verdict whole) {
  if (whole == Verdict::excused) return;
  if (CompositionDelivery* cell = composition_cell(record.call.ran)) cell->count(whole, record.degraded);
  for (const auto& call : record.subcalls) {
    if (!call->ran.empty())
      if (CompositionDelivery* cell = composition_cell(call->ran)) cell->count(call->verdict, call->degraded);
    if (!call->part.empty())
      if (CompositionDelivery* cell = composition_cell(call->part_of)) cell->made.add(call->part, 0);
  }
}

Duration MetricsShard::objective_of(const pipeline::Record& record) const {
  size_t index = record.route_index;
  return index < labels_->routes.size() && labels_->routes[index].name == record.route ? labels_->routes[index].latency : Duration{};
}

void MetricsShard::write(const pipeline::Record& record) {
  RouteCell& cell = route_cell(record);
  Verdict whole = verdict_of(record);
  cell.delivery.count(record, whole, objective_of(record));
  cell.requests.add(record.call.service, record.status == 0 ? 499 : record.status);
  cell.duration.record(record.duration);
  if (!record.call.service.empty()) {
    if (cell.destination == nullptr || cell.service != record.call.service) [[unlikely]] {
      cell.destination = &service_cell(record.call.service);
      cell.service = record.call.service;
    }
    count_call(*cell.destination, record.call, outcome_of(record), verdict_of_service(record, whole));
  }
  for (const auto& call : record.subcalls)
    if (!call->service.empty()) count_call(service_cell(call->service), *call, call->answered ? "answered" : "failed", call->verdict);
  if (!record.call.ran.empty()) count_compositions(record, whole);
  if (!record.policy.empty()) cell.verdicts.add(record.policy, record.fault ? verdict_of(record.fault->code) : verdict_answered);
  if (!record.dry_run.empty()) cell.verdicts.add(record.dry_run_policy, verdict_dry_run);
  if (record.degraded) count_degraded(cell, record.failed_services);
}

MetricsShard::ListenerCell& MetricsShard::listener_cell_of(std::string_view listener) {
  return listener_cell(place_in(labels_->listener_places, listener));
}

void MetricsShard::connections(std::string_view listener, int change) { listener_cell_of(listener).connections.add_signed(change); }
void MetricsShard::accept_paused(std::string_view listener) { listener_cell_of(listener).accept_paused.add(); }
void MetricsShard::handshake_failed(std::string_view listener) { listener_cell_of(listener).handshakes_failed.add(); }
void MetricsShard::refused(std::string_view listener, pipeline::Refused why) {
  listener_cell_of(listener).refused[static_cast<size_t>(why)].add();
}

Metrics::Metrics(size_t workers, size_t routes_max) : routes_max_(routes_max) {
  for (size_t i = 0; i < workers; ++i) shards_.push_back(std::unique_ptr<MetricsShard>(new MetricsShard(routes_max)));
}

std::shared_ptr<const Labels> Metrics::describe(const std::vector<std::string>& listeners, const std::vector<std::string>& routes,
                                                const std::vector<std::string>& services, const Dependencies& dependencies) {
  std::vector<std::string> compositions;
  for (const Dependencies::Composition& composition : dependencies.compositions) compositions.push_back(composition.name);
  auto labels = std::make_shared<Labels>();
  places_.with([&](Places& places) {
    places.open_listeners = {listeners.begin(), listeners.end()};
    labels->free_routes = places.routes.keep_only(routes);
    labels->free_services = places.services.keep_only(services);
    labels->free_compositions = places.compositions.keep_only(compositions);
    for (const std::string& name : listeners)
      labels->listeners.push_back({name, places.listeners.place_of(name, MetricsShard::listeners_max)});
    for (size_t i = 0; i < routes.size(); ++i) {
      Duration latency = i < dependencies.routes.size() ? dependencies.routes[i].latency : Duration{};
      labels->routes.push_back({routes[i], places.routes.place_of(routes[i], routes_max_), latency});
    }
    for (const std::string& name : services) places.services.place_of(name, MetricsShard::services_max);
    for (const std::string& name : compositions) places.compositions.place_of(name, MetricsShard::compositions_max);
    labels->listener_places = places.listeners.places;
    labels->route_places = places.routes.places;
    labels->service_places = places.services.places;
    labels->composition_places = places.compositions.places;
  });
  return labels;
}

Delivered Metrics::delivered() const {
  Places places = places_.with([](const Places& current) { return current; });
  Delivered all;
  auto each_name = [](const Names& names, auto use) {
    for (uint32_t place = Names::other + 1; place < names.texts.size(); ++place)
      if (!names.texts[place].empty()) use(names.texts[place], place);
  };
  for (const auto& shard : shards_) {
    for (size_t listener = 0; listener < places.listeners.texts.size(); ++listener) {
      const MetricsShard::ListenerCell* door = shard->listeners_[listener].load();
      if (door == nullptr) continue;
      each_name(places.routes, [&](const std::string& name, uint32_t place) {
        if (const MetricsShard::RouteCell* cell = door->routes[place].load()) cell->delivery.add_to(all.routes[name]);
      });
    }
    each_name(places.services, [&](const std::string& name, uint32_t place) {
      if (const MetricsShard::ServiceCell* cell = shard->services_[place].load()) cell->delivery.add_to(all.services[name]);
    });
    each_name(places.compositions, [&](const std::string& name, uint32_t place) {
      if (const CompositionDelivery* cell = shard->compositions_[place].load()) cell->add_to(all.compositions[name]);
    });
  }
  return all;
}

void Metrics::config_loaded(std::string hash, WallTime when) {
  config_.with([&](Config& config) { config = Config{std::move(hash), when, true, config.taken + 1, config.refused}; });
}

void Metrics::config_refused() {
  config_.with([](Config& config) {
    config.last_reload_ok = false;
    ++config.refused;
  });
}

}  // namespace portloom::telemetry
