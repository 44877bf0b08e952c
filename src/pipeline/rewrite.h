// pipeline/rewrite.h
//
// Rewrite: stands between a route and a service, and gives the service another path, query, host or header fields than the client
// sent. Templates see the request as it came; once the call has returned or was dropped, the request is again what it was, so that a
// retry further out begins anew.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "config/destination.h"
#include "pipeline/inputs.h"
#include "pipeline/service.h"

namespace portloom::pipeline {

class Rewrite final : public Service {
 public:
  // `changes` was checked; `to` outlives this.
  Rewrite(const config::Rewrite& changes, Service& to);
  Task<Response> call(Request& request) override;
  // Changes the request for good; or leaves it alone and says what was missing.
  std::optional<Response> change(Request& request) const;

 private:
  struct Parameter {
    std::string name;  // with its escapes, and "="
    data::Template value;
  };
  Filling write_target(const Request& request, http::Writer& to) const;

  data::Template path_;
  bool own_query_ = false;
  std::vector<Parameter> query_;
  data::Template host_;
  std::vector<std::pair<std::string, data::Template>> headers_;
  Service& to_;
};

}  // namespace portloom::pipeline
