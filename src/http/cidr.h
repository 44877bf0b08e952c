// http/cidr.h
//
// IP addresses and blocks of them, as forwarding and access rules compare them. IPv4 in IPv6 (::ffff:1.2.3.4) is IPv4.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace portloom::http {

struct Address {
  std::array<uint8_t, 16> bytes{};  // IPv4 in the last four, behind ::ffff:
  static Address v4(uint32_t host_order);
  // "192.0.2.1" or "2001:db8::1"; no brackets, no port, no zone, no leading zeros.
  static std::optional<Address> parse(std::string_view text);
  bool is_v4() const;
  // Canonical (RFC 5952).
  std::string text() const;
  auto operator<=>(const Address&) const = default;
};

struct Cidr {
  Address network;
  uint8_t bits = 128;  // 96 + n for IPv4
  // "10.0.0.0/8", "2001:db8::/32" or a single address; host bits must be zero.
  static std::optional<Cidr> parse(std::string_view text);
  bool contains(const Address& address) const;
};

class CidrSet {
 public:
  CidrSet() = default;
  explicit CidrSet(std::vector<Cidr> blocks) : blocks_(std::move(blocks)) {}
  void add(const Cidr& block) { blocks_.push_back(block); }
  bool contains(const Address& address) const;
  bool empty() const { return blocks_.empty(); }

 private:
  std::vector<Cidr> blocks_;
};

}  // namespace portloom::http
