// config/dns.cpp
//
// What a name in DNS may be.
#include "config/dns.h"

#include "base/text.h"
#include "data/quantity.h"

namespace portloom::config {

bool is_srv_name(std::string_view text) {
  if (text.ends_with('.')) text.remove_suffix(1);
  if (text.empty() || text.size() > 253 || text.find('.') == std::string_view::npos) return false;
  size_t label = 0;
  for (char c : text) {
    if (c != '.' && !is_alpha(c) && !is_digit(c) && c != '-' && c != '_') return false;
    if (c == '.' && label == 0) return false;
    label = c == '.' ? 0 : label + 1;
    if (label > 63) return false;
  }
  return label > 0;
}

void DnsPlace::check(data::Checker& checker) const {
  bool has_address = checker.written("address") || !address.host.empty() || address.is_unix();
  if (has_address && !srv.empty()) checker.error("srv", "a name has `address` or `srv`, not both");
  if (!has_address && srv.empty()) checker.error("", "nothing is asked for", "write dns: name:port, or dns: {srv: _http._tcp.name}");
  if (!has_address) return;
  bool name = !address.is_unix() && !address.host.empty() && !data::is_network(address.host);
  if (!name) checker.error("address", address.text() + " is no host name", "write endpoints: [\"" + address.text() + "\"]");
  if (name && address.port == 0) checker.error("address", "an endpoint needs a port from 1 to 65535");
}

}  // namespace portloom::config
