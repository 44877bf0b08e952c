// upstream/affinity.cpp
//
// A value is hashed as it came, with its escapes: whoever may choose a value may choose any.
#include "upstream/affinity.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/check.h"
#include "pipeline/exchange.h"
#include "pipeline/inputs.h"

namespace portloom::upstream {

Affinity::Affinity(const config::Balancing& written) {
  if (!config::hashes(written.algorithm)) return;
  std::vector<std::string> texts = written.by;
  if (texts.empty()) texts.emplace_back("client.address");
  for (const std::string& text : texts) {
    std::expected<data::Expression, data::TextFault> made = data::Expression::parse(text);
    CHECK(made.has_value());
    by_.push_back(std::move(*made));
  }
}

std::optional<uint64_t> Affinity::hash(const pipeline::Request& request) const {
  for (const data::Expression& expression : by_) {
    std::optional<pipeline::Input> input = pipeline::find_input(expression, request);
    if (input && !input->text.empty()) return XXH3_64bits(input->text.data(), input->text.size());
  }
  return std::nullopt;
}

}  // namespace portloom::upstream
