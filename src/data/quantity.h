// data/quantity.h
//
// The small value types that a configuration is made of: sizes, shares, addresses, secrets, named things. Each is read
// from text with its unit and written back the same way. Durations are in base/.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/duration.h"

namespace portloom::data {

// Bytes: "64KiB", "10MB", "512B". Binary units KiB MiB GiB TiB, decimal ones kB KB MB GB TB.
struct Size {
  uint64_t bytes = 0;
  auto operator<=>(const Size&) const = default;
};
std::optional<Size> parse_size(std::string_view text);
std::string format_size(Size size);

// A share: "5%" is 0.05. Never negative; may exceed 1 where that has a meaning.
struct Percent {
  double fraction = 0;
  auto operator<=>(const Percent&) const = default;
};
std::optional<Percent> parse_percent(std::string_view text);
std::string format_percent(Percent percent);

// host:port, "[::1]:8443", ":8080" (every address, both families) or unix:/path. The host is a name or an address
// without brackets; names are resolved by whoever connects.
struct Address {
  std::string host;  // empty: every address
  uint16_t port = 0;
  std::string unix_path;  // not empty: a Unix socket, and host and port have no meaning
  bool is_unix() const { return !unix_path.empty(); }
  // Reachable from this machine only: 127.0.0.0/8, ::1, localhost, a Unix socket.
  bool is_loopback() const;
  std::string text() const;
  bool operator==(const Address&) const = default;
};
std::optional<Address> parse_address(std::string_view text);

// Where a secret is: {file: } or {env: }, never the secret itself.
struct Secret {
  enum class Source : uint8_t { none, file, env };
  Source source = Source::none;
  std::string name;  // the path, or the variable
  bool operator==(const Secret&) const = default;
};

// Things with names, in the order written.
template <class T>
class Named {
 public:
  using value_type = std::pair<std::string, T>;
  const T* find(std::string_view name) const {
    for (const value_type& entry : entries_)
      if (entry.first == name) return &entry.second;
    return nullptr;
  }
  T& add(std::string_view name) { return entries_.emplace_back(std::string(name), T{}).second; }
  void clear() { entries_.clear(); }
  size_t size() const { return entries_.size(); }
  bool empty() const { return entries_.empty(); }
  const value_type& operator[](size_t index) const { return entries_[index]; }
  auto begin() const { return entries_.begin(); }
  auto end() const { return entries_.end(); }
  auto begin() { return entries_.begin(); }
  auto end() { return entries_.end(); }
  std::vector<std::string_view> names() const {
    std::vector<std::string_view> names;
    for (const value_type& entry : entries_) names.push_back(entry.first);
    return names;
  }

 private:
  std::vector<value_type> entries_;
};

// "10.0.0.0/8", "::1", "2001:db8::/32": an address or a range of them, for rules::valid.
bool is_network(std::string_view text);
// A field name by RFC 9110 §5.1 (token), for rules::valid.
bool is_header_name(std::string_view text);

}  // namespace portloom::data
