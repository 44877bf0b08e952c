// admin/status.h
//
// The JSON of GET /status: app/ fills a Status and hands in the sources of the parts that it does not know itself.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/duration.h"
#include "pipeline/ports.h"

namespace portloom::admin {

struct Status {
  struct Listener {
    std::string name;
    std::string address;  // as bound: "127.0.0.1:8080"
  };
  std::string version;
  std::string state;  // "ready", "starting", "draining"
  Duration uptime{0};
  std::string config_hash;
  WallTime config_loaded{};
  std::string reload_error;  // why the last reload was refused; empty: it was taken
  std::vector<std::string> config_files;
  std::string engine;
  size_t workers = 0;
  std::vector<Listener> listeners;
};

// Appends one object; each source is a member under its name (services with their endpoints, the access log).
void write_status(std::string& json, const Status& status, const std::vector<const pipeline::StatusSource*>& sources);

// The same in lines for people: what it is, and what the sources have to say in words.
void write_text(std::string& text, const Status& status, const std::vector<const pipeline::StatusSource*>& sources);

// "2026-01-31T23:59:59Z", UTC.
void append_time(std::string& to, WallTime time);

}  // namespace portloom::admin
