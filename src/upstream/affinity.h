// upstream/affinity.h
//
// Affinity: what ties a request to one endpoint of a service, as long as that can be asked. Immutable; one per cluster.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/balancing.h"
#include "data/expression.h"
#include "http/headers.h"
#include "pipeline/service.h"

namespace portloom::upstream {

class Affinity {
 public:
  Affinity() = default;
  // Texts that are no expressions were refused by load().
  explicit Affinity(const config::Balancing& written);
  // Clients of `service` stay with an instance; `key` is the secret.
  void stick(const config::Sticky& written, std::string_view service, std::string_view key);
  // Of the first value that is there: the same on every worker and gateway, and after a restart. Nothing: the request has none.
  std::optional<uint64_t> hash(const pipeline::Request& request) const;

  bool sticks() const { return !name_.empty(); }
  // How clients call an instance (key_of): nobody can make such a name, or read one, without the key.
  std::string token(std::string_view instance) const;
  // What a request calls its instance; nothing: it does not.
  std::optional<std::string_view> shown(const pipeline::Request& request) const;
  // The client is to call its instance so.
  void tell(http::Headers& answer, std::string_view token) const;

 private:
  std::vector<data::Expression> by_;
  std::string name_;  // of the cookie or the header field; empty: clients stay nowhere
  bool cookie_ = false;
  data::Operand operand_;   // where it stands in a request
  std::string attributes_;  // of the cookie
  std::string service_;
  std::string key_;
};

}  // namespace portloom::upstream
