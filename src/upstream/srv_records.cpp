// upstream/srv_records.cpp
//
// The header, the question, then one record after the other; names may point back into the message, and c-ares follows those.
#include "upstream/srv_records.h"

#include <algorithm>

#include <ares.h>

#include "base/text.h"
#include "upstream/resolver.h"

namespace portloom::upstream {
namespace {

constexpr uint16_t type_cname = 5;
constexpr uint16_t type_srv = 33;
constexpr size_t header_bytes = 12;
constexpr uint32_t weight_most = 1000;

class Reading {
 public:
  explicit Reading(std::span<const unsigned char> message) : message_(message) {}
  bool good() const { return good_; }
  uint16_t two() { return static_cast<uint16_t>(number(2)); }
  uint32_t four() { return number(4); }
  void skip(size_t bytes) {
    good_ = good_ && message_.size() - at_ >= bytes;
    if (good_) at_ += bytes;
  }
  size_t at() const { return at_; }
  std::string name() {
    char* text = nullptr;
    long length = 0;
    good_ = good_ && at_ < message_.size() &&
            ::ares_expand_name(message_.data() + at_, message_.data(), static_cast<int>(message_.size()), &text, &length) == ARES_SUCCESS;
    if (!good_) return {};
    std::string read(text);
    ::ares_free_string(text);
    skip(static_cast<size_t>(length));
    return read;
  }

 private:
  uint32_t number(size_t bytes) {
    uint32_t read = 0;
    size_t from = at_;
    skip(bytes);
    for (size_t i = 0; good_ && i < bytes; ++i) read = read << 8 | message_[from + i];
    return read;
  }
  std::span<const unsigned char> message_;
  size_t at_ = 0;
  bool good_ = true;
};

// As host names are written; a target may hold any bytes.
bool is_host(std::string_view text) {
  return !text.empty() && text.size() <= 253 &&
         std::ranges::all_of(text, [](char c) { return is_alpha(c) || is_digit(c) || c == '-' || c == '.' || c == '_'; });
}

}  // namespace

std::optional<SrvTargets> parse_srv(std::span<const unsigned char> message) {
  if (message.size() > 65535) return std::nullopt;
  Reading reading(message);
  reading.skip(4);
  uint16_t questions = reading.two();
  uint16_t answers = reading.two();
  reading.skip(header_bytes - reading.at());
  for (uint16_t i = 0; i < questions && reading.good(); ++i) {
    (void)reading.name();
    reading.skip(4);
  }
  SrvTargets found;
  uint32_t ttl = INT32_MAX;
  for (uint16_t i = 0; i < answers && reading.good(); ++i) {
    (void)reading.name();
    uint16_t type = reading.two();
    reading.skip(2);
    uint32_t lives = reading.four();
    uint16_t length = reading.two();
    size_t end = reading.at() + length;
    if (type == type_srv || type == type_cname) ttl = std::min(ttl, lives > INT32_MAX ? 0 : lives);  // RFC 2181 §8
    if (type == type_srv) {
      SrvTarget target;
      target.priority = reading.two();
      target.weight = reading.two();
      target.port = reading.two();
      target.host = reading.name();
      std::ranges::transform(target.host, target.host.begin(), to_lower);
      if (!reading.good() || reading.at() != end) return std::nullopt;
      if (is_host(target.host) && target.port != 0) found.list.push_back(std::move(target));
      continue;
    }
    reading.skip(length);
  }
  if (!reading.good()) return std::nullopt;
  std::ranges::sort(found.list);
  found.list.erase(std::ranges::unique(found.list).begin(), found.list.end());
  if (found.list.size() > Lookup::addresses_max) found.list.resize(Lookup::addresses_max);
  found.ttl = std::chrono::seconds(found.list.empty() ? 0 : ttl);
  return found;
}

uint32_t weight_of(const SrvTarget& target, uint16_t most, size_t addresses) {
  uint64_t share = most == 0 ? weight_most : uint64_t{weight_most} * target.weight / most;
  return static_cast<uint32_t>(std::clamp<uint64_t>(share / std::max<size_t>(addresses, 1), 1, weight_most));
}

}  // namespace portloom::upstream
