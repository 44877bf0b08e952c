// http/hop_by_hop.cpp
//
// Every field that names.def knows, but for the hop-by-hop ones, is for all recipients; a Connection that names one breaks
// RFC 9110 §7.6.1 and is not followed. For other names a few prefixes are ours.
#include "http/hop_by_hop.h"

#include <array>

#include "base/text.h"
#include "http/framing.h"
#include "http/grammar.h"

namespace portloom::http {

namespace {

constexpr NameSet hop_fields{Name::connection,        Name::keep_alive,          Name::proxy_connection,   Name::te,
                             Name::transfer_encoding, Name::proxy_authorization, Name::proxy_authenticate, Name::http2_settings};

constexpr size_t options_max = 64;  // framing.cpp refuses heads with more

constexpr std::string_view protected_prefixes[] = {"x-forwarded-", "content-", "access-control-", "sec-websocket-", "grpc-", "x-portloom-"};

bool begins_with(std::string_view name, std::string_view prefix) {
  return name.size() >= prefix.size() && equals_ignoring_case(name.substr(0, prefix.size()), prefix);
}

}  // namespace

bool is_protected(Name id, std::string_view name) {
  if (id != Name::other) return !hop_fields.contains(id) && id != Name::upgrade;
  for (std::string_view prefix : protected_prefixes)
    if (begins_with(name, prefix)) return true;
  return false;
}

HopByHop strip_hop_by_hop(Headers& headers, bool keep_upgrade) {
  HopByHop said;
  said.te_trailers = list_contains(headers, Name::te, "trailers");
  NameSet gone = hop_fields;
  if (!keep_upgrade) gone.insert(Name::upgrade);
  // Few connections name anything but known options. Collected first: removing moves the index that is being walked, not the text.
  std::array<std::string_view, options_max> named;
  size_t count = 0;
  headers.for_each(Name::connection, [&](std::string_view list) {
    for_each_element(list, [&](std::string_view option) {
      if (name_of_field(option) != Name::other || equals_ignoring_case(option, "close") || is_protected(Name::other, option)) return true;
      if (count == options_max) return false;
      named[count++] = option;
      return true;
    });
  });
  for (size_t i = 0; i < count; ++i) headers.remove(named[i]);
  headers.remove_all(gone);
  return said;
}

}  // namespace portloom::http
