// config/health_check.h
//
// How the instances of a service are asked whether they are well.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/duration.h"
#include "config/place.h"

namespace portloom::config {

enum class CheckKind : uint8_t { http, tcp, grpc };
inline std::vector<data::Choice> choices_of(CheckKind) {
  return {{"http", CheckKind::http}, {"tcp", CheckKind::tcp}, {"grpc", CheckKind::grpc}};
}

bool is_check_path(std::string_view text);

struct HealthCheck {
  std::optional<CheckKind> kind;
  std::string path = "/";
  std::string host;
  std::string grpc_service;
  std::optional<uint16_t> port;
  Duration every = 5s;
  Duration timeout = 1s;
  uint32_t failures = 3;
  uint32_t successes = 2;

  bool operator==(const HealthCheck&) const = default;
  void visit(this auto& self, auto& field) {
    using namespace data::rules;
    field("kind", self.kind,
          "http: a GET that is answered 2xx. tcp: a connection comes about, TLS included. grpc: grpc.health.v1 says SERVING. Without it: "
          "grpc for "
          "`protocol: grpc` where no `path` is written, else http.");
    field("path", self.path, valid(is_check_path, "a path like /healthz"), "What is asked for, with http.");
    field("host", self.host, valid(is_plain_host, "a host name"), "The Host to ask with, in place of the instance's own.");
    field("grpc_service", self.grpc_service, "The service that grpc asks about. Without it: the server as a whole.");
    field("port", self.port, at_least(1), "Another port to ask at than requests go to.");
    field("every", self.every, at_least(Duration(100ms)), at_most(Duration(1h)), "How often, give or take a tenth.");
    field("timeout", self.timeout, at_least(Duration(1ms)), at_most(Duration(1min)), "For the whole of a check.");
    field("failures", self.failures, at_least(1), at_most(1000),
          "So many in a row, and it is left out. The first check of all decides alone.");
    field("successes", self.successes, at_least(1), at_most(1000), "So many in a row, and it is asked again.");
  }
  void check(data::Checker& checker) const;
};

}  // namespace portloom::config
