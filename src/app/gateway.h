// app/gateway.h
//
// Gateway: the process in its role as a gateway. Owns the workers, the admin doors, the log's thread and the counters; lives on
// the control thread, where everything it does happens in order. gateway.cpp starts and ends it, reload.cpp changes it.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "admin/control.h"
#include "admin/status.h"
#include "app/discovery.h"
#include "app/door.h"
#include "app/inspection.h"
#include "app/memory.h"
#include "app/process.h"
#include "app/wiring.h"
#include "app/worker.h"
#include "async/scope.h"
#include "telemetry/availability.h"
#include "telemetry/log_writer.h"
#include "telemetry/metrics.h"
#include "upstream/directory.h"
#include "upstream/resolver.h"

namespace portloom::app {

// Exit status, as docs/operations.md has it.
constexpr int exit_ok = 0;
constexpr int exit_configuration = 1;
constexpr int exit_bind = 3;
constexpr int exit_cut = 4;

// One line on standard error.
void say(const std::string& line);
WallTime wall_now();

class Gateway final : public admin::Control {
 public:
  explicit Gateway(RunSettings settings) : settings_(std::move(settings)), catalogue_(make_catalogue()) {}
  int run();

  bool ready() override { return state_ == State::ready; }
  std::string not_ready_reason() override { return state_ == State::draining ? "draining" : "starting"; }
  void drain() override {
    if (state_ == State::ready) begin_drain();
  }
  Result<void> reload() override;
  Result<std::string> explain(std::string_view query) override;
  Result<void> hold_breaker(std::string_view service, std::string_view state) override;
  void write_status(std::string& json) override;
  void write_status_text(std::string& text) override;
  void write_metrics(std::string& page) override {
    metrics_->render(page);
    availability_.look(metrics_->delivered(), Agenda::current().now());
    availability_.write_metrics(page);
    memory_.write_metrics(page);
    directory_.write_metrics(page);
    discovery_.write_metrics(page);
    breakers_.write_metrics(page);
    healths_.write_metrics(page);
    if (log_) log_->write_metrics(page);
  }

 private:
  enum class State { starting, ready, draining, over };

  // gateway.cpp: start, serve, end.
  Result<void> start_workers();
  void announce();
  void begin_drain();
  void report_what_is_cut();
  static Task<void> end(Gateway* self);
  static Task<void> rotate_ticket_keys(Gateway* self);
  static Task<void> watch_memory(Gateway* self);
  static Task<void> watch_availability(Gateway* self);
  // Gives the blueprint in force its places in the metrics.
  std::shared_ptr<const telemetry::Labels> describe();
  // What is told of the process, and who tells the rest.
  admin::Status status();
  std::vector<const pipeline::StatusSource*> status_sources();
  void use_limits(const config::Limits& limits);
  void watch_signals();
  void on_signal(int signal);

  // reload.cpp: from one configuration to the next.
  // With what its files hold; says what is wrong.
  std::pair<config::Loaded, Materials> load_configuration();
  std::unexpected<Error> refuse_configuration(Error why, bool said);
  Result<void> open_ports(const Blueprint& next, Ports& ports);
  Result<void> open_doors(const config::Document& next, std::vector<std::unique_ptr<ServiceDoor>>& doors);
  Result<void> direct_log(const config::Telemetry& next);
  // The one in use, or another where these servers are to be asked.
  Result<std::shared_ptr<upstream::Resolver>> resolver_for(const config::Dns& dns) const;
  // Of the blueprint that has just come into force; says which names have not been found.
  void use_endpoints(std::shared_ptr<upstream::Resolver> resolver);
  static Task<void> watch_files(Gateway* self);
  static Task<void> sweep_doors(Gateway* self);

  RunSettings settings_;
  config::Catalogue catalogue_;
  policy::States states_;
  std::shared_ptr<upstream::Resolver> resolver_;
  upstream::Directory directory_;
  Discovery discovery_{directory_};
  upstream::Breakers breakers_;
  upstream::Healths healths_;
  upstream::Checks checks_;
  std::shared_ptr<const Blueprint> blueprint_;
  std::vector<std::string> watched_;  // files whose change is a reload
  std::string seen_;                  // their fingerprint when they were read last
  std::shared_ptr<const io::TicketKeys> ticket_keys_;
  server::Admission admission_{{}};
  MemoryWatch memory_;
  std::unique_ptr<telemetry::Metrics> metrics_;
  telemetry::Availability availability_;
  std::unique_ptr<telemetry::LogWriter> log_;
  std::unique_ptr<io::Loop> loop_;
  std::vector<io::Address> binds_;  // by listener, as bound
  std::vector<std::unique_ptr<Worker>> workers_;
  std::vector<std::unique_ptr<ServiceDoor>> doors_;  // the admin API, the probes; one by one, null: not taken over by a reload
  std::vector<std::unique_ptr<ServiceDoor>> leaving_doors_;
  State state_ = State::starting;
  int exit_status_ = exit_ok;
  WallTime loaded_at_{};
  Instant started_ = SteadyClock::now();
  std::string reload_error_;  // of the last one; empty: it was taken
  Scope scope_;
};

}  // namespace portloom::app
