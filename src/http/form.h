// http/form.h
//
// Query parameters, in the form that browsers send (application/x-www-form-urlencoded, WHATWG URL §5): pairs between "&", "+" for
// a space, %XX for bytes. A malformed escape stands for itself. Of several parameters of one name the first counts.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace portloom::http {

// Calls f(name, value) for each pair, both as they stand; a pair without "=" has an empty value. f returns false to stop.
template <class F>
bool for_each_parameter(std::string_view query, F f) {
  while (!query.empty()) {
    std::string_view pair = query.substr(0, query.find('&'));
    query.remove_prefix(pair.size() < query.size() ? pair.size() + 1 : pair.size());
    if (pair.empty()) continue;
    size_t equals = pair.find('=');
    if (!f(pair.substr(0, equals), equals == std::string_view::npos ? std::string_view() : pair.substr(equals + 1))) return false;
  }
  return true;
}

// Is `encoded` the encoded form of `plain`? Allocates nothing.
bool form_equals(std::string_view encoded, std::string_view plain);

// The value of the first parameter with that (plain) name, still encoded; empty when there is none.
std::optional<std::string_view> find_parameter(std::string_view query, std::string_view name);

std::string form_decode(std::string_view encoded);
// Appends `plain` so that form_decode gives it back: unreserved characters (RFC 3986 §2.3) stay, all others become %XX; a space
// too, because "%20" is a space to every reader and "+" only to some.
void append_form_encoded(std::string& to, std::string_view plain);

}  // namespace portloom::http
