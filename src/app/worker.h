// app/worker.h
//
// Worker: a thread with its loop, its plan and its servers. The control thread makes it, talks to it by mailbox, joins it.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>
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

// How the listeners of a configuration come to their ports.
struct Ports {
  static constexpr int fresh = -1;
  std::vector<io::Address> binds;  // by listener; port 0 is replaced by the one that was chosen
  std::vector<int> from;           // by listener: which one of the configuration in force has the port already, or `fresh`
};

// What a worker is given to serve.
struct Edition {
  std::shared_ptr<const Blueprint> blueprint;
  Ports ports;
  std::shared_ptr<const telemetry::Labels> labels;
  telemetry::LogWriter* log = nullptr;  // null: no access log
};

class Worker {
 public:
  struct Settings {
    io::Engine engine = io::Engine::automatic;
    size_t index = 0;
    telemetry::Metrics* metrics = nullptr;
    server::Admission* admission = nullptr;
    std::shared_ptr<const io::TicketKeys> ticket_keys;
    std::function<void(std::string)> tell;  // a line for whoever runs the process; called on the worker
  };
  explicit Worker(Settings settings) : settings_(std::move(settings)), notices_(settings_.tell) {}
  ~Worker() { stop(); }

  // Starts the thread and waits until its loop is there. It serves nothing yet.
  Result<void> start();
  // Opens the ports that are fresh, without accepting, for the next adopt(). On failure, which says why, some may be open.
  Result<void> prepare(Ports& ports);
  void forget_prepared();
  // Builds a plan on the worker and puts it in force with the ports that belong to it; waits for it. The old plan goes with its
  // last exchange. Listeners that are no more take nothing new; their connections end with their next answer, or are cut after
  // the drain's deadline.
  void adopt(const Edition& edition, policy::States& states);
  void use(std::shared_ptr<const io::TicketKeys> keys);
  // The endpoints of a service as this worker sees them; empty: it has no such service. Waits for it.
  std::vector<upstream::Sight> look(const std::string& service);
  // Does not wait for it: idle connections are closed and memory that was kept for later goes back to the system.
  void relieve();
  // Takes what waits in the kernel's queue, closes the ports, lets connections end.
  void drain();
  // Connections that were opened before the drain and have asked nothing are ended too.
  void end_silent_connections();
  // Requests that run are over, whatever comes: writes their records, and appends a line for each to `requests`.
  void cut(std::vector<std::string>& requests);
  // Ends the thread; what is still open is cut.
  void stop();

  // Any thread.
  std::string_view engine() const { return engine_; }

 private:
  // Servers whose listeners are no more, with the plan that they serve by.
  struct Leaving {
    Leaving(const server::Workplace& last, Instant until) : workplace(last), plan(*last.plan), deadline(until) {}
    server::Workplace workplace;
    pipeline::Pinned<pipeline::Plan> plan;
    Instant deadline;
    std::vector<std::unique_ptr<server::Server>> servers;
  };

  void run(std::atomic<int>* state, Error* error);
  void install(const Edition& edition, policy::States& states);
  void take_servers(const Edition& edition, std::vector<std::unique_ptr<server::Server>>& rest);
  void sweep();
  template <class Do>
  void for_each_server(Do act);
  // Runs `work` on the worker and waits for it.
  void ask(std::function<void()> work);

  Settings settings_;
  std::thread thread_;
  std::unique_ptr<io::Loop> loop_;
  std::string engine_;
  std::atomic<bool> stopping_ = false;
  std::atomic<bool> relieving_ = false;

  // The worker's own.
  server::Notices notices_;
  server::Workplace workplace_;
  telemetry::Fanout sinks_;
  std::unique_ptr<telemetry::AccessLog> access_log_;
  policy::States states_;  // of policies, where each worker has its own
  Clusters clusters_;
  std::map<size_t, io::Listener> prepared_;  // by listener of the edition to come
  std::vector<std::unique_ptr<server::Server>> servers_;
  std::vector<std::unique_ptr<Leaving>> leaving_;
};

}  // namespace portloom::app
