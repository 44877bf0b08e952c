// http/http2_rules.cpp
//
// One question after the other; the first that fails names the fault.
#include "http/http2_rules.h"

#include "base/text.h"
#include "http/grammar.h"

namespace portloom::http {
namespace {

// Of one connection, which HTTP/2 has no use for (RFC 9113 §8.2.2).
constexpr NameSet connection_fields{Name::connection, Name::keep_alive, Name::proxy_connection, Name::transfer_encoding, Name::upgrade};

bool has_upper(std::string_view name) {
  for (char c : name)
    if (c >= 'A' && c <= 'Z') return true;
  return false;
}

bool is_blank(char c) { return c == ' ' || c == '\t'; }

}  // namespace

Http2Field check_field(std::string_view name, std::string_view value) {
  if (has_upper(name)) return {.fault = "a field's name is not in lower case"};  // RFC 9113 §8.2.1
  if (!is_token(name)) return {.fault = "a field's name is malformed"};
  Http2Field field{.id = name_of_field(name)};
  if (!is_field_value(value))
    field.fault = "a field's value holds a control character";
  else if (!value.empty() && (is_blank(value.front()) || is_blank(value.back())))
    field.fault = "a field's value begins or ends with white space";
  else if (connection_fields.contains(field.id))
    field.fault = "a field of one connection has no place in HTTP/2";
  else if (field.id == Name::te && !equals_ignoring_case(value, "trailers"))
    field.fault = "TE may only say trailers in HTTP/2";
  return field;
}

std::string_view fault_of(const Http2Pseudo& there, bool connects) {
  if (!there.method) return "there is no :method";
  if (there.protocol && !connects) return ":protocol is for CONNECT only";  // RFC 8441 §4
  if (connects && !there.protocol) {                                        // RFC 9113 §8.5
    if (there.scheme || there.path) return "CONNECT has neither :scheme nor :path";
    return there.authority ? "" : "CONNECT needs :authority";
  }
  if (!there.scheme) return "there is no :scheme";
  if (!there.path) return "there is no :path";
  return "";
}

// A dictionary of RFC 8941 §3.2, of which two members count; parameters and members that we do not know pass.
std::optional<Priority> parse_priority(std::string_view value) {
  Priority said;
  bool good = for_each_element(value, [&](std::string_view member) {
    std::string_view bare = trim(member.substr(0, member.find(';')));
    if (bare == "i" || bare == "i=?1") {
      said.incremental = true;
    } else if (bare == "i=?0") {
      said.incremental = false;
    } else if (bare.starts_with("u=")) {
      bool digit = bare.size() == 3 && bare[2] >= '0' && bare[2] <= '7';
      if (!digit) return false;
      said.urgency = bare[2] - '0';
    }
    return true;
  });
  if (!good) return std::nullopt;
  return said;
}

}  // namespace portloom::http
