// config/dns.h
//
// A service whose instances are found by a name in DNS, as a user writes it: a host with all its addresses, or SRV records.
#pragma once

#include <string>
#include <string_view>

#include "config/place.h"

namespace portloom::config {

// "_http._tcp.orders.internal", or any other name with two labels at least, for rules::valid.
bool is_srv_name(std::string_view text);

struct DnsPlace {
  Address address;
  std::string srv;

  bool operator==(const DnsPlace&) const = default;
  void visit(this auto& self, auto& field) {
    using namespace data::rules;
    field("address", self.address, short_form, "A host name and a port: all its addresses, like an endpoint's.");
    field("srv", self.srv, valid(is_srv_name, "a name such as _http._tcp.orders.internal"),
          "Or a name whose SRV records say hosts, ports, weights and priorities (RFC 2782).");
  }
  void check(data::Checker& checker) const;
};

}  // namespace portloom::config
