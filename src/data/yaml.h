// data/yaml.h
//
// YAML text to Value. The only file that knows yaml-cpp. Takes the part of YAML that two other parsers read alike:
// one document, text keys, no duplicate keys, no `<<`, aliases expanded within a bound and never cyclic, at most 64 levels
// and 16 MiB. What is refused is a problem with its place.
#pragma once

#include <optional>
#include <string_view>

#include "data/problem.h"
#include "data/value.h"

namespace portloom::data {

inline constexpr size_t yaml_bytes_max = 16 * 1024 * 1024;
inline constexpr size_t yaml_depth_max = 64;
inline constexpr size_t yaml_values_max = 1'000'000;  // after aliases are expanded

// Reads file `file` of `problems.sources()`. Empty when something was refused; an empty document is a null Value.
std::optional<Value> read_yaml(uint32_t file, Problems& problems);
// The same by yaml-cpp alone: what plain_yaml.h leaves to it, and the judge in its tests.
std::optional<Value> read_whole_yaml(uint32_t file, Problems& problems);

// A text as a YAML scalar that both YAML versions read back as this text: quoted only where it must be.
std::string yaml_scalar(std::string_view text);

}  // namespace portloom::data
