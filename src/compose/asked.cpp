// compose/asked.cpp
//
// Read once, kept whole, looked into by the slicer: values go on as the bytes that they came as.
#include "compose/asked.h"

#include "async/race.h"
#include "compose/composition.h"
#include "http/writer.h"
#include "pipeline/problem.h"

namespace portloom::compose {

using pipeline::Input;
using pipeline::Response;

Task<std::optional<Error>> Asked::gather(pipeline::Request* request, pipeline::Held* held, Bytes* whole) {
  auto too_large = [] { return Error{Code::body_too_large, Side::client, Progress::nothing, "the request's body exceeds the limit"}; };
  auto too_much = [] { return Error{Code::body_too_large, Side::client, Progress::nothing, "the request's body exceeds limits.buffered"}; };
  uint64_t announced = request->body.length().value_or(0);
  if (announced > Composition::body_bytes_max) co_return too_large();
  if (!held->grow_to(announced)) co_return too_much();
  http::Writer gathered(4096);
  while (true) {
    Result<Bytes> piece = co_await request->body.read();
    if (!piece) co_return std::move(piece.error());
    if (piece->empty()) break;
    gathered.text(piece->view());
    if (gathered.size() > Composition::body_bytes_max) co_return too_large();
    if (!held->grow_to(gathered.size())) co_return too_much();
  }
  *whole = gathered.finish();
  co_return std::nullopt;
}

Task<std::optional<Response>> Asked::read(pipeline::Request& request, const data::JsonSelection& wanted) {
  held_.emplace(request.exchange);
  Task<std::optional<Error>> gathering = gather(&request, &*held_, &json_);
  std::optional<std::optional<Error>> fault = co_await before(request.deadline, gathering);
  if (!fault) co_return pipeline::deny(Code::request_timeout, Side::client, "the request's body did not come in time");
  if (*fault) co_return pipeline::deny(std::move(**fault));
  if (json_.empty()) co_return std::nullopt;
  found_.assign(wanted.size(), {});
  std::expected<data::JsonSpan, data::JsonFault> value = data::slice(json_.view(), {.bytes = Composition::body_bytes_max}, wanted, found_);
  if (value) co_return std::nullopt;
  found_.clear();
  co_return pipeline::deny(
      Code::bad_request, Side::client,
      "the request's body is not JSON: " + std::string(value.error().message) + " at byte " + std::to_string(value.error().at));
}

std::optional<Input> Asked::find(const data::JsonSelection& wanted, std::span<const data::JsonSelection::Step> path) const {
  uint32_t node = wanted.find(path);
  if (node == data::JsonSelection::none || node >= found_.size() || !found_[node].there()) return std::nullopt;
  std::string_view value = found_[node].in(json_.view());
  if (data::kind_of_json(value) == data::JsonKind::null) return std::nullopt;
  return Input{value, Input::Encoding::json};
}

}  // namespace portloom::compose
