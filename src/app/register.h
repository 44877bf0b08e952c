// app/register.h
//
// `portloom register NAME --port P -- COMMAND`: runs the command, registers it once it listens, beats while it lives, and takes it out of
// use before it ends. The command goes on whatever becomes of the registry.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "base/duration.h"

namespace portloom::app {

struct RegisterSettings {
  std::string service;
  uint16_t port = 0;
  std::string registry = "http://127.0.0.1:9910";
  std::vector<std::string> etcd;  // in its place, where there are any
  std::string etcd_path = "/services";
  std::string address;  // empty: ours, as we reach the registry, or etcd
  std::string id;       // empty: made from the host's name, the port and chance
  std::string zone;
  std::string version;
  std::string metadata;  // a JSON object; empty: none
  uint32_t weight = 1;
  std::string ttl = "15s";
  std::string drain = "1s";   // from "draining" until the command is told to end
  std::string token_file;     // empty: $PORTLOOM_REGISTRY_TOKEN, if that is there
  std::string username;       // of etcd; empty: nobody logs in
  std::string password_file;  // empty: $PORTLOOM_ETCD_PASSWORD, if that is there
  std::string ca;             // for https; empty: the system's
  std::vector<std::string> command;
};

// Adds the verb to the command line, which outlives it.
class Registration {
 public:
  explicit Registration(CLI::App& app);
  Registration(const Registration&) = delete;
  // The exit status when the verb was asked for: the command's own; 128 and the signal that ended it; 2 for bad arguments; 127 when it
  // cannot be started.
  std::optional<int> run() const;

 private:
  RegisterSettings settings_;
  CLI::App* verb_;
};

}  // namespace portloom::app
