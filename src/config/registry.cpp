// config/registry.cpp
//
// What the registry's keys may say together.
#include "config/registry.h"

#include "base/text.h"

namespace portloom::config {

bool is_origin(std::string_view text) {
  if (text.starts_with("http://"))
    text.remove_prefix(7);
  else if (text.starts_with("https://"))
    text.remove_prefix(8);
  else
    return false;
  if (text.ends_with('/')) text.remove_suffix(1);
  if (text.empty() || text.find_first_of("/?#@ ") != std::string_view::npos) return false;
  bool has_port = text.rfind(':') != std::string_view::npos && text.rfind(':') + 1 > text.rfind(']') + 1;
  std::optional<Address> address = data::parse_address(has_port ? std::string(text) : std::string(text) + ":80");
  return address && !address->is_unix() && !address->host.empty() && address->port != 0;
}

void RegistryPlace::check(data::Checker& checker) const {
  bool has_token = token.source != data::Secret::Source::none;
  if (here()) {
    if (!ca.empty()) checker.error("ca", "without `url` nobody looks at `ca`");
    if (port && address) checker.error("address", "the registry has `port` or `address`, not both");
    if (!has_token && !bind().is_loopback())
      checker.error(port ? "port" : "address", "whoever can connect could register instances", "write token: {file: PATH}");
    return;
  }
  if (port || address) checker.error(port ? "port" : "address", "the registry is at `url` or in this process, not both");
  if (has_token) checker.error("token", "a gateway that follows a registry shows no token", "`portloom register` takes it");
  if (!ca.empty() && !url.starts_with("https://")) checker.error("ca", "a `ca` needs an https `url`");
}

}  // namespace portloom::config
