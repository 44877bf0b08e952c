// pipeline/single_plan.cpp
//
// For doors that are none of the configuration's listeners.
#include "pipeline/single_plan.h"

#include <utility>
#include <vector>

namespace portloom::pipeline {

std::unique_ptr<Plan> single_plan(std::unique_ptr<Service> service, std::string name) {
  auto snapshot = std::make_shared<Snapshot>();
  snapshot->table = *RouteTable::compile({}, {});
  snapshot->listeners = {std::move(name)};
  auto plan = std::make_unique<Plan>(std::move(snapshot));
  auto entry = std::make_unique<Entry>();
  entry->chain = std::make_unique<Chain>(std::vector<Policy*>{}, *service);
  entry->internal_errors = true;
  plan->owned_services.push_back(std::move(service));
  plan->entries.push_back(std::move(entry));
  return plan;
}

}  // namespace portloom::pipeline
