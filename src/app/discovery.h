// app/discovery.h
//
// Discovery: where registered instances come from, as the configuration has it: the registry of this process with its door, or another's
// that is followed. What a reload does not change goes on. Hands the source to the directory. Control thread, within its loop.
#pragma once

#include <memory>
#include <string>

#include "app/door.h"
#include "app/host_names.h"
#include "app/materials.h"
#include "async/scope.h"
#include "config/document.h"
#include "discovery/follower.h"
#include "discovery/local_registry.h"
#include "upstream/directory.h"

namespace portloom::app {

class Discovery {
 public:
  static constexpr uint64_t connections_max = 30'000;  // of the registry's door: an instance keeps one
  static constexpr Duration first_answer_wait = 3s;    // for a registry that is followed from now on

  explicit Discovery(upstream::Directory& directory) : directory_(directory) {}
  // Makes what is new, its port included; nothing is in force before take().
  Result<void> prepare(const config::Document& next, const Materials& materials);
  void forget_prepared() { prepared_.reset(); }
  // What was prepared. What is away is said on standard error.
  void take(std::shared_ptr<upstream::Resolver> resolver);
  void stop();

  // Every service has been told of that the source knows, or there is none to wait for.
  bool complete() const;
  // Of the registry in this process; else null.
  const ServiceDoor* door() const { return in_force_ == nullptr ? nullptr : in_force_->door.get(); }
  // Null: no registry is configured.
  const pipeline::StatusSource* status() const;

 private:
  // One way to find instances; of the two sources there is one.
  struct Way {
    std::string facts;
    std::string file;
    std::shared_ptr<HostNames> names;
    std::unique_ptr<discovery::Follower> follower;
    std::unique_ptr<discovery::LocalRegistry> registry;
    std::unique_ptr<ServiceDoor> door;  // uses the registry
    pipeline::EndpointSource* source() const;
  };
  static std::string facts_of(const config::RegistryPlace& place, const Materials& materials);
  static Task<void> hand_over(Discovery* self);

  upstream::Directory& directory_;
  std::unique_ptr<Way> prepared_;
  std::string token_;
  bool keep_ = false;  // prepare() found nothing new
  std::unique_ptr<Way> in_force_;
  std::unique_ptr<Way> before_;  // its endpoints are used until the next source knows its own
  Scope scope_;
};

}  // namespace portloom::app
