// upstream/breaker.h
//
// Breaker: the policy in front of a service's cluster, behind all others: it sees each attempt, and tells the service's Circuit how it
// went. Breakers: the circuits of all services, one per process, kept over reloads (control thread).
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "async/scope.h"
#include "pipeline/ports.h"
#include "pipeline/service.h"
#include "upstream/circuit.h"

namespace portloom::upstream {

class Breaker final : public pipeline::Policy {
 public:
  // `config`: "FILE:LINE" where it is written. One worker's.
  Breaker(std::shared_ptr<Circuit::Seat> seat, std::string service, std::string config)
      : seat_(std::move(seat)), circuit_(*seat_->config), service_(std::move(service)), config_(std::move(config)) {}
  std::string_view kind() const override { return "breaker"; }
  // 503 breaker_open at once while it is open. An attempt after which it is not closed is the request's last (Request::repeatable).
  [[clang::coro_wrapper]] Task<pipeline::Response> call(pipeline::Request& request, pipeline::Next next) override;

  // What an answer, or a failure, says of the service. `took`: until its head was there.
  static Circuit::Outcome outcome_of(const pipeline::Response& response, Duration took, const config::Breaker& rules);

 private:
  class Watch;
  Task<pipeline::Response> watched(pipeline::Request& request, pipeline::Next next, Circuit::Ticket ticket);
  pipeline::Response refuse(pipeline::Request& request, Duration wait) const;

  std::shared_ptr<Circuit::Seat> seat_;
  Circuit& circuit_;
  std::string service_;
  std::string config_;
};

using CircuitsByService = std::map<std::string, std::shared_ptr<Circuit>, std::less<>>;

class Breakers final : public pipeline::StatusSource {
 public:
  // The control thread, all of it.
  // The circuit of a service; the same one as long as it is written as before and somebody uses it.
  std::shared_ptr<Circuit> keep(const std::string& service, const config::Breaker& rules);
  // Those that the configuration in force has: what is told of.
  void put_in_force(CircuitsByService chosen);
  // Within a loop: `tell` hears of every transition, up to `watch_every` later.
  static constexpr Duration watch_every = 100ms;
  void start(std::function<void(std::string)> tell);
  void stop() { scope_.cancel(); }
  // By an operator. Code::not_found, with the names that there are.
  Result<void> hold(std::string_view service, Circuit::Hold what, Instant now);
  const CircuitsByService& in_force() const { return in_force_; }

  std::string_view name() const override { return "breakers"; }
  void write_status(std::string& json) const override;
  void write_metrics(std::string& page) const override;

 private:
  static Task<void> watch(Breakers* self);
  void look(Instant now);

  std::map<std::string, std::weak_ptr<Circuit>, std::less<>> known_;  // also of plans that are going
  CircuitsByService in_force_;
  std::map<const Circuit*, uint64_t> seen_;  // how many transitions were told
  std::function<void(std::string)> tell_;
  Scope scope_;
};

}  // namespace portloom::upstream
