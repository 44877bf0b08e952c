// policy/key.cpp
//
// Values are compared as they came: a query's escapes are not decoded, since whoever may choose a value may choose any.
#include "policy/key.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/check.h"
#include "base/random.h"
#include "pipeline/exchange.h"
#include "pipeline/inputs.h"

namespace portloom::policy {
namespace {

// Without it a client could choose whose counter it shares.
uint64_t process_seed() {
  static const uint64_t seed = random_seed();
  return seed;
}

uint64_t hash_of(std::string_view text, data::Operand::Root root) {
  return XXH3_64bits_withSeed(text.data(), text.size(), process_seed() + static_cast<uint64_t>(root));
}

}  // namespace

Key::Key(std::string_view text) {
  std::expected<data::Expression, data::TextFault> parsed = data::Expression::parse(text);
  CHECK(parsed.has_value());
  expression_ = std::move(*parsed);
}

uint64_t Key::of(const pipeline::Request& request) const {
  for (const data::Operand& operand : expression_.alternatives) {
    std::optional<pipeline::Input> input = pipeline::find_input(operand, request);
    if (input && !input->text.empty()) return hash_of(input->text, operand.root);
  }
  return hash_of(request.exchange.client, data::Operand::Root::client);
}

// The hash itself would help to find values that share a counter.
std::string Key::opaque(const pipeline::Request& request) const {
  static const uint64_t seed = random_seed();
  uint64_t key = of(request);
  uint64_t mixed = XXH3_64bits_withSeed(&key, sizeof key, seed);
  static constexpr std::string_view letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text = ":";
  for (int i = 0; i < 8; ++i, mixed >>= 6) text += letters[mixed & 63];  // six bytes: base64 without padding
  return text + ":";
}

}  // namespace portloom::policy
