// config/registry.h
//
// The registry of services as a user writes it: the one in this process, or where another's is.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "config/place.h"

namespace portloom::config {

// "https://control.internal:9910", for rules::valid: nothing behind the port.
bool is_origin(std::string_view text);

struct RegistryPlace {
  static constexpr uint16_t port_usual = 9910;
  std::string url;
  std::string ca;
  std::optional<uint16_t> port;
  std::optional<Address> address;
  data::Secret token;
  std::string file;
  Position at;

  void visit(this auto& self, auto& field) {
    using namespace data::rules;
    field("url", self.url, valid(is_origin, "http(s)://host[:port]"),
          "Where another Portloom's registry is: http(s)://host[:port]. Without it: the registry is in this process.");
    field("ca", self.ca, "For https: a PEM file of authorities to believe. Without it: the system's.");
    field("port", self.port, "The port of this process's registry, on all addresses. Needs `token`.");
    field("address", self.address, "Or where it listens; without either 127.0.0.1:9910.");
    field("token", self.token, "What whoever registers has to show (Authorization: Bearer). Not for `url`: a gateway only reads.");
    field("file", self.file, "What is known is kept in this file over a restart.");
  }
  void check(data::Checker& checker) const;
  bool here() const { return url.empty(); }
  Address bind() const {
    if (address) return *address;
    return Address{.host = port ? std::string() : std::string("127.0.0.1"), .port = port.value_or(port_usual), .unix_path = {}};
  }
};

}  // namespace portloom::config
