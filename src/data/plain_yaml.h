// data/plain_yaml.h
//
// YAML as most configurations are written, several times as fast as a whole parser reads it: block maps and lists, flow maps and lists,
// texts of one line. Whatever else a file holds, or is wrong in it, is left to read_yaml's other way, which reads all of it and
// says what is wrong: so there is nothing that can be read in two ways.
#pragma once

#include <optional>
#include <string_view>

#include "data/value.h"

namespace portloom::data {

// What the whole parser makes of the same text, places included; empty when this one leaves it to that. `file` is for places.
std::optional<Value> read_plain_yaml(std::string_view text, uint32_t file);

}  // namespace portloom::data
