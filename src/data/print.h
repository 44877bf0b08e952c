// data/print.h
//
// The other directions of a Shape: an object back to YAML with the place each value is from, JSON Schema, and the
// Markdown reference.
#pragma once

#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "data/json.h"
#include "data/part.h"
#include "data/reader.h"
#include "data/shape.h"

namespace portloom::data {

// One value on one line, as a user would write it: "3s", "[GET, POST]", "{status: 200}".
std::string format_value(const Shape& shape, const void* object);

// The whole object as YAML, defaults included; a comment names the file and line each value is from, or "default".
std::string print_yaml(const Shape& shape, const void* object, const Origins& origins, const Sources& sources);

// JSON Schema (draft 2020-12) of `root`, with every structure it reaches under $defs.
std::string json_schema(const Shape& root, const OpenPlaces& places, std::string_view title);

// What a type is called in the reference: "duration (3s)", "list of text".
std::string type_text(const Shape& shape);
// A Markdown table of the fields of a structure, one row per field.
std::string reference_table(const Shape& shape);

}  // namespace portloom::data
