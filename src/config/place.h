// config/place.h
//
// Words that every part of the document shares: the open places, and which texts may name or match something.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/duration.h"
#include "data/part.h"
#include "data/quantity.h"
#include "data/shape.h"
#include "data/value.h"

namespace portloom::config {

using data::Address;
using data::Named;
using data::Part;
using data::Percent;
using data::Position;
using data::Size;

struct PolicyPlace {
  static constexpr std::string_view name = "policy";
};
struct DestinationPlace {
  static constexpr std::string_view name = "destination";
};
using PolicyPart = data::PartAt<PolicyPlace>;
using DestinationPart = data::PartAt<DestinationPlace>;

bool is_name(std::string_view text);        // letters, digits, _ - . : what may label a metric
bool is_key_digest(std::string_view text);  // "sha256:" and 64 lower-case hex digits
bool is_host_pattern(std::string_view text);
bool is_plain_host(std::string_view text);  // without *
bool is_method(std::string_view text);
bool is_path_pattern(std::string_view text);

}  // namespace portloom::config
