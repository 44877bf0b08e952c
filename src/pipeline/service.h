// pipeline/service.h
//
// The one idea. Everything that can answer a request is a Service; everything that stands in front of one is a Policy; a
// Chain is policies in front of a service, and itself a service. Request and Response are the currency.
// All of it lives on one worker; a service outlives every call on it (the exchange pins the plan).
#pragma once

#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "async/task.h"
#include "base/error.h"
#include "http/exchange.h"
#include "pipeline/record.h"

namespace portloom::pipeline {

struct Exchange;
class Results;

struct Request : http::Request {
  Request(Exchange& whole, Record::Call& line) : exchange(whole), call(line) {}
  Exchange& exchange;
  Instant deadline = never;          // ends at the response head; sub-calls may have shorter ones
  Record::Call& call;                // this call's line in the record
  const Results* results = nullptr;  // of the calls that were made before this one (inputs.h); null: it belongs to no composition
  uint64_t tried = 0;                // endpoints (bit index % 64) that were asked already: another is preferred
  bool repeatable = true;            // false: another attempt would only meet an open circuit breaker
};

struct Response : http::Response {
  Response() = default;
  explicit Response(uint16_t code) : http::Response(code) {}
  Response(http::Response&& other) : http::Response(std::move(other)) {}  // NOLINT: every http response is one
  std::optional<Error> fault;                                             // set when we made this answer, not the upstream
};

class Service {
 public:
  virtual ~Service() = default;
  // Resolves at the response's head; the body streams on. `request` outlives the task and the response's body.
  virtual Task<Response> call(Request& request) = 0;
};

class Next;

class Policy {
 public:
  virtual ~Policy() = default;
  // Look, call next (0, 1 or n times), look again. A policy that only looks returns next(request) itself: no frame.
  virtual Task<Response> call(Request& request, Next next) = 0;
  // The key it is written under: "rate_limit".
  virtual std::string_view kind() const = 0;
};

// The rest of the chain. Callable any number of times.
class Next {
 public:
  Next(Policy* const* at, Policy* const* end, Service& destination) : at_(at), end_(end), destination_(&destination) {}
  // By value: a task must not refer to a Next that has gone (C1).
  [[clang::coro_wrapper, clang::coro_disable_lifetimebound]] Task<Response> operator()(this Next self, Request& request) {
    if (self.at_ == self.end_) return self.destination_->call(request);
    return (*self.at_)->call(request, Next(self.at_ + 1, self.end_, *self.destination_));
  }

 private:
  Policy* const* at_;
  Policy* const* end_;
  Service* destination_;
};

// Policies in front of a destination, outermost first. The plan owns the policies; several chains may share them.
class Chain final : public Service {
 public:
  Chain(std::vector<Policy*> policies, Service& destination) : policies_(std::move(policies)), destination_(destination) {}
  [[clang::coro_wrapper, clang::coro_disable_lifetimebound]] Task<Response> call(Request& request) override {
    return Next(policies_.data(), policies_.data() + policies_.size(), destination_)(request);
  }
  const std::vector<Policy*>& policies() const { return policies_; }

 private:
  std::vector<Policy*> policies_;
  Service& destination_;
};

// A response of ours that tells of a failure. `render` (problem.h) gives it its body when it leaves.
inline Response fault_response(uint16_t status, Error error) {
  Response response(status);
  response.fault = std::move(error);
  return response;
}

}  // namespace portloom::pipeline
