// http/grammar.h
//
// The character classes of RFC 9110 and RFC 9112, as tables and as questions about whole texts, and how list fields are
// split. HTTP/2 and whoever builds fields from outside text asks here before Headers::add.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "base/text.h"

namespace portloom::http {

// tchar of RFC 9110 §5.6.2.
inline constexpr std::array<bool, 256> token_chars = [] {
  std::array<bool, 256> table{};
  for (char c : std::string_view("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"))
    table[static_cast<uint8_t>(c)] = true;
  return table;
}();
constexpr bool is_token_char(char c) { return token_chars[static_cast<uint8_t>(c)]; }
constexpr bool is_token(std::string_view text) {
  for (char c : text)
    if (!is_token_char(c)) return false;
  return !text.empty();
}

// Field content of RFC 9110 §5.5: no control character but HTAB; obs-text passes. Surrounding whitespace is not looked at.
bool is_field_value(std::string_view text);

// What may stand in a request target: visible ASCII without "#" (RFC 9112 §3.2: a fragment is never sent). Characters
// that RFC 3986 wants encoded but browsers send ("|", "{", "^", ...) pass untouched.
bool is_target_text(std::string_view text);

// The standard phrase of a status ("Not Found"); empty for one that is not registered.
std::string_view reason_phrase(unsigned status);

// Calls f(element) for each element of a comma-separated list (RFC 9110 §5.6.1), trimmed, empty ones left out.
// For lists of tokens only: commas in quoted strings are not respected. f returns false to stop.
template <class F>
bool for_each_element(std::string_view list, F f) {
  while (true) {
    size_t comma = list.find(',');
    std::string_view element = trim(list.substr(0, comma));
    if (!element.empty() && !f(element)) return false;
    if (comma == std::string_view::npos) return true;
    list.remove_prefix(comma + 1);
  }
}

// host [":" port] of RFC 3986 §3.2, without userinfo (RFC 9110 §4.2.4). `port` is empty when none is given.
struct Authority {
  std::string_view host;  // an IPv6 literal keeps its brackets
  std::string_view port;
};
// False when `text` is not host[:port]; an empty host passes only with `may_be_empty`.
bool parse_authority(std::string_view text, Authority& authority, bool may_be_empty = false);

}  // namespace portloom::http
