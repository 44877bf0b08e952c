// telemetry/log_rules.h
//
// LogRules: which requests get a line, and what of a path nobody may read. Made from `telemetry.access_log` with each
// configuration; a value, one per worker.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "config/document.h"
#include "pipeline/record.h"

namespace portloom::telemetry {

class LogRules {
 public:
  static constexpr std::string_view hidden = "***";  // what stands in place of a value

  // Everything is written, nothing is hidden.
  LogRules() = default;
  explicit LogRules(const config::AccessLog& configured);

  // Whether this request gets a line. Chance decides, and nothing that a client sends.
  bool wants(const pipeline::Record& record, Random& random) const {
    uint64_t share = failed(record) ? failed_ : ok_;
    return share == all || random.below(all) < share;
  }
  // A status of 400 or above, no status, a degraded answer, or one that did not go out whole.
  static bool failed(const pipeline::Record& record) {
    return record.status == 0 || record.status >= 400 || record.degraded || record.fault.has_value();
  }
  // `path` with the values of the parameters that are to be hidden replaced; itself when there is none. `room` is where the
  // text stands when something was replaced.
  std::string_view redact(std::string_view path, std::string& room) const {
    if (parameters_.empty()) return path;
    size_t query = path.find('?');
    if (query == std::string_view::npos) return path;
    return redact_query(path, query + 1, room);
  }

 private:
  static constexpr uint64_t all = 1'000'000;  // shares are counted in millionths
  std::string_view redact_query(std::string_view path, size_t query, std::string& room) const;
  bool is_hidden(std::string_view name) const;

  uint64_t ok_ = all;
  uint64_t failed_ = all;
  std::vector<std::string> parameters_;  // plain names
};

}  // namespace portloom::telemetry
