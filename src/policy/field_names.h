// policy/field_names.h
//
// Which header fields a configuration may name. Those that frame a message, belong to one connection, or say who forwarded
// it are written by the gateway itself: a policy that changed them could smuggle or lie.
#pragma once

#include <string_view>

namespace portloom::policy {

// A field name (RFC 9110 §5.1) that is none of those. For rules::valid, with changeable_field_name.
bool is_changeable_field(std::string_view name);
inline constexpr std::string_view changeable_field_name =
    "a header field that is not the gateway's own (framing, connection, Host, forwarding)";

}  // namespace portloom::policy
