// policy/key.h
//
// Key: what a request is counted by, as it is written under `key`: client.address, consumer, tenant, headers.NAME, query.NAME or
// the bare name of a path parameter; alternatives with ||, of which the first that is there counts. Immutable; any worker.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/exchange.h"
#include "pipeline/service.h"

namespace portloom::policy {

class Key {
 public:
  enum class Root : uint8_t { address, consumer, tenant, header, query, parameter };
  struct Part {
    Root root;
    std::string name;  // of header, query and parameter
  };

  // For rules::valid, with key_name.
  static bool is_key(std::string_view text);
  // `text` is a key.
  explicit Key(std::string_view text);
  // A hash that nobody outside can foresee; equal values of different roots differ. Where nothing is there: the client's address.
  uint64_t of(const pipeline::Request& request) const;
  const std::vector<Part>& parts() const { return parts_; }

 private:
  static std::string_view value(const Part& part, const pipeline::Request& request);
  std::vector<Part> parts_;
};

inline constexpr std::string_view key_name =
    "client.address, consumer, tenant, headers.NAME, query.NAME or a path parameter, with || between alternatives (other expressions are "
    "not in this version)";

}  // namespace portloom::policy
