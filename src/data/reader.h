// data/reader.h
//
// Fills an object from a Value by its Shape, reporting every problem and remembering where each value was written.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "data/part.h"
#include "data/problem.h"
#include "data/shape.h"
#include "data/value.h"

namespace portloom::data {

// Path of a value -> where it was written. Paths read "routes[2].match.path", "services.orders.endpoints[0]". Of a path only a hash of 64
// bits is kept: a large configuration has a million of them.
class Origins {
 public:
  // The last one of equal paths counts.
  void set(std::string_view path, Position at) {
    entries_.push_back({std::hash<std::string_view>()(path), at, static_cast<uint32_t>(entries_.size())});
  }
  // After the last set(): finding is quick from now on.
  void seal();
  // Exactly this value; unknown when it was not written (a default).
  Position find(std::string_view path) const;
  // This value or the nearest thing around it that was written.
  Position nearest(std::string_view path) const;

 private:
  struct Entry {
    uint64_t hash;
    Position at;
    uint32_t order;
  };
  std::vector<Entry> entries_;  // as they were set; once sealed, by hash and each once
  bool sealed_ = false;
};

struct Reader {
  Problems& problems;
  Origins& origins;
  const OpenPlaces& places;
  bool consumes = false;  // structures in lists are given up once they are read: the values are nobody's but the reader's
};

// False when something was wrong; `into` then holds what could be read and must not be used.
bool read(const Shape& shape, const Value& value, void* into, const std::string& path, Reader& reader);

// The value of an environment variable, or nothing.
using Environment = std::function<std::optional<std::string>(std::string_view name)>;
Environment process_environment();

// Replaces ${NAME} and ${NAME:-default} in every text of `value`; $${ is a literal ${. A missing variable without
// default is a problem.
void substitute(Value& value, const Environment& environment, Problems& problems);

// For tests and small things: one T from YAML text; the failure's detail is the rendered problems.
Result<std::shared_ptr<const void>> read_text(const Shape& shape, std::string_view yaml, const OpenPlaces& places);
template <class T>
Result<T> from_yaml(std::string_view yaml, const OpenPlaces& places = {}) {
  auto made = read_text(shape_of<T>(), yaml, places);
  if (!made) return std::unexpected<Error>(made.error());
  return *static_cast<const T*>(made->get());
}

}  // namespace portloom::data
