// app/process.h
//
// The gateway as a program runs it: on the control thread, until a signal or POST /drain ends it. Once per process.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "admin/control.h"
#include "admin/services.h"
#include "app/wiring.h"
#include "app/worker.h"

namespace portloom::app {

struct RunSettings {
  std::vector<std::string> files;
  std::string inline_text;  // of `run --listen --to`; then there are no files
  io::Engine engine = io::Engine::automatic;
  size_t workers = 0;  // 0: one per core
  // For the demo: called on the control thread once everything listens, with the listeners' addresses in the order written,
  // then the admin's and the probes'.
  std::function<void(const std::vector<io::Address>&)> on_ready;
};

// Exit status as CONTRACT has it: 0 ok, 1 configuration, 3 cannot bind, 4 a drain cut something.
int run_gateway(RunSettings settings);

}  // namespace portloom::app
