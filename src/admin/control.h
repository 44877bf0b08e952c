// admin/control.h
//
// Control: what the admin API asks of the process. app/ answers it. Called on the worker that has the admin listener, so
// everything here is quick: drain() and reload() may pass the work on to the control thread.
#pragma once

#include <string>

#include "base/error.h"

namespace portloom::admin {

class Control {
 public:
  virtual ~Control() = default;
  virtual bool ready() = 0;
  // "starting" or "draining"; asked when ready() is false.
  virtual std::string not_ready_reason() = 0;
  // Begins the drain, as SIGTERM does; again: nothing.
  virtual void drain() = 0;
  // Loads the configuration again. On failure the old one stays in force and the detail lists what is wrong.
  virtual Result<void> reload() = 0;
  // What would become of a request (docs/explain.md); `query` as it came. Code::bad_request: what is wrong with it.
  virtual Result<std::string> explain(std::string_view query) = 0;
  // An operator's word on the circuit breaker of a service: "open", "closed" or "auto". Code::not_found or Code::bad_request: what is
  // wrong with that.
  virtual Result<void> hold_breaker(std::string_view service, std::string_view state) = 0;
  // Appends one JSON object: admin/status.h writes it.
  virtual void write_status(std::string& json) = 0;
  // The same for people, shorter.
  virtual void write_status_text(std::string& text) = 0;
  // Appends the page in Prometheus's text format.
  virtual void write_metrics(std::string& page) = 0;
};

}  // namespace portloom::admin
