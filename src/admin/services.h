// admin/services.h
//
// The Services behind the private listener: AdminService is the whole admin API, ProbesService the three pages that
// kubelets and Prometheus ask for. Each worker that has the listener has its own; they keep no state.
#pragma once

#include "admin/control.h"
#include "pipeline/service.h"

namespace portloom::admin {

// GET /healthz, /readyz, /metrics. HEAD is answered like GET; the server leaves the body out.
class ProbesService final : public pipeline::Service {
 public:
  // `control` outlives the service.
  explicit ProbesService(Control& control) : control_(control) {}
  [[clang::coro_wrapper, clang::coro_disable_lifetimebound]] Task<pipeline::Response> call(pipeline::Request& request) override;

 private:
  Control& control_;
};

// The same, GET /status and /explain, POST /drain, /reload and /breakers/NAME. A POST that a browser's page sent (it has an Origin) is
// refused.
class AdminService final : public pipeline::Service {
 public:
  explicit AdminService(Control& control) : control_(control) {}
  [[clang::coro_wrapper, clang::coro_disable_lifetimebound]] Task<pipeline::Response> call(pipeline::Request& request) override;

 private:
  Control& control_;
};

}  // namespace portloom::admin
