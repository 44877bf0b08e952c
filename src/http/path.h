// http/path.h
//
// One normal form for request paths, made before routing and sent upstream, so that what was matched is what is served.
// Costs nothing when the path is already normal, as most are.
#pragma once

#include <string_view>

#include "base/bytes.h"
#include "base/error.h"

namespace portloom::http {

struct Target {
  std::string_view text;  // path, and "?" and query if there is one
  std::string_view path;
  std::string_view query;  // byte for byte as given
  bool has_query = false;
  bool changed = false;  // the views point into `owned`, else into the argument
  Bytes owned;
};

// `target` is origin-form. Percent-escapes of unreserved characters are decoded, other escapes get upper-case digits (RFC 3986
// §6.2.2), "%2F" stays; dot segments, also written %2e, are removed (§5.2.4: "/.." of the root stays at the root);
// repeated slashes become one; ";" parameters are untouched.
// bad_request: no leading "/", a bad escape, an escaped control character (%00 to %1F, %7F), raw controls, spaces or "#".
Result<Target> normalize(std::string_view target);

}  // namespace portloom::http
