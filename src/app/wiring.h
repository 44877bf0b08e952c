// app/wiring.h
//
// From a checked document to what serves: a Blueprint once per configuration (control thread), a Plan per worker from it.
// Every rule of "who stands in front of whom" is here and nowhere else.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "app/materials.h"
#include "config/load.h"
#include "io/address.h"
#include "pipeline/plan.h"
#include "policy/build.h"
#include "server/server.h"
#include "upstream/breaker.h"
#include "upstream/check.h"
#include "upstream/cluster.h"
#include "upstream/directory.h"
#include "upstream/health.h"

namespace portloom::app {

struct Blueprint {
  config::Loaded loaded;
  std::shared_ptr<const pipeline::Snapshot> snapshot;
  upstream::EndpointsByService endpoints;  // the directory's
  upstream::CircuitsByService circuits;    // of services that have a breaker
  upstream::HealthByService health;        // of those whose instances are watched
  std::map<std::string, upstream::Checks::Service> checks;
  std::vector<io::Address> binds;  // by listener
  Materials materials;
  std::vector<std::string> service_names;
  std::vector<std::string> warnings;  // what did not go well and hinders nobody
};

// What logs and metrics call its routes, by index.
std::vector<std::string> route_names(const Blueprint& blueprint);

config::Catalogue make_catalogue();

// What is known of services process-wide, whichever configuration is in force.
struct Surroundings {
  upstream::Directory& directory;
  upstream::Resolver& resolver;
  upstream::Breakers& breakers;
  upstream::Healths& healths;
};
// Control thread; asks for the names that the directory does not know (blocks, 3 s at most). Code::invalid with what is wrong.
Result<std::shared_ptr<const Blueprint>> draw(config::Loaded loaded, Materials materials, const Surroundings& around);

// One worker's clusters. A service that is configured as before, its files included, keeps its cluster from plan to plan: pools,
// counts, health. The worker's own; plans share what they use.
class Clusters {
 public:
  using Make = std::function<std::shared_ptr<upstream::Cluster>()>;
  // `facts`: everything that the cluster of this name is made from, as text.
  std::shared_ptr<upstream::Cluster> keep(const std::string& name, std::string facts, const Make& make);
  // Null: there is none.
  upstream::Cluster* find(std::string_view name) const;
  // Those that no plan uses any more.
  void forget_unused();
  void clear() { kept_.clear(); }

 private:
  struct Kept {
    std::string facts;
    std::shared_ptr<upstream::Cluster> cluster;
  };
  std::map<std::string, Kept, std::less<>> kept_;
};

// On the worker, while the control thread waits for it (`states` belongs to that thread, `own` to the worker). Never null. `blueprint`
// outlives it.
std::unique_ptr<pipeline::Plan> build_plan(const Blueprint& blueprint, policy::States& states, policy::States& own, Clusters& clusters);

// What a listener's server needs to know.
server::Door door_of(const Blueprint& blueprint, uint16_t listener, const std::shared_ptr<const io::TicketKeys>& keys);
// Null where it speaks plainly.
std::shared_ptr<io::TlsServerContext> tls_of(const Blueprint& blueprint, uint16_t listener,
                                             const std::shared_ptr<const io::TicketKeys>& keys);

}  // namespace portloom::app
