// discovery/instance.h
//
// Instance: one running process of a service, as the registry knows it, and its form on the wire: a JSON object. Plain values and
// pure functions; any thread.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

#include "base/duration.h"
#include "data/json.h"
#include "io/address.h"

namespace portloom::discovery {

// Bounds of what an instance says of itself.
constexpr size_t text_max = 128;       // bytes of an id, a zone, a version
constexpr size_t metadata_max = 4096;  // bytes of its metadata, as JSON
constexpr uint32_t weight_max = 1000;
constexpr Duration ttl_least = 1s;
constexpr Duration ttl_most = 1h;
constexpr Duration ttl_usual = 15s;

struct Instance {
  std::string id;  // letters, digits, _ - and .
  io::Address address;
  uint32_t weight = 1;
  std::string zone;      // empty: it has not said
  std::string version;   // the same
  std::string metadata;  // a JSON object, as it came; empty: none
  bool draining = false;
  bool operator==(const Instance&) const = default;
};

// What a registration's body says.
struct Registration {
  Instance instance;
  Duration ttl = ttl_usual;
  bool has_address = false;  // else it is the address that the registration came from, with this port
};

// One object: id, address, port, weight, state ("up", "draining"), and what there is of zone, version, metadata.
void write_instance(data::JsonWriter& json, const Instance& instance);
// What write_instance wrote; `object` is a JSON object that slice() has found. Members of a later version are passed over.
std::expected<Instance, std::string> read_instance(std::string_view object);
// The same as a value that somebody else keeps: its key says who it is, so that its id may be missing. At most 16 KiB.
std::expected<Instance, std::string> read_value(std::string_view text);
// A registration's body as a client wrote it; the error says what is wrong with it. Unknown members are.
std::expected<Registration, std::string> read_registration(std::string_view text);

}  // namespace portloom::discovery
