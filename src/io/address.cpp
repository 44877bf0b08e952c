// io/address.cpp
//
// Addresses between text and the kernel's structures.
#include "io/address.h"

#include <arpa/inet.h>

#include <cstring>

#include "base/text.h"

namespace portloom::io {

std::optional<Address> Address::parse(std::string_view text) {
  Address address;
  if (text.starts_with("unix:")) {
    address.family_ = AF_UNIX;
    address.path_ = std::string(text.substr(5));
    if (address.path_.empty() || address.path_.size() >= sizeof(sockaddr_un::sun_path)) return std::nullopt;
    return address;
  }
  size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  std::optional<uint64_t> port = parse_number(text.substr(colon + 1));
  if (!port || *port > 65535) return std::nullopt;
  address.port_ = static_cast<uint16_t>(*port);
  std::string host(text.substr(0, colon));
  if (host.empty() || host == "*") {
    address.family_ = AF_INET6;  // "::" with IPV6_V6ONLY off: both families
    return address;
  }
  if (host == "localhost") host = "127.0.0.1";
  if (host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
    address.family_ = AF_INET6;
    if (inet_pton(AF_INET6, host.c_str(), address.ip_.data()) != 1) return std::nullopt;
    return address;
  }
  address.family_ = AF_INET;
  if (inet_pton(AF_INET, host.c_str(), address.ip_.data()) != 1) return std::nullopt;
  return address;
}

Address Address::loopback(uint16_t port) {
  Address address;
  address.family_ = AF_INET;
  address.port_ = port;
  address.ip_ = {127, 0, 0, 1};
  return address;
}

Address Address::from(const sockaddr* from, socklen_t size) {
  Address address;
  if (from->sa_family == AF_INET && size >= sizeof(sockaddr_in)) {
    sockaddr_in in{};
    std::memcpy(&in, from, sizeof in);
    address.family_ = AF_INET;
    address.port_ = ntohs(in.sin_port);
    std::memcpy(address.ip_.data(), &in.sin_addr, 4);
  } else if (from->sa_family == AF_INET6 && size >= sizeof(sockaddr_in6)) {
    sockaddr_in6 in{};
    std::memcpy(&in, from, sizeof in);
    address.port_ = ntohs(in.sin6_port);
    if (IN6_IS_ADDR_V4MAPPED(&in.sin6_addr)) {  // one client, one spelling, whichever socket it came by
      address.family_ = AF_INET;
      std::memcpy(address.ip_.data(), in.sin6_addr.s6_addr + 12, 4);
    } else {
      address.family_ = AF_INET6;
      std::memcpy(address.ip_.data(), &in.sin6_addr, 16);
    }
  } else {
    address.family_ = AF_UNIX;
  }
  return address;
}

std::string Address::host() const {
  if (family_ == AF_UNIX) return "unix";
  char text[INET6_ADDRSTRLEN] = "";
  inet_ntop(family_, ip_.data(), text, sizeof text);
  return text;
}

std::string Address::text() const {
  if (family_ == AF_UNIX) return "unix:" + path_;
  if (family_ == AF_INET6) return "[" + host() + "]:" + std::to_string(port_);
  return host() + ":" + std::to_string(port_);
}

bool Address::is_loopback() const {
  if (family_ == AF_UNIX) return true;
  if (family_ == AF_INET) return ip_[0] == 127;
  return ip_ == std::array<uint8_t, 16>{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
}

socklen_t Address::fill(sockaddr_storage& storage) const {
  std::memset(&storage, 0, sizeof storage);
  if (family_ == AF_UNIX) {
    auto* un = reinterpret_cast<sockaddr_un*>(&storage);
    un->sun_family = AF_UNIX;
    std::memcpy(un->sun_path, path_.data(), path_.size());
    return static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path_.size() + 1);
  }
  if (family_ == AF_INET) {
    auto* in = reinterpret_cast<sockaddr_in*>(&storage);
    in->sin_family = AF_INET;
    in->sin_port = htons(port_);
    std::memcpy(&in->sin_addr, ip_.data(), 4);
    return sizeof(sockaddr_in);
  }
  auto* in = reinterpret_cast<sockaddr_in6*>(&storage);
  in->sin6_family = AF_INET6;
  in->sin6_port = htons(port_);
  std::memcpy(&in->sin6_addr, ip_.data(), 16);
  return sizeof(sockaddr_in6);
}

}  // namespace portloom::io
