// app/worker.h
//
// Worker: a thread with its loop, its plan and its servers. The control thread makes it, talks to it by mailbox, joins it.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "app/wiring.h"
#include "io/loop.h"
#include "server/server.h"
#include "telemetry/access_log.h"
#include "telemetry/log_writer.h"
#include "telemetry/metrics.h"
#include "telemetry/sinks.h"

namespace portloom::app {

class Worker {
 public:
  struct Settings {
    io::Engine engine = io::Engine::automatic;
    size_t index = 0;
    bool shared_ports = true;             // SO_REUSEPORT: several workers on one address
    telemetry::LogWriter* log = nullptr;  // null: no access log
    telemetry::Metrics* metrics = nullptr;
    server::Admission* admission = nullptr;
    std::shared_ptr<const io::TicketKeys> ticket_keys;
    std::function<void(std::string)> tell;  // a line for whoever runs the process; called on the worker
  };
  explicit Worker(Settings settings) : settings_(std::move(settings)), notices_(settings_.tell) {}
  ~Worker() { stop(); }

  // Starts the thread and waits until its ports are open. `binds` gets the ports that were chosen for port 0.
  Result<void> start(const std::shared_ptr<const Blueprint>& blueprint, std::vector<io::Address>& binds, policy::States& states,
                     std::shared_ptr<const telemetry::Labels> labels);
  // Builds a plan from `blueprint` on the worker and puts it in force; waits for it. The old plan goes with its last exchange.
  void adopt(const std::shared_ptr<const Blueprint>& blueprint, policy::States& states, std::shared_ptr<const telemetry::Labels> labels);
  void use(std::shared_ptr<const io::TicketKeys> keys);
  // Does not wait for it: idle connections are closed and memory that was kept for later goes back to the system.
  void relieve();
  // Takes what waits in the kernel's queue, closes the ports, lets connections end.
  void drain();
  // Connections that were opened before the drain and have asked nothing are ended too.
  void end_silent_connections();
  // Ends the thread; what is still open is cut.
  void stop();

  // Any thread.
  size_t open_connections() const { return open_connections_.load(std::memory_order_relaxed); }
  std::string_view engine() const { return engine_; }

 private:
  void run(std::shared_ptr<const Blueprint> blueprint, std::vector<io::Address>* binds, policy::States* states,
           std::shared_ptr<const telemetry::Labels> labels, std::atomic<int>* state, Error* error);
  Result<void> open(const Blueprint& blueprint, std::vector<io::Address>& binds, policy::States& states,
                    std::shared_ptr<const telemetry::Labels> labels);
  // Runs `work` on the worker and waits for it.
  void ask(std::function<void()> work);

  Settings settings_;
  std::thread thread_;
  std::unique_ptr<io::Loop> loop_;
  std::string engine_;
  std::atomic<bool> stopping_ = false;
  std::atomic<bool> relieving_ = false;
  std::atomic<size_t> open_connections_ = 0;

  // The worker's own.
  std::vector<std::shared_ptr<const Blueprint>> blueprints_;  // what plans that may still be in use refer to
  server::Notices notices_;
  server::Workplace workplace_;
  telemetry::Fanout sinks_;
  std::unique_ptr<telemetry::AccessLog> access_log_;
  std::vector<std::unique_ptr<server::Server>> servers_;
};

}  // namespace portloom::app
