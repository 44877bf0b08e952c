// server/admission.cpp
//
// One word for the sum, a striped table for the shares.
#include "server/admission.h"

#include <algorithm>
#include <cstring>

#include "base/random.h"

namespace portloom::server {
namespace {

constexpr size_t entries_min = 1024;
constexpr size_t entries_max = 1 << 20;

uint64_t mixed(uint64_t z) {  // splitmix64's finalizer
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

}  // namespace

Admission::Admission(Bounds bounds) : seed_(random_seed()) { use(bounds); }

Admission::~Admission() = default;

void Admission::use(Bounds bounds) {
  connections_max_.store(bounds.connections);
  if (bounds.per_address != 0 && owned_ == nullptr) {
    owned_ = std::make_unique<Table>(std::clamp<size_t>(2 * bounds.connections, entries_min, entries_max));
    table_.store(owned_.get());  // for good: connections know their keys
  }
  per_address_max_.store(bounds.per_address);
}

bool Admission::enter() {
  uint64_t most = connections_max_.load();
  auto [before, after] = connections_.advance([most](uint64_t count) { return count < most ? count + 1 : count; });
  return before != after;
}

uint64_t Admission::enter(const http::Address& address) {
  uint32_t most = per_address_max_.load();
  if (most == 0) return unbounded;
  uint64_t words[2];
  std::memcpy(words, address.bytes.data(), sizeof words);
  uint64_t key = mixed(mixed(words[0] ^ seed_) ^ (address.is_v4() ? words[1] : 0));
  if (key <= unbounded) key = ~key;
  bool entered = table_.load()->with(key, 0, [most](Open& open, bool) {
    if (open.count >= most) return false;
    ++open.count;
    return true;
  });
  return entered ? key : 0;
}

void Admission::leave(uint64_t key) {
  if (key <= unbounded) return;
  table_.load()->with_known(key, [](Open& open) { open.count -= open.count != 0; });
}

}  // namespace portloom::server
