// policy/key.cpp
//
// Values are compared as they came: a query's escapes are not decoded, since whoever may choose a value may choose any.
#include "policy/key.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <array>
#include <optional>

#include "base/random.h"
#include "base/text.h"
#include "config/place.h"
#include "http/form.h"

namespace portloom::policy {
namespace {

// Names that never are a path parameter's (the roots of expressions).
constexpr std::array roots = {"body", "query", "headers", "cookies", "claims", "consumer", "tenant", "client", "step", "saga"};

std::optional<Key::Part> part_of(std::string_view text) {
  using enum Key::Root;
  if (text == "client.address") return Key::Part{address, {}};
  if (text == "consumer") return Key::Part{consumer, {}};
  if (text == "tenant") return Key::Part{tenant, {}};
  if (text.starts_with("headers.") && data::is_header_name(text.substr(8))) return Key::Part{header, std::string(text.substr(8))};
  if (text.starts_with("query.") && config::is_name(text.substr(6))) return Key::Part{query, std::string(text.substr(6))};
  bool reserved = false;
  for (std::string_view root : roots) reserved |= root == text;
  if (reserved || !config::is_name(text) || text.find('.') != std::string_view::npos) return std::nullopt;
  return Key::Part{parameter, std::string(text)};
}

// Calls use(alternative) for each; false when it has returned false or there is nothing between two bars.
template <class Use>
bool each(std::string_view text, Use use) {
  while (true) {
    size_t bars = text.find("||");
    if (!use(trim(text.substr(0, bars)))) return false;
    if (bars == std::string_view::npos) return true;
    text.remove_prefix(bars + 2);
  }
}

// Without it a client could choose whose counter it shares.
uint64_t process_seed() {
  static const uint64_t seed = random_seed();
  return seed;
}

}  // namespace

bool Key::is_key(std::string_view text) {
  return each(text, [](std::string_view part) { return part_of(part).has_value(); });
}

Key::Key(std::string_view text) {
  each(text, [this](std::string_view written) {
    std::optional<Part> part = part_of(written);
    if (part) parts_.push_back(std::move(*part));
    return true;
  });
}

std::string_view Key::value(const Part& part, const pipeline::Request& request) {
  const pipeline::Exchange& exchange = request.exchange;
  switch (part.root) {
    case Root::address: return exchange.client;
    case Root::consumer: return exchange.identity.consumer;
    case Root::tenant: return exchange.identity.tenant;
    case Root::header: return request.headers.find(part.name).value_or(std::string_view{});
    case Root::query: return http::find_parameter(request.query(), part.name).value_or(std::string_view{});
    case Root::parameter: return exchange.params.find(part.name).value_or(std::string_view{});
  }
  return {};
}

uint64_t Key::of(const pipeline::Request& request) const {
  for (const Part& part : parts_) {
    std::string_view text = value(part, request);
    if (!text.empty()) return XXH3_64bits_withSeed(text.data(), text.size(), process_seed() + static_cast<uint64_t>(part.root));
  }
  std::string_view client = request.exchange.client;
  return XXH3_64bits_withSeed(client.data(), client.size(), process_seed() + static_cast<uint64_t>(Root::address));
}

}  // namespace portloom::policy
