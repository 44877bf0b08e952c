// testing/service_at.h
//
// ServiceAt: one Service behind a port of the test's SimLoop, whatever is asked for there.
#pragma once

#include <memory>

#include "pipeline/single_plan.h"
#include "server/server.h"

namespace portloom::testing {

class ServiceAt {
 public:
  ServiceAt(std::unique_ptr<pipeline::Service> service, io::Address at) {
    plan_ = pipeline::single_plan(std::move(service), "door");
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
