// Tests of io/proxy_protocol: a table of headers and what they mean, each whole and at every length before.
#include "io/proxy_protocol.h"

#include <gtest/gtest.h>

namespace portloom::io {
namespace {

using State = ProxyHeader::State;
using namespace std::string_literals;  // NOLINT: texts with zeros in them

const std::string signature = "\r\n\r\n\0\r\nQUIT\n"s;
const std::string four = "\xc0\x00\x02\x01\xc6\x33\x64\x02\x9c\x40\x01\xbb"s;  // 192.0.2.1:40000 to 198.51.100.2:443

std::string binary(char command, char family, const std::string& rest) {
  return signature + command + family + static_cast<char>(rest.size() >> 8) + static_cast<char>(rest.size() & 255) + rest;
}

struct Good {
  std::string header;
  std::string source;  // "": the connection's own counts
  std::string destination;
};

const std::vector<Good>& good_headers() {
  static const std::vector<Good> table = {
      {"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n", "192.168.0.1:56324", "192.168.0.11:443"},  // the specification's own
      {"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", "255.255.255.255:65535", "255.255.255.255:65535"},
      {"PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n", "0.0.0.0:0", "0.0.0.0:0"},
      {"PROXY TCP6 2001:db8::1 2001:DB8::2 1 2\r\n", "[2001:db8::1]:1", "[2001:db8::2]:2"},
      {"PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
       "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535", "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"},
      {"PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n", "192.0.2.1:1", "[::1]:2"},  // one client, one spelling
      {"PROXY UNKNOWN\r\n", "", ""},
      {"PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n", "", ""},
      {"PROXY UNKNOWN any thing at all\r\n", "", ""},
      {binary('\x21', '\x11', four), "192.0.2.1:40000", "198.51.100.2:443"},
      {binary('\x21', '\x21', "\x20\x01\x0d\xb8"s + std::string(11, '\0') + "\x01" + std::string(15, '\0') + "\x01" + "\x00\x07\x00\x08"s),
       "[2001:db8::1]:7", "[::1]:8"},
      {binary('\x21', '\x11', four + "\x04\x00\x03pad"s + "\x20\x00\x00"s), "192.0.2.1:40000", "198.51.100.2:443"},
      {binary('\x21', '\x11', four + "\x03\x00\x04"s + "\x4d\x20\xd6\x09"), "192.0.2.1:40000", "198.51.100.2:443"},
      {binary('\x20', '\x00', ""), "", ""},
      {binary('\x20', '\x11', four), "", ""},                   // LOCAL: the block is skipped
      {binary('\x20', '\xff', "nonsense"), "", ""},             // and its family ignored
      {binary('\x21', '\x00', "nonsense"), "", ""},             // UNSPEC
      {binary('\x21', '\x12', four), "", ""},                   // UDP
      {binary('\x21', '\x31', std::string(216, 'u')), "", ""},  // a Unix socket
  };
  return table;
}

TEST(ProxyProtocol, ReadsWholeAndByteByByte) {
  for (const Good& good : good_headers()) {
    for (size_t size = 0; size < good.header.size(); ++size)
      EXPECT_EQ(static_cast<int>(read_proxy_header(std::string_view(good.header).substr(0, size)).state), static_cast<int>(State::partial))
          << good.header << " at " << size;
    for (const std::string& behind : {std::string(), "GET / HTTP/1.1\r\n"s}) {
      std::string input = good.header + behind;
      ProxyHeader header = read_proxy_header(input);
      ASSERT_EQ(static_cast<int>(header.state), static_cast<int>(State::complete)) << good.header << ": " << header.fault;
      EXPECT_EQ(header.bytes, good.header.size());
      EXPECT_EQ(header.has_addresses, !good.source.empty()) << good.header;
      if (!header.has_addresses) continue;
      EXPECT_EQ(header.source.text(), good.source);
      EXPECT_EQ(header.destination.text(), good.destination);
    }
  }
}

// The shortest beginning that is refused, and why.
std::string refused(const std::string& input) {
  for (size_t size = 0; size <= input.size(); ++size) {
    ProxyHeader header = read_proxy_header(std::string_view(input).substr(0, size));
    if (header.state == State::complete) return "accepted";
    if (header.state == State::invalid) {
      EXPECT_EQ(static_cast<int>(read_proxy_header(input).state), static_cast<int>(State::invalid)) << "only byte by byte: " << input;
      return std::string(header.fault);
    }
  }
  return "still waiting";
}

TEST(ProxyProtocol, RefusesWhatIsNone) {
  for (const std::string& input : {"GET / HTTP/1.1\r\n"s, "proxy TCP4 1.1.1.1 1.1.1.1 1 1\r\n"s, "PROXYTCP4"s, " PROXY"s, "\x16\x03\x01"s,
                                   "\r\n\r\nGET"s, "\r\n\r\n\0\r\nQUIX\n"s, "\0"s})
    EXPECT_EQ(refused(input), "no PROXY header") << input;
}

TEST(ProxyProtocol, RefusesWrongLines) {
  const std::pair<std::string, std::string> table[] = {
      {"PROXY TCP5 1.1.1.1 1.1.1.1 1 1\r\n", "neither TCP4 nor TCP6 nor UNKNOWN"},
      {"PROXY  TCP4 1.1.1.1 1.1.1.1 1 1\r\n", "neither TCP4 nor TCP6 nor UNKNOWN"},
      {"PROXY tcp4 1.1.1.1 1.1.1.1 1 1\r\n", "neither TCP4 nor TCP6 nor UNKNOWN"},
      {"PROXY \r\n", "neither TCP4 nor TCP6 nor UNKNOWN"},
      {"PROXY UNKNOWNX\r\n", "neither TCP4 nor TCP6 nor UNKNOWN"},
      {"PROXY TCP4\r\n", "an address or a port is missing"},
      {"PROXY TCP4 1.1.1.1 1.1.1.1 1\r\n", "an address or a port is missing"},
      {"PROXY TCP4 1.1.1.1  1.1.1.1 1 1\r\n", "an address or a port is missing"},
      {"PROXY TCP4 1.1.1.1 1.1.1.1 1 1 \r\n", "more than two addresses and ports"},
      {"PROXY TCP4 1.1.1.1 1.1.1.1 1 1 1\r\n", "more than two addresses and ports"},
      {"PROXY TCP4 ::1 ::1 1 1\r\n", "not an address of that family"},
      {"PROXY TCP6 1.1.1.1 1.1.1.1 1 1\r\n", "not an address of that family"},
      {"PROXY TCP4 01.1.1.1 1.1.1.1 1 1\r\n", "not an address of that family"},
      {"PROXY TCP4 1.1.1 1.1.1.1 1 1\r\n", "not an address of that family"},
      {"PROXY TCP4 256.1.1.1 1.1.1.1 1 1\r\n", "not an address of that family"},
      {"PROXY TCP4 1.1.1.1 1.1.1.1 65536 1\r\n", "not a port"},
      {"PROXY TCP4 1.1.1.1 1.1.1.1 1 080\r\n", "not a port"},
      {"PROXY TCP4 1.1.1.1 1.1.1.1 +1 1\r\n", "not a port"},
      {"PROXY TCP4 1.1.1.1 1.1.1.1 1 -1\r\n", "not a port"},
      {"PROXY TCP4 1.1.1.1 1.1.1.1 1 1\n", "the line does not end in CRLF"},
      {"PROXY TCP4 1.1.1.1\r1.1.1.1 1 1\r\n", "a CR within the line"},
      {"PROXY UNKNOWN " + std::string(200, 'x') + "\r\n", "the line is too long"},
  };
  for (const auto& [input, fault] : table) EXPECT_EQ(refused(input), fault) << input;
}

TEST(ProxyProtocol, RefusesWrongBinaryHeaders) {
  const std::pair<std::string, std::string> table[] = {
      {binary('\x11', '\x11', four), "not version 2"},
      {binary('\x31', '\x11', four), "not version 2"},
      {binary('\x22', '\x11', four), "neither LOCAL nor PROXY"},
      {binary('\x21', '\x41', four), "an address family or protocol that is not assigned"},
      {binary('\x21', '\x13', four), "an address family or protocol that is not assigned"},
      {binary('\x21', '\x11', four.substr(1)), "the header is too short for its addresses"},
      {binary('\x21', '\x21', four), "the header is too short for its addresses"},
      {binary('\x21', '\x11', four + "\x04\x00"s), "a TLV is cut off"},
      {binary('\x21', '\x11', four + "\x04\x00\x02x"s), "a TLV is longer than the header"},
      {binary('\x21', '\x11', four + "\x03\x00\x04"s + "\x4d\x20\xd6\x08"), "the checksum is wrong"},
      {binary('\x21', '\x11', four + "\x03\x00\x02xx"s), "the checksum has not four bytes"},
      {binary('\x21', '\x11', four + std::string(5000, 'x')), "the header is too long"},
      {binary('\x20', '\x00', std::string(5000, 'x')), "the header is too long"},
  };
  for (const auto& [input, fault] : table) EXPECT_EQ(refused(input), fault);
}

TEST(ProxyProtocol, WhatIsWrittenIsReadBack) {
  Address v4 = *Address::parse("192.0.2.1:40000");
  Address v6 = *Address::parse("[2001:db8::1]:65535");
  for (ProxyVersion version : {ProxyVersion::v1, ProxyVersion::v2}) {
    for (const auto& [from, to] : {std::pair{v4, *Address::parse("198.51.100.2:443")}, {v6, *Address::parse("[::1]:0")}}) {
      ProxyHeader header = read_proxy_header(write_proxy_header(version, from, to));
      ASSERT_TRUE(header.state == State::complete && header.has_addresses);
      EXPECT_EQ(header.source, from);
      EXPECT_EQ(header.destination, to);
    }
    for (const auto& [from, to] : {std::pair{v4, v6}, {*Address::parse("unix:/x"), v4}, {v4, Address()}}) {
      ProxyHeader header = read_proxy_header(write_proxy_header(version, from, to));
      EXPECT_TRUE(header.state == State::complete && !header.has_addresses);
    }
  }
}

}  // namespace
}  // namespace portloom::io
