// discovery/registry_service.h
//
// RegistryService: the registry's HTTP API (docs/discovery.md): instances register, beat, drain and leave; anybody lists, and watches by
// long poll or event stream. Its door and the registry live on the control thread; the registry outlives it and every answer's body.
#pragma once

#include <string>
#include <string_view>

#include "discovery/local_registry.h"
#include "pipeline/service.h"

namespace portloom::discovery {

class RegistryService final : public pipeline::Service {
 public:
  static constexpr Duration wait_max = 5min;         // of a long poll
  static constexpr size_t page_bytes = 1024 * 1024;  // of an answer with several services: what is more comes with the next
  static constexpr Duration comment_every = 15s;     // on an event stream where nothing changes

  explicit RegistryService(LocalRegistry& registry) : registry_(registry) {}
  Task<pipeline::Response> call(pipeline::Request& request) override;

 private:
  struct Place;  // what the path names
  pipeline::Response answer_now(pipeline::Request& request, const Place& place);
  Task<pipeline::Response> enter(pipeline::Request& request, std::string_view service, std::string_view id);
  Task<pipeline::Response> list(pipeline::Request& request, std::string_view service);
  Task<pipeline::Response> changes(pipeline::Request& request);
  pipeline::Response summary() const;
  pipeline::Response one(const Place& place) const;
  pipeline::Response stream(const pipeline::Request& request, std::string_view service);

  LocalRegistry& registry_;
};

}  // namespace portloom::discovery
