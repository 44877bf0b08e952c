// config/etcd.cpp
//
// What etcd's keys may say together.
#include "config/etcd.h"

#include <algorithm>

namespace portloom::config {

bool is_etcd_path(std::string_view text) {
  bool printable = std::ranges::all_of(text, [](char c) { return c > 0x20 && c < 0x7f; });
  return printable && text.size() > 1 && text.size() <= 256 && text.starts_with('/') && !text.ends_with('/') &&
         text.find("//") == std::string_view::npos;
}

void EtcdPlace::check(data::Checker& checker) const {
  bool has_password = password.source != data::Secret::Source::none;
  bool has_key = key.source != data::Secret::Source::none;
  if (has_password && username.empty()) checker.error("password", "nobody logs in without `username`");
  if (!has_password && !username.empty()) checker.error("username", "a user needs `password`", "write password: {file: PATH}");
  bool secure = std::ranges::any_of(endpoints, [](const std::string& one) { return one.starts_with("https://"); });
  if (!secure && !ca.empty()) checker.error("ca", "a `ca` needs an https endpoint");
  if (!secure && !cert.empty()) checker.error("cert", "a `cert` needs an https endpoint");
  if (has_key && cert.empty()) checker.error("key", "a `key` belongs to a `cert`");
  if (!has_key && !cert.empty()) checker.error("cert", "a `cert` needs its `key`", "write key: {file: PATH}");
}

}  // namespace portloom::config
