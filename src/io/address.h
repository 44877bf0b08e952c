// io/address.h
//
// Where to listen or connect: an IPv4 or IPv6 address with port, or the path of a Unix socket. A plain value.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <optional>
#include <string>
#include <string_view>

namespace portloom::io {

class Address {
 public:
  Address() = default;
  // "10.0.0.5:8443", "[::1]:8443", ":8080" (all addresses, both families), "unix:/run/x.sock". Host names are not
  // resolved here, but for "localhost", which is 127.0.0.1. Empty when the text is none of these.
  static std::optional<Address> parse(std::string_view text);
  static Address from(const sockaddr* address, socklen_t size);
  static Address loopback(uint16_t port);

  // Reads back with parse: "127.0.0.1:80", "[::1]:80", "unix:/run/x.sock".
  std::string text() const;
  // The address without the port: "127.0.0.1", "::1", "unix".
  std::string host() const;
  int family() const { return family_; }
  uint16_t port() const { return port_; }
  // The same with another port; no Unix socket.
  Address with_port(uint16_t port) const {
    Address other = *this;
    other.port_ = port;
    return other;
  }
  bool is_unix() const { return family_ == AF_UNIX; }
  bool is_loopback() const;
  const std::array<uint8_t, 16>& ip() const { return ip_; }  // IPv4 in the first four bytes, network order
  const std::string& path() const { return path_; }
  // Fills `storage` for the kernel; returns its length.
  socklen_t fill(sockaddr_storage& storage) const;
  bool operator==(const Address&) const = default;

 private:
  int family_ = AF_UNSPEC;
  uint16_t port_ = 0;
  std::array<uint8_t, 16> ip_{};
  std::string path_;
};

}  // namespace portloom::io
