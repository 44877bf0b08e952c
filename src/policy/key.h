// policy/key.h
//
// Key: what a request is counted by, as it is written under `key`: an expression (data/expression.h), of which the first alternative
// that is there counts. Immutable; any worker.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "data/expression.h"
#include "pipeline/service.h"

namespace portloom::policy {

class Key {
 public:
  // `text` is an expression: load() has refused anything else.
  explicit Key(std::string_view text);
  // A hash that nobody outside can foresee; equal values of different roots differ. Where nothing is there: the client's address.
  uint64_t of(const pipeline::Request& request) const;
  // Tells two values apart, and nothing of either: a Byte Sequence (RFC 9651 §3.3.5).
  std::string opaque(const pipeline::Request& request) const;

 private:
  data::Expression expression_;
};

}  // namespace portloom::policy
