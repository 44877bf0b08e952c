// pipeline/plan.cpp
//
// Router: the end of a listener's chain. The match was made before the listener's policies ran; only here is it answered from,
// so that a stranger who is refused by a policy does not learn which paths exist.
#include "pipeline/plan.h"

#include "pipeline/exchange.h"
#include "pipeline/problem.h"
#include "pipeline/verdict.h"

namespace portloom::pipeline {

namespace {

Response no_route(uint16_t allowed_methods) {
  if (allowed_methods == 0) return deny(Code::not_found, Side::client);
  Response response = deny(Code::method_not_allowed, Side::client);
  // RFC 9110 §15.5.6: a 405 must say what is allowed.
  response.headers.set(http::Name::allow, methods_text(allowed_methods));
  return response;
}

}  // namespace

[[clang::coro_wrapper, clang::coro_disable_lifetimebound]] Task<Response> Router::call(Request& request) {
  Exchange& exchange = request.exchange;
  if (exchange.route != nullptr) return exchange.plan->destination(*exchange.route).call(request);
  if (request.form() == http::TargetForm::asterisk) return ready(Response(204));  // OPTIONS *: it is there and answers
  return ready(no_route(exchange.allowed_methods));
}

}  // namespace portloom::pipeline
