// telemetry/availability.h
//
// Availability: beside what was observed of each route and composition, what its dependencies let it be: the product of what they
// deliver. Reads totals that the workers count (delivery.h) every few seconds; on the path of a request it does nothing. Control thread.
// The definitions, with an example: docs/availability.md.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/ports.h"
#include "telemetry/delivery.h"
#include "telemetry/dependencies.h"
#include "telemetry/history.h"

namespace portloom::telemetry {

class Availability final : public pipeline::StatusSource {
 public:
  static constexpr Duration step = windows[0].step;  // how often look() is due; more often does no harm

  // Shares of what was counted; 1 where nothing was.
  struct Observed {
    uint64_t counted = 0;
    double answered = 1;
    double complete = 1;
    double in_time = 1;
  };
  // A dependency: a call of a composition, or a service that a route leads to.
  struct Part {
    std::string_view call;  // empty: a route's own
    std::string_view on;    // the service or composition
    bool required = true;
    double made = 1;                  // in which share of the requests
    std::optional<double> delivered;  // nothing: nobody asked it lately
    double cost = 0;                  // how much more would be complete if it never failed
  };
  // The product. A part of which nothing is known counts as 1.
  struct Composed {
    bool known = false;  // something is known of some part
    double answered = 1;
    double complete = 1;
    std::vector<Part> parts;
    // The part that costs most; null: none costs anything.
    const Part* dearest() const;
  };
  struct Report {
    std::string_view name;
    std::string_view composition;  // that a route leads to
    Duration latency{};            // a route's objective; 0: none
    Observed observed;
    Composed composed;
  };
  // Names refer to what use() was given.
  struct Lately {
    std::vector<Report> routes;        // that were asked, as configured
    std::vector<Report> compositions;  // the same
    std::map<std::string_view, Observed> services;
  };

  // A configuration that came into force: names that it has too keep what is known of them.
  void use(Dependencies dependencies);
  void look(Delivered totals, Instant now);
  // Within windows[window], which is up to one step longer than its name says.
  Lately lately(size_t window) const;

  std::string_view name() const override { return "availability"; }
  void write_status(std::string& json) const override;
  void write_text(std::string& text) const override;
  void write_metrics(std::string& page) const override;

 private:
  struct Composition {
    History<3> answers;
    std::map<std::string, History<1>, std::less<>> made;
  };
  Composed product(const Dependencies::Composition& composition, size_t window, const Lately& known) const;
  static Composed product(const Dependencies::Route& route, const Lately& known);

  Dependencies dependencies_;
  Delivered totals_;
  std::map<std::string, History<4>, std::less<>> routes_;
  std::map<std::string, History<2>, std::less<>> services_;
  std::map<std::string, Composition, std::less<>> compositions_;
};

}  // namespace portloom::telemetry
