// upstream/check.h
//
// Checks: asks the instances of services whether they are well, once for the process, on the control thread. Each instance has a
// coroutine of its own, which tells the service's Health what it found; instances come and go as the directory publishes them.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "async/scope.h"
#include "base/random.h"
#include "config/service.h"
#include "http/parser.h"
#include "io/proxy_protocol.h"
#include "io/tls.h"
#include "upstream/endpoints.h"
#include "upstream/health.h"

namespace portloom::upstream {

// How the instances of one service are asked.
struct CheckSettings {
  config::HealthCheck rules;
  config::Protocol protocol = config::Protocol::http1;
  http::Limits heads;
  std::shared_ptr<io::TlsClientContext> tls;  // null: in plain text
  std::optional<io::ProxyVersion> proxy_header;
  config::CheckKind kind() const;
};

// Asks once: empty when all is well, else what is wrong. Takes no longer than the rules' timeout.
Task<std::string> check(const CheckSettings& settings, const Instance& instance);

class Checks {
 public:
  struct Service {
    std::string facts;  // everything that it is made from, as text: what is unchanged goes on
    CheckSettings settings;
    std::shared_ptr<Endpoints> published;
    std::shared_ptr<Health> health;
  };
  // The control thread, all of it; within a loop.
  void put_in_force(std::map<std::string, Service> chosen);
  void start();
  void stop();
  size_t running() const;

 private:
  // One instance.
  struct Running {
    Running(const CheckSettings& of, Instance who, std::shared_ptr<Health> health, uint64_t seed)
        : settings(of), instance(std::move(who)), seat(std::move(health), key_of(instance)), random(seed) {}
    const CheckSettings& settings;
    Instance instance;
    Health::Seat seat;
    Random random;
    Scope scope;  // last: its child looks at the rest
  };
  struct Entry {
    Service service;
    uint64_t version = 0;  // of the instances that are checked
    std::map<std::string, std::unique_ptr<Running>> running;
  };
  static constexpr Duration watch_every = 250ms;
  static Task<void> watch(Checks* self);
  static Task<void> run(Running* self);
  void follow(Entry& entry);

  std::map<std::string, std::unique_ptr<Entry>> entries_;
  Random random_{random_seed()};
  bool started_ = false;
  Scope scope_;
};

}  // namespace portloom::upstream
