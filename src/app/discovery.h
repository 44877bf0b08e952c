// app/discovery.h
//
// Discovery: where instances come from that no configuration lists, as the configuration has it: the registry of this process with its
// door, or another's that is followed; an etcd cluster. What a reload does not change goes on. Hands the sources to the directory.
// Control thread, within its loop.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "app/door.h"
#include "app/host_names.h"
#include "app/materials.h"
#include "async/scope.h"
#include "config/document.h"
#include "discovery/etcd_source.h"
#include "discovery/follower.h"
#include "discovery/local_registry.h"
#include "upstream/directory.h"

namespace portloom::app {

class Discovery {
 public:
  static constexpr uint64_t connections_max = 30'000;  // of the registry's door: an instance keeps one
  static constexpr Duration first_answer_wait = 3s;    // for a source that is asked from now on

  explicit Discovery(upstream::Directory& directory) : directory_(directory) {}
  // Makes what is new, its port included; nothing is in force before take().
  Result<void> prepare(const config::Document& next, const Materials& materials);
  void forget_prepared();
  // What was prepared. What is away is said on standard error.
  void take(std::shared_ptr<upstream::Resolver> resolver);
  void stop();

  // Every service has been told of that the sources know, or there is none to wait for.
  bool complete() const { return registry_.complete() && etcd_.complete(); }
  // Of the registry in this process; else null.
  const ServiceDoor* door() const { return registry_.in_force == nullptr ? nullptr : registry_.in_force->door.get(); }
  void add_status(std::vector<const pipeline::StatusSource*>& sources) const;
  void write_metrics(std::string& page) const;

 private:
  // One way to find instances; of the three sources there is one.
  struct Way {
    std::string facts;
    std::string file;
    std::shared_ptr<HostNames> names;
    std::unique_ptr<discovery::Follower> follower;
    std::unique_ptr<discovery::LocalRegistry> registry;
    std::unique_ptr<discovery::EtcdSource> etcd;
    std::unique_ptr<ServiceDoor> door;  // uses the registry
    discovery::Source* source() const;
  };
  // The ways of one kind, one after the other.
  struct Lane {
    std::string_view kind;  // as a service's key is called
    std::unique_ptr<Way> prepared{};
    bool keep = false;  // prepare() found nothing new
    std::unique_ptr<Way> in_force{};
    std::unique_ptr<Way> before{};  // its endpoints are used until the next source knows its own
    Scope scope{};
    bool complete() const { return in_force == nullptr || in_force->source()->complete(); }
    // Whether there is something to make.
    bool differs(bool wanted, const std::string& facts);
  };
  Result<void> prepare_registry(const config::Document& next, const Materials& materials);
  Result<void> prepare_etcd(const config::Document& next, const Materials& materials);
  void take(Lane& lane, const std::shared_ptr<upstream::Resolver>& resolver);
  static Task<void> hand_over(Discovery* self, Lane* lane);

  upstream::Directory& directory_;
  Lane registry_{"registry"};
  Lane etcd_{"etcd"};
  std::string token_;
  std::string password_;
  std::vector<std::string> paths_;  // in etcd, of services
};

}  // namespace portloom::app
