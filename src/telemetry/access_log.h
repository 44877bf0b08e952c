// telemetry/access_log.h
//
// AccessLog: one JSON line per exchange that the rules want, formatted by hand on the worker that served it and put into the
// worker's ring. Nothing is allocated; a text that is longer than its bound is cut. One per worker.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>

#include "pipeline/ports.h"
#include "telemetry/log_ring.h"
#include "telemetry/log_rules.h"

namespace portloom::telemetry {

class AccessLog final : public pipeline::RecordSink {
 public:
  static constexpr size_t path_max = 8192;  // bytes of the path that are logged
  static constexpr size_t text_max = 512;   // of every other text

  // `ring` outlives the log.
  explicit AccessLog(LogRing& ring, uint64_t seed = 1);
  // From the next record on. Between records.
  void use(LogRules rules) { rules_ = std::move(rules); }
  void write(const pipeline::Record& record) override;
  // The line with its end, as write() puts it; valid until the next call.
  std::string_view format(const pipeline::Record& record);

 private:
  char* put_time(char* at, WallTime time);
  char* put_text(char* at, std::string_view text, size_t size_max = text_max);
  char* put_failed_services(char* at, std::string_view names);

  LogRing& ring_;
  std::unique_ptr<char[]> line_;
  LogRules rules_;
  Random random_;
  std::string redacted_;              // room for a path with hidden values
  std::string escaped_;               // room for texts that need escapes
  int64_t second_ = INT64_MIN;        // the second that second_text_ shows
  std::array<char, 20> second_text_;  // "2026-01-31T23:59:59."
};

}  // namespace portloom::telemetry
