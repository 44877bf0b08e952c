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
#include "base/random.h"
#include "discovery/instance.h"
#include "discovery/kept_file.h"
#include "http/fetch.h"
#include "pipeline/ports.h"

namespace portloom::discovery {

class Follower final : public pipeline::EndpointSource, public pipeline::StatusSource {
 public:
  static constexpr Duration poll_wait = 10s;   // the registry answers by then, changed or not
  static constexpr Duration answer_max = 20s;  // then it counts as away
  static constexpr Duration again_first = 100ms;
  static constexpr Duration again_most = 5s;
  static constexpr Duration save_after = 1s;

  struct Settings {
    std::string file;  // where what is known is kept; empty: nowhere
  };
  // Reads the file. `fetcher` is its own.
  Follower(std::unique_ptr<http::Fetcher> fetcher, Settings settings, Instant now);
  ~Follower() override;
  const std::string& warning() const { return warning_; }
  void start() { scope_.spawn(work, this); }
  void stop();
  // The registry has told all it knows since start().
  bool complete() const { return complete_; }

  std::vector<pipeline::FoundEndpoint> endpoints(std::string_view service) const override;
  Instant confirmed() const override { return confirmed_; }
  std::string fault() const override { return fault_; }
  std::string_view name() const override { return "registry"; }
  void write_status(std::string& json) const override;
  void write_metrics(std::string& page) const override;

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
  void take(Changes changes, Instant now);
  void begin_anew();
  std::string text() const;
  void save(Instant now);

  std::unique_ptr<http::Fetcher> fetcher_;
  Settings settings_;
  std::string warning_;
  std::unique_ptr<KeptFile> file_;
  bool unsaved_ = false;
  Instant save_at_{};
  std::unordered_map<std::string, Service> services_;
  uint64_t version_ = 0;
  bool catching_up_ = true;  // not all of the registry's services were told yet
  bool complete_ = false;
  Instant confirmed_{};
  std::string fault_ = "not asked yet";
  uint32_t failures_ = 0;
  uint64_t answers_ = 0;
  uint64_t errors_ = 0;
  Random random_{random_seed()};
  Scope scope_;
};

}  // namespace portloom::discovery
