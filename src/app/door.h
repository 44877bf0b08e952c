// app/door.h
//
// ServiceDoor: a listener with one Service behind it, apart from any document: the admin's pages, the demo's services.
// Lives on the thread whose loop was current when it was opened; writes no record.
#pragma once

#include <memory>
#include <string>

#include "io/address.h"
#include "server/server.h"

namespace portloom::app {

class ServiceDoor {
 public:
  static constexpr uint64_t connections_usual = 1024;

  // Why the address cannot be listened on, when it cannot.
  static Result<std::unique_ptr<ServiceDoor>> open(const io::Address& address, std::unique_ptr<pipeline::Service> service, std::string name,
                                                   uint64_t connections_max = connections_usual);
  ServiceDoor(const ServiceDoor&) = delete;

  const std::string& name() const { return name_; }
  // As bound.
  const io::Address& address() const { return server_->address(); }
  const io::Address& configured() const { return configured_; }
  // Takes no new connection; those that are open end with their next answer.
  void retire() {
    server_->close_port();
    server_->retire_connections(true);
  }
  size_t open_connections() const { return server_->open_connections(); }

 private:
  ServiceDoor(std::unique_ptr<pipeline::Service> service, std::string name, const io::Address& configured, io::Listener listener,
              uint64_t connections_max);

  std::string name_;
  io::Address configured_;
  server::Admission admission_;
  std::unique_ptr<pipeline::Plan> plan_;
  server::Workplace workplace_;
  std::unique_ptr<server::Server> server_;  // last: its connections use the rest
};

}  // namespace portloom::app
