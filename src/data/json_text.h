// data/json_text.h
//
// The text that a JSON string stands for. A pure function; any thread.
#pragma once

#include <string>
#include <string_view>

namespace portloom::data {

// Appends what stands between the quotes of a string that slice() has found, decoded: UTF-8. False when it has a lone surrogate.
bool decode_json_string(std::string_view inside, std::string& to);

}  // namespace portloom::data
