// pipeline/fixed_answer.h
//
// FixedAnswer: the destination `response`: a status, fields and a body that were written down, with values of the request in them.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "config/destination.h"
#include "pipeline/inputs.h"
#include "pipeline/service.h"

namespace portloom::pipeline {

class FixedAnswer final : public Service {
 public:
  // `answer` was checked.
  explicit FixedAnswer(const config::ResponseDestination& answer);
  [[clang::coro_wrapper, clang::coro_disable_lifetimebound]] Task<Response> call(Request& request) override;

 private:
  Response answer(const Request& request) const;

  uint16_t status_;
  http::Headers literal_;                                         // fields without values of the request
  std::vector<std::pair<std::string, data::Template>> computed_;  // the others
  data::Template body_;
  Place place_ = Place::text;
};

}  // namespace portloom::pipeline
