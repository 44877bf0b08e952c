// telemetry/availability_page.cpp
//
// What is told of availability: a member of /status, lines for people, and metrics.
#include <cmath>
#include <cstdio>

#include "data/json.h"
#include "telemetry/availability.h"
#include "telemetry/page.h"

namespace portloom::telemetry {
namespace {

using Composed = Availability::Composed;
using Observed = Availability::Observed;
using Part = Availability::Part;
using Report = Availability::Report;
using Lately = Availability::Lately;

// A ratio with six digits behind the point.
double rounded(double ratio) { return std::round(ratio * 1e6) / 1e6; }

// "99.95%"
std::string percent(double ratio) {
  char text[32];
  int size = std::snprintf(text, sizeof text, "%.3f%%", ratio * 100);
  return {text, static_cast<size_t>(size)};
}

void write_observed(data::JsonWriter& json, const Report& report) {
  json.member("counted", report.observed.counted).member("answered", rounded(report.observed.answered));
  json.member("complete", rounded(report.observed.complete));
  if (report.latency != Duration{}) json.member("in_time", rounded(report.observed.in_time));
  if (!report.composed.known) return;
  json.key("composed").begin_object().member("answered", rounded(report.composed.answered));
  json.member("complete", rounded(report.composed.complete)).end_object();
  if (const Part* part = report.composed.dearest())
    json.member("costs_most", part->call.empty() ? part->on : part->call).member("cost", rounded(part->cost));
}

void write_parts(data::JsonWriter& json, const Composed& composed) {
  json.key("calls").begin_object();
  for (const Part& part : composed.parts) {
    json.key(part.call).begin_object().member("to", part.on).member("required", part.required).member("made", rounded(part.made));
    json.key("delivered");
    if (part.delivered)
      json.value(rounded(*part.delivered));
    else
      json.null();
    json.member("cost", rounded(part.cost)).end_object();
  }
  json.end_object();
}

// One member per name that the longest window knows, and in it one per window.
void write_reports(data::JsonWriter& json, const std::vector<Report>& longest, const std::array<const std::vector<Report>*, 2>& by_window,
                   bool with_calls) {
  std::array<std::map<std::string_view, const Report*>, 2> reports;
  for (size_t window = 0; window < windows.size(); ++window)
    for (const Report& report : *by_window[window]) reports[window][report.name] = &report;
  json.begin_object();
  for (const Report& known : longest) {
    json.key(known.name).begin_object();
    if (!known.composition.empty()) json.member("composition", known.composition);
    if (known.latency != Duration{}) json.member("objective", std::string_view(format_duration(known.latency)));
    for (size_t window = 0; window < windows.size(); ++window) {
      auto report = reports[window].find(known.name);
      if (report == reports[window].end()) continue;
      json.key(windows[window].name).begin_object();
      write_observed(json, *report->second);
      if (with_calls) write_parts(json, report->second->composed);
      json.end_object();
    }
    json.end_object();
  }
  json.end_object();
}

// A row of the table for people; what comes behind the name is aligned to the right.
void append_row(std::string& text, const std::array<std::string, 8>& cells, size_t name_width) {
  text.append(cells[0]).append(cells[0].size() < name_width ? name_width - cells[0].size() : 0, ' ');
  constexpr std::array<size_t, 6> widths = {10, 10, 10, 10, 10, 10};
  for (size_t i = 0; i < widths.size(); ++i) {
    const std::string& cell = cells[i + 1];
    text.append(cell.size() + 1 < widths[i] ? widths[i] - cell.size() : 1, ' ').append(cell);
  }
  if (!cells[7].empty()) text.append("  ").append(cells[7]);
  text += '\n';
}

std::array<std::string, 8> row_of(const Report& report) {
  auto product = [&](double ratio) { return report.composed.known ? percent(ratio) : std::string("-"); };
  const Part* dearest = report.composed.dearest();
  std::string most =
      dearest == nullptr ? "" : std::string(dearest->call.empty() ? dearest->on : dearest->call) + " " + percent(dearest->cost);
  return {std::string(report.name),
          std::to_string(report.observed.counted),
          percent(report.observed.answered),
          product(report.composed.answered),
          percent(report.observed.complete),
          product(report.composed.complete),
          report.latency == Duration{} ? "-" : percent(report.observed.in_time),
          most};
}

}  // namespace

void Availability::write_status(std::string& text) const {
  std::array<Lately, windows.size()> known = {lately(0), lately(1)};
  data::JsonWriter json(text);
  json.begin_object().key("routes");
  write_reports(json, known[1].routes, {&known[0].routes, &known[1].routes}, false);
  json.key("compositions");
  write_reports(json, known[1].compositions, {&known[0].compositions, &known[1].compositions}, true);
  json.key("services").begin_object();
  for (const auto& [name, longest] : known[1].services) {
    if (longest.counted == 0) continue;
    json.key(name).begin_object();
    for (size_t window = 0; window < windows.size(); ++window) {
      const Observed& observed = known[window].services[name];
      if (observed.counted == 0) continue;
      json.key(windows[window].name).begin_object().member("counted", observed.counted);
      json.member("delivered", rounded(observed.answered)).end_object();
    }
    json.end_object();
  }
  json.end_object().end_object();
}

void Availability::write_text(std::string& text) const {
  for (size_t window = 0; window < windows.size(); ++window) {
    Lately known = lately(window);
    std::string title = "availability, " + std::string(windows[window].name);
    size_t width = title.size();
    for (const Report& report : known.routes) width = std::max(width, report.name.size());
    append_row(text, {title, "counted", "answered", "composed", "complete", "composed", "in time", "costs most"}, width);
    for (const Report& report : known.routes) append_row(text, row_of(report), width);
    if (known.routes.empty()) text += "no request has been counted\n";
    text += '\n';
  }
}

void Availability::write_metrics(std::string& text) const {
  std::array<Lately, windows.size()> known = {lately(0), lately(1)};
  Page page(text);
  auto each_report = [&](const std::vector<Report> Lately::* list, auto use) {
    for (size_t window = 0; window < windows.size(); ++window)
      for (const Report& report : known[window].*list) use(windows[window].name, report);
  };
  auto observed = [&](std::string_view label) {
    return [&page, label](std::string_view window, const Report& report) {
      auto sample = [&](std::string_view what, double ratio) {
        page.sample({{label, report.name}, {"window", window}, {"of", what}}, ratio);
      };
      sample("answered", report.observed.answered);
      sample("complete", report.observed.complete);
      if (report.latency != Duration{}) sample("in_time", report.observed.in_time);
    };
  };
  auto composed = [&](std::string_view label) {
    return [&page, label](std::string_view window, const Report& report) {
      if (!report.composed.known) return;
      auto sample = [&](std::string_view what, double ratio) {
        page.sample({{label, report.name}, {"window", window}, {"of", what}}, ratio);
      };
      sample("answered", report.composed.answered);
      sample("complete", report.composed.complete);
    };
  };
  page.family("portloom_route_availability_ratio", "gauge", "Share of a route's requests that were answered, complete, and in time.");
  each_report(&Lately::routes, observed("route"));
  page.family("portloom_route_composed_availability_ratio", "gauge", "The product of what its dependencies delivered.");
  each_report(&Lately::routes, composed("route"));
  page.family("portloom_composition_availability_ratio", "gauge", "Share of a composition's runs that were answered, and complete.");
  each_report(&Lately::compositions, observed("composition"));
  page.family("portloom_composition_composed_availability_ratio", "gauge", "The product of what its calls' services delivered.");
  each_report(&Lately::compositions, composed("composition"));
  page.family("portloom_call_cost_ratio", "gauge", "How much more of a composition's runs would be complete if this call never failed.");
  each_report(&Lately::compositions, [&](std::string_view window, const Report& report) {
    for (const Part& part : report.composed.parts)
      page.sample({{"composition", report.name}, {"call", part.call}, {"window", window}}, part.cost);
  });
  page.family("portloom_service_availability_ratio", "gauge", "Share of the calls to a service that it delivered an answer to.");
  for (size_t window = 0; window < windows.size(); ++window)
    for (const auto& [service, lately] : known[window].services)
      if (lately.counted > 0) page.sample({{"service", service}, {"window", windows[window].name}}, lately.answered);
  page.family("portloom_answers_total", "counter", "A route's counted answers: complete, degraded, or failed.");
  for (const auto& [route, total] : totals_.routes) {
    auto sample = [&](std::string_view what, uint64_t count) { page.sample({{"route", route}, {"outcome", what}}, count); };
    sample("complete", total.complete);
    sample("degraded", total.answered - std::min(total.answered, total.complete));
    sample("failed", total.counted - std::min(total.counted, total.answered));
  }
  page.family("portloom_answers_in_time_total", "counter", "Those that met their route's objective.");
  for (const Dependencies::Route& route : dependencies_.routes)
    if (auto total = totals_.routes.find(route.name); total != totals_.routes.end() && route.latency != Duration{})
      page.sample({{"route", route.name}}, total->second.in_time);
  page.family("portloom_service_answers_total", "counter", "Calls to a service that count: delivered, or failed.");
  for (const auto& [service, total] : totals_.services) {
    page.sample({{"service", service}, {"outcome", "delivered"}}, total.answered);
    page.sample({{"service", service}, {"outcome", "failed"}}, total.counted - std::min(total.counted, total.answered));
  }
}

}  // namespace portloom::telemetry
