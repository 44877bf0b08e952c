// upstream/endpoints.h
//
// Endpoints: which instances a service has right now. The directory publishes them, the clusters of all workers read.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "io/address.h"
#include "io/shared.h"

namespace portloom::upstream {

struct Instance {
  io::Address address;
  uint32_t weight = 1;
  std::string host;  // as written, be it a name or an address; empty: it has none
  bool operator==(const Instance&) const = default;
};

// What tells an instance from the others of its service.
inline std::string key_of(const Instance& instance) { return instance.address.text() + ' ' + instance.host; }

class HashTable;

struct Instances : std::vector<Instance> {
  using vector::vector;
  std::shared_ptr<const HashTable> table;  // by its index here; null: the service does not choose by hash
};
// Null until something was published.
using Endpoints = io::Published<std::shared_ptr<const Instances>>;
using EndpointsByService = std::map<std::string, std::shared_ptr<Endpoints>, std::less<>>;

}  // namespace portloom::upstream
