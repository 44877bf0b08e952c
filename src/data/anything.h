// data/anything.h
//
// Anything: a place of the configuration where any JSON value may be written: a call's body, a fallback's value, the form of an answer.
// It stays a Value until somebody makes JSON of it, so that every text in it still knows its line.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "data/value.h"

namespace portloom::data {

struct Anything {
  Value value;
  bool written = false;  // `null` can be written too
};

// What a YAML scalar is as JSON: null, true, false and numbers as they are spelt, everything else (and all in quotes) a text.
// Empty for a text: whoever writes it knows how.
std::string_view json_scalar(const Value& value);

// JSON, without white space; texts as they stand.
void append_json(std::string& to, const Value& value);
// One line of YAML.
std::string format_anything(const Value& value);

// Calls see(text, path) for each text in it that json_scalar() leaves a text; keys are not texts.
void walk_values(const Value& value, std::string& path, const std::function<void(const Value& text, std::string_view path)>& see);

}  // namespace portloom::data
