// io/proxy_protocol.cpp
//
// Strict where a lie could hide: the spelling of numbers, lengths, unassigned values and the checksum.
#include "io/proxy_protocol.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstring>

#include "base/text.h"

namespace portloom::io {
namespace {

using State = ProxyHeader::State;

constexpr std::string_view signature("\r\n\r\n\0\r\nQUIT\n", 12);
constexpr std::string_view word = "PROXY ";
constexpr size_t line_max = 107;  // with CRLF
constexpr size_t fixed_bytes = 16;
constexpr uint8_t tlv_crc32c = 3;

ProxyHeader invalid(std::string_view fault) { return {.state = State::invalid, .fault = fault}; }

Address address_of(int family, std::string_view ip, uint16_t port) {
  if (family == AF_INET) {
    sockaddr_in in{};
    in.sin_family = AF_INET;
    in.sin_port = htons(port);
    std::memcpy(&in.sin_addr, ip.data(), 4);
    return Address::from(reinterpret_cast<sockaddr*>(&in), sizeof in);
  }
  sockaddr_in6 in{};
  in.sin6_family = AF_INET6;
  in.sin6_port = htons(port);
  std::memcpy(&in.sin6_addr, ip.data(), 16);
  return Address::from(reinterpret_cast<sockaddr*>(&in), sizeof in);
}

// ---- Version 1: a line of text (§2.1) ----

// The text up to the next space, or the rest of the line; false when it is empty.
bool take_word(std::string_view& line, std::string_view& taken) {
  size_t space = line.find(' ');
  taken = line.substr(0, space);
  line = space == std::string_view::npos ? std::string_view{} : line.substr(space + 1);
  return !taken.empty();
}

bool read_ip(int family, std::string_view text, std::string& ip) {
  ip.resize(16);
  return inet_pton(family, std::string(text).c_str(), ip.data()) == 1;  // no leading zeros, no short forms
}

bool read_port(std::string_view text, uint16_t& port) {
  if (text.size() > 5 || (text.size() > 1 && text.front() == '0')) return false;
  std::optional<uint64_t> number = parse_number(text);
  if (!number || *number > 65535) return false;
  port = static_cast<uint16_t>(*number);
  return true;
}

ProxyHeader read_line(std::string_view input) {
  size_t end = input.substr(0, line_max).find('\n');
  if (end == std::string_view::npos) {
    if (input.size() >= line_max) return invalid("the line is too long");
    return {};
  }
  if (end == 0 || input[end - 1] != '\r') return invalid("the line does not end in CRLF");
  ProxyHeader header{.state = State::complete, .bytes = end + 1};
  std::string_view line = input.substr(word.size(), end - 1 - word.size());
  if (line.find('\r') != std::string_view::npos) return invalid("a CR within the line");
  std::string_view family_name;
  take_word(line, family_name);
  if (family_name == "UNKNOWN") return header;  // whatever else it says is to be ignored
  if (family_name != "TCP4" && family_name != "TCP6") return invalid("neither TCP4 nor TCP6 nor UNKNOWN");
  int family = family_name == "TCP4" ? AF_INET : AF_INET6;
  std::string_view words[4];
  for (std::string_view& one : words)
    if (!take_word(line, one)) return invalid("an address or a port is missing");
  uint16_t ports[2];
  if (!line.empty() || words[3].data() + words[3].size() != input.data() + end - 1) return invalid("more than two addresses and ports");
  std::string ips[2];
  for (size_t i = 0; i < 2; ++i) {
    if (!read_ip(family, words[i], ips[i])) return invalid("not an address of that family");
    if (!read_port(words[i + 2], ports[i])) return invalid("not a port");
  }
  header.has_addresses = true;
  header.source = address_of(family, ips[0], ports[0]);
  header.destination = address_of(family, ips[1], ports[1]);
  return header;
}

// ---- Version 2: binary (§2.2) ----

uint8_t byte_at(std::string_view bytes, size_t at) { return static_cast<uint8_t>(bytes[at]); }
uint16_t word_at(std::string_view bytes, size_t at) { return static_cast<uint16_t>(byte_at(bytes, at) << 8 | byte_at(bytes, at + 1)); }

// Of the whole header, with the four bytes at `hole` taken as zeros (RFC 9260, appendix A).
uint32_t crc32c(std::string_view bytes, size_t hole) {
  uint32_t crc = ~uint32_t{0};
  for (size_t i = 0; i < bytes.size(); ++i) {
    crc ^= i - hole < 4 ? uint8_t{0} : byte_at(bytes, i);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82f63b78u : 0u);
  }
  return ~crc;
}

// What stands behind the addresses; empty when it is well-formed and its checksum, if there is one, is right.
std::string_view fault_of_tlvs(std::string_view header, size_t at) {
  while (at < header.size()) {
    if (header.size() - at < 3) return "a TLV is cut off";
    size_t length = word_at(header, at + 1);
    if (header.size() - at - 3 < length) return "a TLV is longer than the header";
    if (byte_at(header, at) == tlv_crc32c) {
      if (length != 4) return "the checksum has not four bytes";
      uint32_t said = uint32_t{word_at(header, at + 3)} << 16 | word_at(header, at + 5);
      if (crc32c(header, at + 3) != said) return "the checksum is wrong";
    }
    at += 3 + length;
  }
  return {};
}

ProxyHeader read_binary(std::string_view input) {
  if (input.size() > 12 && (byte_at(input, 12) >> 4) != 2) return invalid("not version 2");
  if (input.size() > 12 && (byte_at(input, 12) & 15) > 1) return invalid("neither LOCAL nor PROXY");
  if (input.size() < fixed_bytes) return {};
  size_t bytes = fixed_bytes + word_at(input, 14);
  if (bytes > proxy_header_max) return invalid("the header is too long");
  bool local = (byte_at(input, 12) & 15) == 0;
  unsigned family = byte_at(input, 13) >> 4;
  unsigned transport = byte_at(input, 13) & 15;
  if (!local && (family > 3 || transport > 2)) return invalid("an address family or protocol that is not assigned");
  if (input.size() < bytes) return {};
  ProxyHeader header{.state = State::complete, .bytes = bytes};
  if (local || family == 0 || transport == 0) return header;  // what follows is skipped: its form is not known
  constexpr size_t sizes[] = {0, 12, 36, 216};
  std::string_view whole = input.substr(0, bytes);
  if (bytes - fixed_bytes < sizes[family]) return invalid("the header is too short for its addresses");
  if (std::string_view fault = fault_of_tlvs(whole, fixed_bytes + sizes[family]); !fault.empty()) return invalid(fault);
  if (family == 3 || transport != 1) return header;  // a Unix socket has no address that could be shown; a datagram is no connection
  size_t ip = family == 1 ? 4 : 16;
  int native = family == 1 ? AF_INET : AF_INET6;
  header.has_addresses = true;
  header.source = address_of(native, whole.substr(fixed_bytes, ip), word_at(whole, fixed_bytes + 2 * ip));
  header.destination = address_of(native, whole.substr(fixed_bytes + ip, ip), word_at(whole, fixed_bytes + 2 * ip + 2));
  return header;
}

bool same_ip_family(const Address& a, const Address& b) {
  return a.family() == b.family() && (a.family() == AF_INET || a.family() == AF_INET6);
}

void append_word(std::string& to, uint16_t number) {
  to += static_cast<char>(number >> 8);
  to += static_cast<char>(number & 255);
}

}  // namespace

ProxyHeader read_proxy_header(std::string_view input) {
  if (input.empty()) return {};
  if (input.starts_with(word.substr(0, input.size()))) return input.size() < word.size() ? ProxyHeader{} : read_line(input);
  if (input.starts_with(signature.substr(0, input.size()))) return input.size() < signature.size() ? ProxyHeader{} : read_binary(input);
  return invalid("no PROXY header");
}

std::string write_proxy_header(ProxyVersion version, const Address& source, const Address& destination) {
  bool known = same_ip_family(source, destination);
  if (version == ProxyVersion::v1) {
    if (!known) return "PROXY UNKNOWN\r\n";
    return std::string("PROXY ") + (source.family() == AF_INET ? "TCP4 " : "TCP6 ") + source.host() + ' ' + destination.host() + ' ' +
           std::to_string(source.port()) + ' ' + std::to_string(destination.port()) + "\r\n";
  }
  std::string header(signature);
  header += known ? '\x21' : '\x20';
  if (!known) return header + std::string(3, '\0');
  bool v4 = source.family() == AF_INET;
  size_t ip = v4 ? 4 : 16;
  header += v4 ? '\x11' : '\x21';
  append_word(header, static_cast<uint16_t>(2 * ip + 4));
  for (const Address* one : {&source, &destination}) header.append(reinterpret_cast<const char*>(one->ip().data()), ip);
  append_word(header, source.port());
  append_word(header, destination.port());
  return header;
}

}  // namespace portloom::io
