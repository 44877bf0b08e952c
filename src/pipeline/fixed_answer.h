// pipeline/fixed_answer.h
//
// FixedAnswer: the destination `response`: a status, fields and a body that were written down.
#pragma once

#include <string>

#include "pipeline/service.h"

namespace portloom::pipeline {

class FixedAnswer final : public Service {
 public:
  FixedAnswer(uint16_t status, http::Headers headers, std::string body)
      : status_(status), headers_(std::move(headers)), body_(std::move(body)) {}
  [[clang::coro_wrapper, clang::coro_disable_lifetimebound]] Task<Response> call(Request&) override { return ready(answer()); }

 private:
  Response answer() const {
    Response response(status_);
    response.headers = headers_;
    response.body = http::Body(Bytes::copy(body_));
    return response;
  }
  uint16_t status_;
  http::Headers headers_;
  std::string body_;
};

}  // namespace portloom::pipeline
