// pipeline/plan.h
//
// Snapshot: what was configured, immutable, shared by all workers. Plan: one worker's live objects made from it: policies,
// chains, services. An exchange pins its plan with a worker-local counter; serving a request touches no shared cache line.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "config/document.h"
#include "pipeline/router.h"
#include "pipeline/service.h"

namespace portloom::pipeline {

struct Snapshot {
  std::shared_ptr<const config::Document> document;
  std::shared_ptr<const RouteTable> table;
  std::vector<std::string> listeners;  // names, by index
  uint64_t version = 1;
  std::string hash;
};

// What one listener does with a request: its policies, then the router (or its own destination).
struct Entry {
  std::unique_ptr<Chain> chain;                         // for requests without a route and routes without `skip`
  std::map<uint32_t, std::unique_ptr<Chain>> skipping;  // by route index: the chain less what the route skips
  bool internal_errors = false;                         // errors: internal
  Chain& chain_for(const Route* route) {
    if (route != nullptr && !route->skip.empty()) {
      auto found = skipping.find(route->index);
      if (found != skipping.end()) return *found->second;
    }
    return *chain;
  }
};

class Plan {
 public:
  explicit Plan(std::shared_ptr<const Snapshot> from) : snapshot_(std::move(from)) {}
  Plan(const Plan&) = delete;

  const Snapshot& snapshot() const { return *snapshot_; }
  // The chain of a service (its policies in front of its cluster), by name; null when there is none. Asked while the plan
  // is built, never at request time.
  Service* service(std::string_view name) const {
    auto found = services.find(name);
    return found == services.end() ? nullptr : found->second;
  }
  // The route's chain.
  Service& destination(const Route& route) const { return *routes[route.index]; }
  Entry& entry(uint16_t listener) const { return *entries[listener]; }

  // Filled by app/ while the plan is built. Later members refer to earlier ones.
  std::vector<std::shared_ptr<const void>> kept;  // what all of it refers to, and what exchanges may still refer to
  std::vector<std::unique_ptr<Service>> owned_services;
  std::vector<std::unique_ptr<Policy>> owned_policies;
  std::map<std::string, Service*, std::less<>> services;
  std::map<std::string, Service*, std::less<>> compositions;
  std::vector<Service*> routes;  // by route index
  std::vector<std::unique_ptr<Entry>> entries;

  size_t held_max = size_t{1024} * 1024;  // limits.buffered: bytes of bodies that one exchange keeps in memory

  uint32_t pins = 0;     // exchanges that use it
  bool retired = false;  // a newer plan is in force: dropped with the last pin

 private:
  std::shared_ptr<const Snapshot> snapshot_;
};

template <class T>
class Pinned {
 public:
  explicit Pinned(T& object) : object_(&object) { ++object.pins; }
  Pinned(const Pinned&) = delete;
  ~Pinned() {
    if (--object_->pins == 0 && object_->retired) delete object_;
  }
  T* operator->() const { return object_; }
  T& operator*() const { return *object_; }

 private:
  T* object_;
};

// The Service at the end of every listener's chain: hands the request to the route that was matched, or answers 404, or 405
// with Allow.
class Router final : public Service {
 public:
  Task<Response> call(Request& request) override;
};

}  // namespace portloom::pipeline
