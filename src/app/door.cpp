// app/door.cpp
//
// A plan with one entry, no routes and no policies.
#include "app/door.h"

#include "pipeline/single_plan.h"

namespace portloom::app {

Result<std::unique_ptr<ServiceDoor>> ServiceDoor::open(const io::Address& address, std::unique_ptr<pipeline::Service> service,
                                                       std::string name, uint64_t connections_max) {
  Result<io::Listener> listener = io::listen(address, false);
  if (!listener) return std::unexpected(std::move(listener.error()));
  return std::unique_ptr<ServiceDoor>(new ServiceDoor(std::move(service), std::move(name), address, std::move(*listener), connections_max));
}

ServiceDoor::ServiceDoor(std::unique_ptr<pipeline::Service> service, std::string name, const io::Address& configured, io::Listener listener,
                         uint64_t connections_max)
    : name_(std::move(name)), configured_(configured), admission_({.connections = connections_max}) {
  plan_ = pipeline::single_plan(std::move(service), name_);
  workplace_.plan = plan_.get();
  workplace_.admission = &admission_;
  workplace_.random = Random(random_seed());
  server::Door facts;
  facts.name = name_;
  facts.internal_errors = true;
  facts.quiet = true;
  server_ = std::make_unique<server::Server>(workplace_, std::move(facts), std::move(listener));
}

}  // namespace portloom::app
