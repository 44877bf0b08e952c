// testing/service_at.h
//
// ServiceAt: one Service behind a port of the test's SimLoop, whatever is asked for there.
#pragma once

#include <memory>

#include "pipeline/plan.h"
#include "server/server.h"

namespace portloom::testing {

class ServiceAt {
 public:
  ServiceAt(std::unique_ptr<pipeline::Service> service, io::Address at) {
    auto snapshot = std::make_shared<pipeline::Snapshot>();
    snapshot->table = *pipeline::RouteTable::compile({}, {});
    snapshot->listeners = {"door"};
    plan_ = std::make_unique<pipeline::Plan>(std::move(snapshot));
    auto entry = std::make_unique<pipeline::Entry>();
    entry->chain = std::make_unique<pipeline::Chain>(std::vector<pipeline::Policy*>{}, *service);
    entry->internal_errors = true;
    plan_->owned_services.push_back(std::move(service));
    plan_->entries.push_back(std::move(entry));
    workplace_.plan = plan_.get();
    workplace_.admission = &admission_;
    server::Door door;
    door.internal_errors = door.quiet = true;
    server_ = std::make_unique<server::Server>(workplace_, std::move(door), std::move(*io::listen(at, false)));
  }
  const io::Address& address() const { return server_->address(); }

 private:
  server::Admission admission_{{}};
  std::unique_ptr<pipeline::Plan> plan_;
  server::Workplace workplace_;
  std::unique_ptr<server::Server> server_;
};

}  // namespace portloom::testing
