// base/base64.h
//
// Base64 with the standard alphabet and padding (RFC 4648 §4), for control traffic. Pure functions; any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace portloom {

std::string to_base64(std::string_view bytes);
// Strict: whole groups of four, padding at the end alone, no bits left over. Empty when `text` is none.
std::optional<std::string> from_base64(std::string_view text);

}  // namespace portloom
