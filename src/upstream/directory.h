// upstream/directory.h
//
// Directory: which endpoints every service has right now. Names are looked up again when their time is over, on the control
// thread; what is found is published to all workers at once. A request looks at what is published and never waits for a name.
// One per process; kept over reloads, so that a service that did not change keeps what is known of it.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "async/scope.h"
#include "base/random.h"
#include "config/service.h"
#include "pipeline/ports.h"
#include "upstream/endpoints.h"
#include "upstream/health.h"
#include "upstream/resolver.h"

namespace portloom::upstream {

class Directory final : public pipeline::StatusSource {
 public:
  struct Settings {
    Duration keep_stale = 1h;  // how long a last answer is used while nobody can say
  };
  // How often a name is asked for: when its TTL is over, within these; after a failure sooner at first, then more seldom.
  static constexpr Duration ttl_least = 1s;
  static constexpr Duration ttl_most = 1h;
  static constexpr Duration again_first = 1s;
  static constexpr Duration again_most = 30s;
  // "There is no such name" has to be said so often in a row before its addresses are given up: resolvers err in passing.
  static constexpr uint32_t denials_needed = 3;

  // The control thread, all of it.
  // Whom to ask from now on; where that is somebody else, questions that are out are given up and asked again.
  void use(Lookup& lookup, Settings settings);
  // The names that `service` needs and that nobody has asked for yet: hosts, and the targets of its SRV records as far as they are known.
  std::vector<std::string> unknown_names(const config::Service& service) const;
  // The names of SRV records that services need and that nobody has asked for yet.
  std::vector<std::string> unknown_srvs(const config::Named<config::Service>& services) const;
  // What the last questions for its names met with; none: all is well, or nobody asked.
  std::vector<std::string> faults_of(const config::Service& service) const;
  // What was found for a name before the first turn of the loop.
  void learn(const std::string& name, Result<Answer> answer, Instant now);
  void learn_targets(const std::string& name, Result<SrvTargets> answer, Instant now);
  // The endpoints of a service; the same object as long as somebody uses it and it is written as before. Several writings of
  // one service live side by side: that of the configuration in force, those of plans that are going, that of one being built.
  // With a hash table where `balance` needs one. `srv`: the name whose SRV records say the endpoints; empty: they are written.
  std::shared_ptr<Endpoints> endpoints(const std::string& service, const std::vector<config::ServiceEndpoint>& written,
                                       config::Balance balance = {}, const std::string& srv = {});
  // The same where the endpoints are those that a source ("registry", "etcd") knows under a name.
  std::shared_ptr<Endpoints> found(const std::string& service, std::string_view source, std::string_view name,
                                   config::Balance balance = {});
  // Who that source is from now on; null: nobody. It tells of changes until another takes its place or stop().
  void use(std::string_view source, pipeline::EndpointSource* who);
  // Those that the configuration in force has, and how their instances are: what is told of. What no plan uses any more is forgotten, names
  // included.
  void put_in_force(const EndpointsByService& chosen, const HealthByService& health = {});
  // From now on names are looked up again in time; within a loop.
  void start();
  void stop();

  std::string_view name() const override { return "endpoints"; }
  void write_status(std::string& json) const override;
  void write_metrics(std::string& page) const override;

 private:
  struct Service {
    std::vector<config::ServiceEndpoint> written;
    std::string srv;     // the name of SRV records that say them
    std::string source;  // who knows its endpoints; empty: they are written
    std::string found;   // under which name
    std::shared_ptr<Endpoints> published;
    Instances current;
    config::Balance balance{};
    bool in_force = false;
    std::shared_ptr<Health> health{};  // null: nobody looks at how they are
  };
  // How it stands with what is asked of name servers.
  struct Standing {
    Instant answered{};  // when what is known was last confirmed
    Instant due{};       // when it is asked for again
    Duration ttl{0};
    std::string error;  // of the last question; empty: it was answered
    uint32_t failures = 0;
    uint32_t denials = 0;
    bool asking = false;
    bool pending() const { return answered == Instant{} && error.empty(); }  // nobody has said anything yet
  };
  struct Name : Standing {
    std::vector<io::Address> addresses;
  };
  struct Srv : Standing {
    std::vector<SrvTarget> targets;
  };
  static Task<void> watch(Directory* self);
  static Task<void> refresh(Directory* self, std::string name);
  static Task<void> refresh_srv(Directory* self, std::string name);
  void confirm(Standing& standing, Duration ttl, Instant now);
  // Whether what is known is given up.
  bool miss(Standing& standing, Error error, Instant now);
  void add_targets(const std::string& srv, Instances& all) const;
  bool pending(const std::string& srv) const;
  bool uses(const Service& service, const std::string& host) const;
  void publish(Service& service);
  void publish_found(std::string_view source, std::string_view name);
  void index_found();
  const pipeline::EndpointSource* source_of(const Service& service) const;
  Instances instances(const Service& service) const;

  Lookup* lookup_ = nullptr;
  Settings settings_;
  bool running_ = false;
  std::map<std::string, Name> names_;
  std::map<std::string, Srv> srvs_;
  std::multimap<std::string, Service, std::less<>> services_;
  std::map<std::string, pipeline::EndpointSource*, std::less<>> sources_;  // those that there are
  std::unordered_multimap<std::string, Service*> by_found_;                // by source and name
  Random random_{random_seed()};
  Scope scope_;
};

}  // namespace portloom::upstream
