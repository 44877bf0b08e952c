// config/etcd.h
//
// An etcd cluster in which services' instances stand, as a user writes it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "config/place.h"
#include "config/registry.h"

namespace portloom::config {

// "/services/orders", for rules::valid: printable, with no empty segment and no "/" at its end.
bool is_etcd_path(std::string_view text);

struct EtcdPlace {
  static constexpr size_t endpoints_max = 64;
  std::vector<std::string> endpoints;
  std::string username;
  data::Secret password;
  std::string ca;
  std::string cert;
  data::Secret key;
  std::string file;
  Position at;

  void visit(this auto& self, auto& field) {
    using namespace data::rules;
    field("endpoints", self.endpoints, required, at_least(1), at_most(endpoints_max), valid(is_origin, "http(s)://host[:port]"),
          "Its members, http(s)://host:port each: one is asked, the next where that one is away.");
    field("username", self.username, "Who logs in. Without it: nobody does.");
    field("password", self.password, "The user's.");
    field("ca", self.ca, "For https: a PEM file of authorities to believe. Without it: the system's.");
    field("cert", self.cert, "For https: a PEM file with our certificate, where etcd asks for one.");
    field("key", self.key, "Its private key, PEM.");
    field("file", self.file, "What is known is kept in this file over a restart.");
  }
  void check(data::Checker& checker) const;
};

}  // namespace portloom::config
