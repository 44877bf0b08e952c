// discovery/follower.h
//
// Follower: what another Portloom's registry knows, kept here. One long poll for all services brings what has changed; while the
// registry is away, and over a restart of ours, what was known last is used on. What is there is never taken for gone because a
// registry was started anew and has not heard of it yet. Lives on the control thread.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "async/scope.h"
#include "discovery/instance.h"
#include "discovery/source.h"
#include "http/fetch.h"

namespace portloom::discovery {

class Follower final : public Source {
 public:
  static constexpr Duration poll_wait = 10s;   // the registry answers by then, changed or not
  static constexpr Duration answer_max = 20s;  // then it counts as away

  struct Settings {
    std::string file;  // where what is known is kept; empty: nowhere
  };
  // Reads the file. `fetcher` is its own.
  Follower(std::unique_ptr<http::Fetcher> fetcher, Settings settings, Instant now);
  ~Follower() override;
  void start() override { scope_.spawn(work, this); }
  void stop();
  const std::string& warning() const override { return contact_.warning(); }
  bool complete() const override { return complete_; }
  const Contact& contact() const { return contact_; }

  std::vector<pipeline::FoundEndpoint> endpoints(std::string_view service) const override;
  Instant confirmed() const override { return contact_.confirmed(); }
  std::string fault() const override { return contact_.fault(); }
  std::string_view name() const override { return "registry"; }
  void write_status(std::string& json) const override;
  void write_metrics(std::string&) const override {}  // it has none beside its contact's

 private:
  struct Service {
    std::vector<Instance> told;  // by the registry as it runs now
    std::vector<Instance> left;  // from before, while it may still learn of them
  };
  struct Changes {
    uint64_t version = 0;
    bool more = false;
    bool settling = false;
    bool reset = false;
    std::map<std::string, std::vector<Instance>> services;
  };
  static Task<void> work(Follower* self);
  static std::optional<Changes> read(std::string_view text);
  void take(Changes changes);
  void begin_anew();
  std::string text() const;

  std::unique_ptr<http::Fetcher> fetcher_;
  Contact contact_;
  std::unordered_map<std::string, Service> services_;
  uint64_t version_ = 0;
  bool catching_up_ = true;  // not all of the registry's services were told yet
  bool complete_ = false;
  Scope scope_;
};

}  // namespace portloom::discovery
