// data/quantity.cpp
//
// Quantities as text.
#include "data/quantity.h"

#include <arpa/inet.h>

#include <charconv>
#include <cmath>

#include "base/text.h"

namespace portloom::data {
namespace {

struct SizeUnit {
  std::string_view name;
  uint64_t bytes;
};
// Largest first within each family; formatting prefers binary.
constexpr SizeUnit size_units[] = {
    {"TiB", 1ULL << 40},   {"GiB", 1ULL << 30}, {"MiB", 1ULL << 20}, {"KiB", 1ULL << 10}, {"TB", 1'000'000'000'000},
    {"GB", 1'000'000'000}, {"MB", 1'000'000},   {"KB", 1'000},       {"kB", 1'000},       {"B", 1}};

std::optional<uint16_t> parse_port(std::string_view text) {
  auto number = parse_number(text);
  if (!number || *number > 65535 || text.size() > 5) return std::nullopt;
  return static_cast<uint16_t>(*number);
}

bool is_ip(std::string_view text, int family) {
  unsigned char bytes[16];
  return inet_pton(family, std::string(text).c_str(), bytes) == 1 && text.find('\0') == std::string_view::npos;
}

bool is_host(std::string_view text) {
  if (text.empty() || text.size() > 253) return false;
  for (char c : text)
    if (!is_alpha(c) && !is_digit(c) && c != '-' && c != '.' && c != '_') return false;
  return text.front() != '.' && text.front() != '-';
}

}  // namespace

std::optional<Size> parse_size(std::string_view text) {
  size_t digits = 0;
  while (digits < text.size() && is_digit(text[digits])) ++digits;
  auto number = parse_number(text.substr(0, digits));
  if (!number) return std::nullopt;
  for (const SizeUnit& unit : size_units) {
    if (unit.name != text.substr(digits)) continue;
    constexpr uint64_t most = static_cast<uint64_t>(INT64_MAX);
    if (*number > most / unit.bytes) return std::nullopt;
    return Size{*number * unit.bytes};
  }
  return std::nullopt;
}

std::string format_size(Size size) {
  if (size.bytes == 0) return "0B";
  for (const SizeUnit& unit : size_units)
    if (size.bytes % unit.bytes == 0) return std::to_string(size.bytes / unit.bytes) + std::string(unit.name);
  return std::to_string(size.bytes) + "B";
}

std::optional<Percent> parse_percent(std::string_view text) {
  if (text.size() < 2 || text.back() != '%' || !is_digit(text.front())) return std::nullopt;
  text.remove_suffix(1);
  double number = 0;
  auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
  if (fault != std::errc{} || end != text.data() + text.size() || number > 1e6) return std::nullopt;
  return Percent{number / 100};
}

std::string format_percent(Percent percent) {
  char digits[32];
  auto [end, fault] = std::to_chars(digits, digits + sizeof digits, percent.fraction * 100, std::chars_format::general, 12);
  return std::string(digits, end) + "%";
}

std::optional<Address> parse_address(std::string_view text) {
  Address address;
  if (text.starts_with("unix:")) {
    address.unix_path = text.substr(5);
    // sockaddr_un holds 107 bytes and the terminating zero
    if (address.unix_path.empty() || address.unix_path.size() > 107 || address.unix_path.find('\0') != std::string::npos)
      return std::nullopt;
    return address;
  }
  size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  auto port = parse_port(text.substr(colon + 1));
  std::string_view host = text.substr(0, colon);
  if (!port) return std::nullopt;
  address.port = *port;
  if (host.empty()) return address;
  if (host.front() == '[') {
    if (host.size() < 3 || host.back() != ']' || !is_ip(host.substr(1, host.size() - 2), AF_INET6)) return std::nullopt;
    address.host = host.substr(1, host.size() - 2);
    return address;
  }
  if (!is_host(host)) return std::nullopt;
  address.host = host;
  return address;
}

bool Address::is_loopback() const {
  if (is_unix()) return true;
  if (host == "localhost" || host == "::1") return true;
  return host.starts_with("127.") && is_ip(host, AF_INET);
}

std::string Address::text() const {
  if (is_unix()) return "unix:" + unix_path;
  std::string text = host.find(':') == std::string::npos ? host : "[" + host + "]";
  text += ':';
  append_number(text, port);
  return text;
}

bool is_network(std::string_view text) {
  size_t slash = text.find('/');
  std::string_view address = text.substr(0, slash);
  bool four = is_ip(address, AF_INET);
  if (!four && !is_ip(address, AF_INET6)) return false;
  if (slash == std::string_view::npos) return true;
  auto bits = parse_number(text.substr(slash + 1));
  return bits && *bits <= (four ? 32U : 128U);
}

bool is_header_name(std::string_view text) {
  static constexpr std::string_view others = "!#$%&'*+-.^_`|~";  // tchar
  for (char c : text)
    if (!is_alpha(c) && !is_digit(c) && others.find(c) == std::string_view::npos) return false;
  return !text.empty();
}

}  // namespace portloom::data
