// telemetry/availability.cpp
//
// The arithmetic. A call that is made in a share of the requests takes as much from the product as it fails there; one that something
// stands in for takes nothing from "answered". Services are taken to fail independently: where they do not, the observed share lies above.
#include "telemetry/availability.h"

#include <algorithm>

namespace portloom::telemetry {
namespace {

double share(uint64_t part, uint64_t whole) {
  return whole == 0 ? 1 : std::min(1.0, static_cast<double>(part) / static_cast<double>(whole));  // counts are not read at one moment
}

std::optional<double> delivered_by(const std::string& service, const Availability::Lately& known) {
  auto found = known.services.find(service);
  if (found == known.services.end() || found->second.counted == 0) return std::nullopt;
  return found->second.answered;
}

const Availability::Report* report_of(const std::string& composition, const Availability::Lately& known) {
  for (const Availability::Report& report : known.compositions)
    if (report.name == composition) return &report;
  return nullptr;
}

// Series of names that are no more end.
template <class Series, class Totals>
void keep_known(Series& series, const Totals& totals) {
  std::erase_if(series, [&](const auto& one) { return !totals.contains(one.first); });
}

}  // namespace

const Availability::Part* Availability::Composed::dearest() const {
  const Part* most = nullptr;
  for (const Part& part : parts)
    if (part.cost > 0 && (most == nullptr || part.cost > most->cost)) most = &part;
  return most;
}

void Availability::use(Dependencies dependencies) { dependencies_ = std::move(dependencies); }

void Availability::look(Delivered totals, Instant now) {
  keep_known(routes_, totals.routes);
  keep_known(services_, totals.services);
  keep_known(compositions_, totals.compositions);
  for (const auto& [name, answers] : totals.routes)
    routes_[name].look({answers.counted, answers.answered, answers.complete, answers.in_time}, now);
  for (const auto& [name, answers] : totals.services) services_[name].look({answers.counted, answers.answered}, now);
  for (const auto& [name, composition] : totals.compositions) {
    Composition& series = compositions_[name];
    const Delivered::Answers& answers = composition.answers;
    series.answers.look({answers.counted, answers.answered, answers.complete}, now);
    for (const auto& [call, made] : composition.made) series.made[call].look({made}, now);
  }
  totals_ = std::move(totals);
}

Availability::Composed Availability::product(const Dependencies::Composition& composition, size_t window, const Lately& known) const {
  auto series = compositions_.find(composition.name);
  uint64_t runs = series == compositions_.end() ? 0 : series->second.answers.within(window)[0];
  Composed all;
  std::vector<double> factors;
  for (const Dependencies::Call& call : composition.calls) {
    Part part{.call = call.name, .on = call.service.empty() ? call.composition : call.service, .required = call.required};
    if (runs > 0) {
      auto made = series->second.made.find(call.name);
      part.made = made == series->second.made.end() ? 0 : share(made->second.within(window)[0], runs);
    }
    double answered = 1;  // of the call, when it is made
    if (call.composition.empty()) {
      part.delivered = delivered_by(call.service, known);
      answered = part.delivered.value_or(1);
    } else if (const Report* inner = report_of(call.composition, known); inner != nullptr && inner->composed.known) {
      part.delivered = inner->composed.complete;
      answered = inner->composed.answered;
    }
    double lost = call.required || !call.stand_ins.empty() ? 1 - answered : 0;
    for (const std::string& service : call.stand_ins) lost *= 1 - delivered_by(service, known).value_or(1);
    factors.push_back(1 - part.made * (1 - part.delivered.value_or(1)));
    all.answered *= 1 - part.made * lost;
    all.complete *= factors.back();
    all.known = all.known || part.delivered.has_value();
    all.parts.push_back(part);
  }
  for (size_t i = 0; i < factors.size(); ++i) {
    double others = 1;
    for (size_t other = 0; other < factors.size(); ++other)
      if (other != i) others *= factors[other];
    all.parts[i].cost = others - all.complete;
  }
  return all;
}

Availability::Composed Availability::product(const Dependencies::Route& route, const Lately& known) {
  if (!route.composition.empty()) {
    const Report* report = report_of(route.composition, known);
    return report == nullptr ? Composed{} : report->composed;
  }
  Composed all;
  double failed = 0;
  for (const Dependencies::Side& side : route.sides) {
    Part part{.on = side.service, .made = side.share, .delivered = delivered_by(side.service, known)};
    part.cost = side.share * (1 - part.delivered.value_or(1));
    failed += part.cost;
    all.known = all.known || part.delivered.has_value();
    all.parts.push_back(part);
  }
  all.answered = all.complete = 1 - failed;
  return all;
}

Availability::Lately Availability::lately(size_t window) const {
  Lately all;
  for (const auto& [name, history] : services_) {
    auto [counted, delivered] = history.within(window);
    Observed& observed = all.services[name];
    observed.counted = counted;
    observed.answered = observed.complete = share(delivered, counted);
  }
  // All of them, for those around them; those that were not asked go at the end.
  for (const Dependencies::Composition& composition : dependencies_.compositions) {
    Report report{.name = composition.name};
    if (auto series = compositions_.find(composition.name); series != compositions_.end()) {
      auto [counted, answered, complete] = series->second.answers.within(window);
      report.observed = {counted, share(answered, counted), share(complete, counted), share(answered, counted)};
    }
    report.composed = product(composition, window, all);
    all.compositions.push_back(std::move(report));
  }
  for (const Dependencies::Route& route : dependencies_.routes) {
    auto series = routes_.find(route.name);
    if (series == routes_.end()) continue;
    auto [counted, answered, complete, in_time] = series->second.within(window);
    if (counted == 0) continue;
    Report report{.name = route.name, .composition = route.composition, .latency = route.latency};
    report.observed = {counted, share(answered, counted), share(complete, counted), share(in_time, counted)};
    report.composed = product(route, all);
    all.routes.push_back(std::move(report));
  }
  std::erase_if(all.compositions, [](const Report& report) { return report.observed.counted == 0; });
  return all;
}

}  // namespace portloom::telemetry
