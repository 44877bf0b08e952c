// http/cidr.cpp
//
// Addresses are compared as 128-bit numbers; IPv4 lies in ::ffff:0:0/96.
#include "http/cidr.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <cstring>

#include "base/text.h"

namespace portloom::http {

namespace {

constexpr size_t v4_at = 12;
constexpr unsigned v4_bits = 96;

// The inet functions want a terminated text.
bool terminated(std::string_view text, char (&buffer)[INET6_ADDRSTRLEN]) {
  if (text.empty() || text.size() >= sizeof buffer || text.find('\0') != std::string_view::npos) return false;
  std::memcpy(buffer, text.data(), text.size());
  buffer[text.size()] = '\0';
  return true;
}

bool same_prefix(const Address& a, const Address& b, unsigned bits) {
  unsigned whole = bits / 8;
  if (std::memcmp(a.bytes.data(), b.bytes.data(), whole) != 0) return false;
  if (bits % 8 == 0) return true;
  int mask = 0xff00 >> (bits % 8) & 0xff;
  return ((a.bytes[whole] ^ b.bytes[whole]) & mask) == 0;
}

}  // namespace

Address Address::v4(uint32_t host_order) {
  Address address;
  address.bytes[10] = address.bytes[11] = 0xff;
  for (size_t i = 0; i < 4; ++i) address.bytes[v4_at + i] = static_cast<uint8_t>(host_order >> (24 - 8 * i));
  return address;
}

std::optional<Address> Address::parse(std::string_view text) {
  char buffer[INET6_ADDRSTRLEN];
  if (!terminated(text, buffer)) return std::nullopt;
  in_addr four;
  if (inet_pton(AF_INET, buffer, &four) == 1) return v4(ntohl(four.s_addr));
  Address address;
  if (inet_pton(AF_INET6, buffer, address.bytes.data()) != 1) return std::nullopt;
  return address;
}

bool Address::is_v4() const {
  static constexpr uint8_t mapped[v4_at] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  return std::memcmp(bytes.data(), mapped, sizeof mapped) == 0;
}

std::string Address::text() const {
  if (is_v4()) {  // inet_ntop prints by format, which each request would pay for
    std::string text;
    for (size_t i = v4_at; i < bytes.size(); ++i) {
      if (i != v4_at) text.push_back('.');
      append_number(text, bytes[i]);
    }
    return text;
  }
  char buffer[INET6_ADDRSTRLEN];
  inet_ntop(AF_INET6, bytes.data(), buffer, sizeof buffer);
  return buffer;
}

std::optional<Cidr> Cidr::parse(std::string_view text) {
  size_t slash = text.find('/');
  std::optional<Address> address = Address::parse(text.substr(0, slash));
  if (!address) return std::nullopt;
  if (slash == std::string_view::npos) return Cidr{*address, 128};
  std::optional<uint64_t> bits = parse_number(text.substr(slash + 1));
  bool written_as_v4 = text.find(':') == std::string_view::npos;
  if (!bits || *bits > (written_as_v4 ? 32 : 128)) return std::nullopt;
  Cidr block{*address, static_cast<uint8_t>(*bits + (written_as_v4 ? v4_bits : 0))};
  for (unsigned bit = block.bits; bit < 128; ++bit)
    if ((block.network.bytes[bit / 8] >> (7 - bit % 8) & 1) != 0) return std::nullopt;
  return block;
}

bool Cidr::contains(const Address& address) const {
  // ::/0 means every IPv6 address, not the IPv4 ones that we keep inside it.
  if (bits < v4_bits && address.is_v4()) return false;
  return same_prefix(network, address, bits);
}

bool CidrSet::contains(const Address& address) const {
  for (const Cidr& block : blocks_)
    if (block.contains(address)) return true;
  return false;
}

}  // namespace portloom::http
