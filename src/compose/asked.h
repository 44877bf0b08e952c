// compose/asked.h
//
// Asked: the client's body, as far as a composition's texts refer to it. Lives in the frame of Composition::call.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "data/slicer.h"
#include "pipeline/exchange.h"
#include "pipeline/inputs.h"
#include "pipeline/service.h"

namespace portloom::compose {

class Asked {
 public:
  // Reads the whole body, up to Composition::body_bytes_max, what the request may hold, and the request's deadline. The refusal: 413, 408,
  // 400 when it is not JSON, or that of whoever stands before it. No body at all is none of these: then nothing is found in it.
  Task<std::optional<pipeline::Response>> read(pipeline::Request& request, const data::JsonSelection& wanted);
  // Nothing: it is not there, or null. `path` is one of `wanted`.
  std::optional<pipeline::Input> find(const data::JsonSelection& wanted, std::span<const data::JsonSelection::Step> path) const;

 private:
  static Task<std::optional<Error>> gather(pipeline::Request* request, pipeline::Held* held, Bytes* whole);
  Bytes json_;
  std::optional<pipeline::Held> held_;
  std::vector<data::JsonSpan> found_;
};

}  // namespace portloom::compose
