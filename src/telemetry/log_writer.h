// telemetry/log_writer.h
//
// LogWriter: the process's one thread that writes the access log. It empties the workers' rings every 100 ms, sooner when
// one passes half, and writes whole lines to stdout, stderr or a file. A reader that is slow, or a full disk, costs lines
// (counted), never a worker's time. Owned by app/; outlives the workers' AccessLogs.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/error.h"
#include "pipeline/ports.h"
#include "telemetry/log_ring.h"

namespace portloom::telemetry {

class LogWriter final : public pipeline::StatusSource {
 public:
  static constexpr size_t ring_bytes_default = 1 << 20;
  static constexpr Duration period = 100ms;
  static constexpr Duration flush_max = 1s;  // how long the end may wait for a slow reader

  // `to`: "stdout", "stderr", "none" (what comes is thrown away; better make no AccessLog) or a file's path, opened for
  // appending and made if need be. Starts the thread. Fails (Code::invalid) when the file cannot be opened.
  static Result<std::unique_ptr<LogWriter>> open(const std::string& to, size_t workers, size_t ring_bytes = ring_bytes_default);
  // stop().
  ~LogWriter() override;

  LogRing& ring(size_t worker) { return *rings_[worker]; }
  // Any thread. Takes effect within a moment; a file that cannot be opened again leaves the old one in use, with a line on stderr.
  void reopen();
  // Any thread: another destination, after a reload. On failure nothing changes.
  Result<void> redirect(const std::string& to);
  // Writes what the rings hold and ends the thread. Afterwards rings only fill. Once the workers have stopped.
  void stop();
  // Lines lost, to full rings and to failed writes.
  uint64_t dropped() const;

  std::string_view name() const override { return "access_log"; }
  void write_status(std::string& json) const override;
  void write_metrics(std::string& page) const override;  // portloom_log_dropped_total

 private:
  LogWriter(std::string to, int descriptor, size_t workers, size_t ring_bytes);
  void run();
  void wake();
  void wait();
  void take_requests();
  void drain_rings();
  // Writes all of it, or counts the lines that were lost.
  void write_lines(std::string_view lines);
  bool wait_writable();
  void lose(std::string_view lines, int error);

  std::vector<std::unique_ptr<LogRing>> rings_;
  int wake_;        // eventfd
  int descriptor_;  // the thread's; -1: none
  Counter lost_;    // lines that could not be written
  Instant complained_{};
  Instant flush_end_ = never;
  bool torn_ = false;       // what was written last ends within a line
  bool line_open_ = false;  // and the rest of that line was lost
  std::atomic<bool> reopen_wanted_ = false;
  std::atomic<bool> stopping_ = false;
  mutable std::mutex mutex_;  // guards the next two
  std::string to_;
  static constexpr int no_change = -2;
  int next_descriptor_ = no_change;
  std::thread thread_;
};

}  // namespace portloom::telemetry
