// pipeline/redirect.h
//
// Redirect: the destination `redirect`: answers with a Location, a URL that was written down or the request's own with other parts.
// Where it leads is the configuration's choice: values of the request stand in its path and query only.
#pragma once

#include <cstdint>
#include <string>

#include "config/destination.h"
#include "pipeline/inputs.h"
#include "pipeline/service.h"

namespace portloom::pipeline {

class Redirect final : public Service {
 public:
  // `redirect` was checked.
  explicit Redirect(const config::RedirectDestination& redirect);
  [[clang::coro_wrapper, clang::coro_disable_lifetimebound]] Task<Response> call(Request& request) override;

 private:
  Response answer(const Request& request) const;
  void write_origin(const Request& request, http::Writer& to) const;

  uint16_t status_;
  std::string scheme_;
  std::string host_;
  uint16_t port_;          // 0: not written
  bool whole_;             // `location`: path_ begins with its origin, if it has one
  data::Template path_;    // up to "?"
  data::Template behind_;  // from "?" or "#" on, with it
};

}  // namespace portloom::pipeline
