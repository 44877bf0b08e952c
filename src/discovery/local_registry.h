// discovery/local_registry.h
//
// LocalRegistry: the registry of this process at work. Gives the state its time, keeps it in a file, wakes those who watch, and is a
// source of endpoints for the services here. RegistryService is its HTTP API. Lives on the control thread.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "async/event.h"
#include "async/scope.h"
#include "discovery/registry.h"
#include "discovery/source.h"

namespace portloom::discovery {

class LocalRegistry final : public Source {
 public:
  struct Settings {
    std::string file;   // its snapshot; empty: it is kept nowhere
    std::string token;  // what writers show; empty: nothing
    Registry::Limits limits;
    size_t watchers_max = 20'000;  // who waits at the same time
  };
  // For so long after a start without a snapshot nobody takes what is not there for gone: instances are still coming back.
  static constexpr Duration settling_for = 30s;

  // Reads the snapshot. `wall`: versions begin there, so that they go on over restarts.
  LocalRegistry(Settings settings, Instant now, WallTime wall);
  ~LocalRegistry() override;
  const std::string& warning() const override { return warning_; }
  void start() override;
  bool complete() const override { return true; }
  // Writes the snapshot a last time.
  void stop();
  void use(std::string token) { settings_.token = std::move(token); }
  const std::string& token() const { return settings_.token; }

  Registry& state() { return state_; }
  // To be called when the state may have changed: what is to be told is told with the next turn of the loop.
  void stir() { stirred_.set(); }
  bool settling(Instant now) const { return now < settled_at_; }

  // Somebody who waits for a change of one service, or of any.
  class Watch {
   public:
    Watch(LocalRegistry& registry, std::string service);
    Watch(const Watch&) = delete;
    ~Watch();
    // Set with each change from now on; whoever waits resets it before it looks.
    Event changed;

   private:
    LocalRegistry& registry_;
    std::string service_;
  };
  // `service` empty: any. Null: too many wait already.
  std::unique_ptr<Watch> watch(std::string_view service);
  // `"name":[instance, ...]` of a service; kept while it does not change.
  const std::string& text_of(const Registry::Service& service);

  std::vector<pipeline::FoundEndpoint> endpoints(std::string_view service) const override;
  Instant confirmed() const override { return Agenda::current().now(); }
  std::string fault() const override { return {}; }
  std::string_view name() const override { return "registry"; }
  void write_status(std::string& json) const override;
  void write_metrics(std::string& page) const override;

 private:
  static Task<void> work(LocalRegistry* self);
  void told(const Registry::Service& service);
  bool restore(std::string_view text, Instant now);
  std::string snapshot() const;
  void save(Instant now);

  Settings settings_;
  Registry state_;
  std::string warning_;
  Instant settled_at_{};
  std::unique_ptr<KeptFile> file_;
  bool unsaved_ = false;
  Instant save_at_{};
  Event stirred_;
  struct Text {
    uint64_t edits = 0;
    std::string json;
  };
  std::unordered_map<std::string, Text> texts_;
  size_t texts_bytes_ = 0;
  std::unordered_multimap<std::string, Watch*> watches_;  // by service; "": any
  Scope scope_;
};

}  // namespace portloom::discovery
