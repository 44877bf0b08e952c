// upstream/sign.cpp
//
// Statuses and failures by what they say of the instance; used by whoever keeps an account of it, on its worker.
#include "upstream/sign.h"

#include <optional>
#include <string_view>

#include "base/text.h"
#include "pipeline/exchange.h"

namespace portloom::upstream {

namespace {

// Of "Trailers-Only": what a service says that is unwell.
Sign sign_of_grpc(std::string_view text) {
  std::optional<uint64_t> status = parse_number(text);
  switch (status.value_or(0)) {
    case 8: return Sign::pushed_back;     // RESOURCE_EXHAUSTED
    case 2:                               // UNKNOWN: what it says when its code threw
    case 13:                              // INTERNAL
    case 15: return Sign::failed;         // DATA_LOSS
    case 4:                               // DEADLINE_EXCEEDED
    case 14: return Sign::gateway_error;  // UNAVAILABLE
    default: return Sign::good;
  }
}

}  // namespace

Sign sign_of(const Error& fault) {
  if (fault.side != Side::upstream) return Sign::nothing;
  switch (fault.code) {
    case Code::no_endpoint:
    case Code::breaker_open: return Sign::nothing;  // nobody was asked
    case Code::overloaded: return Sign::pushed_back;
    default: return Sign::gateway_error;
  }
}

Sign sign_of(uint16_t status, const http::Headers& headers) {
  if (status == 429) return Sign::pushed_back;
  if (status >= 502 && status <= 504) return Sign::gateway_error;
  if (status >= 500 && status != 501 && status != 505) return Sign::failed;
  std::optional<std::string_view> grpc = headers.find(http::Name::grpc_status);
  return grpc ? sign_of_grpc(*grpc) : Sign::good;
}

Sign sign_of_silence(const pipeline::Request& request, Instant now) {
  bool late = now >= request.deadline && request.deadline != request.exchange.deadline;
  return late ? Sign::gateway_error : Sign::nothing;
}

}  // namespace portloom::upstream
