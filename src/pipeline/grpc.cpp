// pipeline/grpc.cpp
//
// The mapping tables of gRPC over HTTP/2, and the body that turns a failure into trailers.
#include "pipeline/grpc.h"

#include <charconv>

#include "async/race.h"
#include "base/text.h"
#include "pipeline/problem.h"

namespace portloom::pipeline {
namespace {

constexpr uint8_t unknown = 2, permission_denied = 7, resource_exhausted = 8, unimplemented = 12, internal = 13, unavailable = 14,
                  unauthenticated = 16;
constexpr int64_t eight_digits = 99'999'999;

Error late() { return {Code::upstream_timeout, Side::upstream, Progress::body, "grpc-timeout has passed"}; }

std::string number(uint8_t status) { return std::to_string(unsigned{status}); }

// An answer's body whose failure is told in its trailers: a status that is not OK says that it is not whole.
class GrpcBody final : public http::BodySource {
 public:
  GrpcBody(http::Body inner, Exchange& exchange) : inner_(std::move(inner)), exchange_(exchange) {}

  Task<Result<Bytes>> read() override {
    std::optional<Result<Bytes>> piece = co_await before(exchange_.deadline, inner_.read());
    if (piece && piece->has_value()) co_return std::move(**piece);
    Error error = piece ? std::move(piece->error()) : late();
    failed_.emplace();
    failed_->add(http::Name::grpc_status, number(grpc_status_of(error)));
    failed_->add(http::Name::grpc_message, grpc_message_of(problem_type(answered_as(error.code, error.side)).sentence));
    exchange_.record.fault = std::move(error);
    inner_ = http::Body();  // nothing more is wanted of it
    co_return Bytes();
  }
  const http::Headers* trailers() const override { return failed_ ? &*failed_ : inner_.trailers(); }

 private:
  http::Body inner_;
  Exchange& exchange_;
  std::optional<http::Headers> failed_;
};

}  // namespace

bool is_grpc(std::string_view content_type) {
  constexpr std::string_view wanted = "application/grpc";
  if (content_type.size() < wanted.size() || !equals_ignoring_case(content_type.substr(0, wanted.size()), wanted)) return false;
  return content_type.size() == wanted.size() || std::string_view("+; \t").find(content_type[wanted.size()]) != std::string_view::npos;
}

std::optional<Duration> parse_grpc_timeout(std::string_view text) {
  if (text.size() < 2 || text.size() > 9) return std::nullopt;
  std::optional<uint64_t> count = parse_number(text.substr(0, text.size() - 1));
  if (!count) return std::nullopt;
  auto amount = static_cast<int64_t>(*count);
  switch (text.back()) {
    case 'H': return std::min<int64_t>(amount, 24 * 365) * Duration(1h);  // a year is as good as for ever
    case 'M': return std::min<int64_t>(amount, 60 * 24 * 365) * Duration(1min);
    case 'S': return amount * Duration(1s);
    case 'm': return amount * Duration(1ms);
    case 'u': return amount * Duration(1us);
    case 'n': return amount * Duration(1ns);
    default: return std::nullopt;
  }
}

std::string format_grpc_timeout(Duration left) {
  int64_t count = std::max<int64_t>(left.count(), 0);
  for (char unit : {'n', 'u', 'm'}) {
    if (count <= eight_digits) return std::to_string(count) + unit;
    count /= 1000;
  }
  return std::to_string(std::min(count, eight_digits)) + 'S';
}

uint8_t grpc_status_of(uint16_t http_status) {
  switch (http_status) {
    case 400: return internal;
    case 401: return unauthenticated;
    case 403: return permission_denied;
    case 404: return unimplemented;
    case 429:
    case 502:
    case 503:
    case 504: return unavailable;
    default: return unknown;
  }
}

uint8_t grpc_status_of(const Error& error) {
  if (error.code == Code::overloaded && error.side == Side::upstream) return resource_exhausted;  // ENHANCE_YOUR_CALM
  return problem_type(answered_as(error.code, error.side)).grpc_status;
}

std::string grpc_message_of(std::string_view text) {
  std::string encoded;
  for (char c : text) {
    if (c >= 0x20 && c <= 0x7e && c != '%') {
      encoded += c;
      continue;
    }
    constexpr std::string_view digits = "0123456789ABCDEF";
    auto byte = static_cast<unsigned char>(c);
    encoded += {'%', digits[byte >> 4], digits[byte & 15]};
  }
  return encoded;
}

void open_grpc(Exchange& exchange, const Request& request) {
  if (request.method() != http::Method::POST || !is_grpc(request.headers.find(http::Name::content_type).value_or(""))) return;
  exchange.grpc = true;
  std::optional<std::string_view> text = request.headers.find(http::Name::grpc_timeout);
  std::optional<Duration> timeout = text ? parse_grpc_timeout(*text) : std::nullopt;  // a malformed one is the service's to refuse
  if (timeout) exchange.deadline = exchange.now() + *timeout;
}

Task<Response> call_within(Service& service, Request& request) {
  request.deadline = std::min(request.deadline, request.exchange.deadline);
  Task<Response> answering = service.call(request);
  std::optional<Response> answer = co_await before(request.exchange.deadline, answering);
  if (!answer) co_return fault_response(504, late());
  co_return std::move(*answer);
}

void pass_on_deadline(Request& request) {
  if (request.headers.contains(http::Name::grpc_timeout))
    request.headers.set(http::Name::grpc_timeout, format_grpc_timeout(request.exchange.deadline - request.exchange.now()));
}

void make_grpc(Response& response, Exchange& exchange, std::string_view told) {
  bool refused = response.status != 200 && !response.headers.contains(http::Name::grpc_status);
  if (!response.fault && !refused) {
    if (!response.body.in_memory()) {
      std::optional<uint64_t> length = response.body.length();
      response.body = http::Body(std::make_unique<GrpcBody>(std::move(response.body), exchange), length);
    }
    return;
  }
  uint8_t status = response.fault ? grpc_status_of(*response.fault) : grpc_status_of(response.status);
  std::string message = response.fault ? grpc_message_of(told) : "the service answered with HTTP status " + std::to_string(response.status);
  response.status = 200;
  response.body = http::Body();
  response.headers.remove_all({http::Name::content_length, http::Name::content_encoding});
  response.headers.set(http::Name::content_type, "application/grpc");
  response.headers.set(http::Name::grpc_status, number(status));
  response.headers.set(http::Name::grpc_message, message);
}

}  // namespace portloom::pipeline
