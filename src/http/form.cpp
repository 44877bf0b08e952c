// http/form.cpp
//
// Decoding character by character, so that comparing needs no copy.
#include "http/form.h"

#include "base/text.h"

namespace portloom::http {
namespace {

// Takes the next character off `encoded`, which is not empty.
char next_character(std::string_view& encoded) {
  char c = encoded.front();
  if (c == '%' && encoded.size() > 2 && hex_value(encoded[1]) >= 0 && hex_value(encoded[2]) >= 0) {
    c = static_cast<char>(hex_value(encoded[1]) * 16 + hex_value(encoded[2]));
    encoded.remove_prefix(2);
  } else if (c == '+') {
    c = ' ';
  }
  encoded.remove_prefix(1);
  return c;
}

}  // namespace

bool form_equals(std::string_view encoded, std::string_view plain) {
  while (!encoded.empty() && !plain.empty()) {
    if (next_character(encoded) != plain.front()) return false;
    plain.remove_prefix(1);
  }
  return encoded.empty() && plain.empty();
}

std::optional<std::string_view> find_parameter(std::string_view query, std::string_view name) {
  std::optional<std::string_view> found;
  for_each_parameter(query, [&](std::string_view given, std::string_view value) {
    if (form_equals(given, name)) found = value;
    return !found;
  });
  return found;
}

std::string form_decode(std::string_view encoded) {
  std::string plain;
  while (!encoded.empty()) plain += next_character(encoded);
  return plain;
}

void append_form_encoded(std::string& to, std::string_view plain) {
  static constexpr char digits[] = "0123456789ABCDEF";
  for (char c : plain) {
    auto byte = static_cast<unsigned char>(c);
    if (is_alpha(c) || is_digit(c) || c == '-' || c == '.' || c == '_' || c == '~')
      to += c;
    else
      to.append({'%', digits[byte >> 4], digits[byte & 15]});
  }
}

}  // namespace portloom::http
