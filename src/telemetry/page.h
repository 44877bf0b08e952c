// telemetry/page.h
//
// Page: writes Prometheus's text format (version 0.0.4): families with HELP and TYPE, samples with escaped labels.
// Used on whichever thread asks for the page.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>

#include "base/counters.h"

namespace portloom::telemetry {

class Page {
 public:
  struct Label {
    std::string_view name;
    std::string_view value;
  };
  using LabelList = std::initializer_list<Label>;

  explicit Page(std::string& to) : to_(to) {}
  // Begins a family; the samples that follow are its. `type`: counter, gauge or histogram. `name` is a literal.
  void family(std::string_view name, std::string_view type, std::string_view help);
  void sample(LabelList labels, uint64_t number);
  void sample(LabelList labels, int64_t number);
  void sample(LabelList labels, double number);
  // A histogram's buckets (cumulative), sum and count.
  void sample(LabelList labels, const Histogram::Total& total);

 private:
  void begin(std::string_view suffix, LabelList labels, std::string_view bound = {});
  std::string& to_;
  std::string_view name_;
};

// process_cpu_seconds_total, process_resident_memory_bytes, process_open_fds, process_max_fds, process_start_time_seconds.
void render_process(Page& page);

}  // namespace portloom::telemetry
