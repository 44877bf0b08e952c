// upstream/sign.h
//
// What an answer, or the lack of one, says of the instance that was asked. Circuit breaker and outlier ejection read it alike.
#pragma once

#include <cstdint>

#include "http/message.h"
#include "pipeline/service.h"

namespace portloom::upstream {

enum class Sign : uint8_t {
  nothing,       // it was the client's doing, or ours
  good,          // any 4xx too: it has answered
  pushed_back,   // 429, gRPC's RESOURCE_EXHAUSTED, HTTP/2's ENHANCE_YOUR_CALM
  failed,        // 5xx, but for 501 and 505, which speak of the request
  gateway_error  // no connection, a broken one, too late, unusable; 502, 503, 504
};

Sign sign_of(const Error& fault);
// By the head alone. gRPC statuses behind messages are not looked at.
Sign sign_of(uint16_t status, const http::Headers& headers);
inline Sign sign_of(const pipeline::Response& response) {
  return response.fault ? sign_of(*response.fault) : sign_of(response.status, response.headers);
}
// Of a call that was dropped without an answer: at its deadline the instance was too late, unless the client had set that itself
// (grpc-timeout); before it the client has gone.
Sign sign_of_silence(const pipeline::Request& request, Instant now);

}  // namespace portloom::upstream
