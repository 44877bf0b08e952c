// data/slicer.cpp
//
// A loop without recursion: what is open is a bit per level. The paths that are asked for walk along, and cost nothing where no
// container on the way to one is open.
#include "data/slicer.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <type_traits>

#include "base/check.h"
#include "base/text.h"
#include "data/json_members.h"
#include "data/scan.h"
#include "data/utf8.h"

namespace portloom::data {
namespace {

static_assert(std::endian::native == std::endian::little);  // words are read from bytes, the first one lowest

// How many of the eight bytes at `at` are digits, before the first that is none. (A carry out of a byte that is none reaches only
// later ones.)
unsigned count_digits(const char* at) {
  uint64_t word = 0;
  std::memcpy(&word, at, sizeof word);
  word ^= 0x3030303030303030;
  uint64_t others = ((word + 0x7676767676767676) | word) & 0x8080808080808080;
  return static_cast<unsigned>(std::countr_zero(others)) / 8;
}

template <bool selecting>
class Slicer {
 public:
  Slicer(std::string_view text, uint32_t depth, const JsonSelection* wanted, std::span<JsonSpan> found)
      : begin_(text.data()), at_(begin_), end_(begin_ + text.size()), depth_max_(depth), wanted_(wanted), found_(found) {}

  std::expected<JsonSpan, JsonFault> run() {
    if (std::string_view(at_, static_cast<size_t>(end_ - at_)).starts_with("\xef\xbb\xbf")) at_ += 3;
    skip_space();
    if (at_ == end_) return refused("there is no value");
    const char* first = at_;
    if (!values()) return refused(fault_);
    const char* last = at_;
    skip_space();
    if (at_ != end_) return refused("something follows the value");
    return JsonSpan{offset(first), offset(last)};
  }

 private:
  uint32_t offset(const char* place) const { return static_cast<uint32_t>(place - begin_); }
  std::expected<JsonSpan, JsonFault> refused(std::string_view message) const {
    return std::unexpected(JsonFault{message, static_cast<size_t>(at_ - begin_)});
  }
  [[gnu::cold]] bool fail(std::string_view message) {
    fault_ = message;
    return false;
  }
  void skip_space() {
    if (at_ == end_ || static_cast<unsigned char>(*at_) > ' ') return;
    at_ = space_end(at_, end_);
  }

  // One value and everything in it.
  bool values() {
    if constexpr (selecting) node_ = 0;
    while (true) {
      bool opened = false;
      if (!value(opened)) return false;
      if (opened) continue;  // at the first value inside
      do {
        if (depth_ == 0) return true;
        if (!next()) return false;
      } while (closed_);
    }
  }

  // A scalar is read whole; a container up to its first value, or whole when it is empty.
  bool value(bool& opened) {
    if (at_ == end_) return fail("a value is missing");
    if constexpr (selecting) begin_value();
    bool good = false;
    switch (*at_) {
      case '"': good = string(); break;
      case '{': return open(true, opened);
      case '[': return open(false, opened);
      case 't': good = word("true"); break;
      case 'f': good = word("false"); break;
      case 'n': good = word("null"); break;
      default: good = number();
    }
    if constexpr (selecting) end_value(node_);
    return good;
  }

  bool open(bool object, bool& opened) {
    if (depth_ == depth_max_) return fail("too deep");
    uint64_t bit = uint64_t{1} << (depth_ % 64);
    objects_[depth_ / 64] = object ? objects_[depth_ / 64] | bit : objects_[depth_ / 64] & ~bit;
    in_object_ = object;
    if constexpr (selecting) {
      open_nodes_[depth_] = node_;
      items_[depth_] = 0;
    }
    ++depth_;
    ++at_;
    skip_space();
    if (at_ != end_ && *at_ == (object ? '}' : ']')) return close();
    opened = true;
    return object ? key() : item();
  }

  // Behind a value in a container: the next one's first byte, or the container's end.
  bool next() {
    closed_ = false;
    skip_space();
    if (at_ == end_) return fail(in_object_ ? "an object without its end" : "an array without its end");
    if (*at_ == ',') {
      ++at_;
      skip_space();
      return in_object_ ? key() : item();
    }
    if (*at_ != (in_object_ ? '}' : ']')) return fail(in_object_ ? "expected , or }" : "expected , or ]");
    closed_ = true;
    return close();
  }

  bool close() {
    ++at_;
    --depth_;
    if constexpr (selecting) end_value(open_nodes_[depth_]);
    if (depth_ > 0) in_object_ = (objects_[(depth_ - 1) / 64] >> ((depth_ - 1) % 64) & 1) != 0;
    return true;
  }

  bool key() {
    if (at_ == end_ || *at_ != '"') return fail("expected a name in quotes");
    const char* name = at_ + 1;
    if (!string()) return false;
    if constexpr (selecting) {
      uint32_t parent = open_nodes_[depth_ - 1];
      node_ = parent == JsonSelection::none ? parent : wanted_->member(parent, {name, static_cast<size_t>(at_ - 1 - name)});
    }
    skip_space();
    if (at_ == end_ || *at_ != ':') return fail("expected :");
    ++at_;
    skip_space();
    return true;
  }

  bool item() {
    if constexpr (selecting) {
      uint32_t parent = open_nodes_[depth_ - 1];
      node_ = parent == JsonSelection::none ? parent : wanted_->item(parent, items_[depth_ - 1]++);
    }
    return true;
  }

  void begin_value() {
    if (node_ == JsonSelection::none) return;
    if (found_[node_].there()) wanted_->clear_below(node_, found_);  // a name that occurs twice: the last one counts
    found_[node_] = {offset(at_), 0};
  }
  void end_value(uint32_t node) {
    if (node != JsonSelection::none) found_[node].end = offset(at_);
  }

  bool word(std::string_view text) {
    if (static_cast<size_t>(end_ - at_) < text.size() || std::memcmp(at_, text.data(), text.size()) != 0) return fail("expected a value");
    at_ += text.size();
    return true;
  }

  // RFC 8259 §6.
  bool number() {
    const char* at = at_;
    if (*at == '-') ++at;
    const char* from = at;
    at = digits_end(at);
    if (at == from) return stopped(at, "expected a value");
    if (*from == '0') at = from + 1;  // no digit follows it: what does is no part of the number
    if (at != end_ && *at == '.') {
      from = ++at;
      at = digits_end(at);
      if (at == from) return stopped(at, "a number without digits behind its point");
    }
    if (at != end_ && (*at == 'e' || *at == 'E')) {
      ++at;
      if (at != end_ && (*at == '+' || *at == '-')) ++at;
      from = at;
      at = digits_end(at);
      if (at == from) return stopped(at, "a number without its exponent");
    }
    at_ = at;
    return true;
  }
  bool stopped(const char* at, std::string_view message) {
    at_ = at;
    return fail(message);
  }
  const char* digits_end(const char* at) const {
    while (end_ - at >= 8) {
      unsigned count = count_digits(at);
      at += count;
      if (count < 8) return at;
    }
    while (at != end_ && is_digit(*at)) ++at;
    return at;
  }

  // With both quotes.
  bool string() {
    ++at_;
    while (true) {
      at_ = plain_end(at_, end_);
      if (at_ == end_) return fail("a string without its end");
      if (*at_ == '"') {
        ++at_;
        return true;
      }
      if (*at_ == '\\') {
        if (!escape()) return false;
      } else if (static_cast<unsigned char>(*at_) < 0x20) {
        return fail("a control character in a string");
      } else if (!characters()) {
        return fail("bytes that are not UTF-8");
      }
    }
  }

  bool escape() {
    if (end_ - at_ < 2) return fail("a string without its end");
    switch (at_[1]) {
      case '"':
      case '\\':
      case '/':
      case 'b':
      case 'f':
      case 'n':
      case 'r':
      case 't': at_ += 2; return true;
      case 'u': break;
      default: return fail("an escape that JSON has not");
    }
    if (end_ - at_ < 6) return fail("\\u without four digits");
    for (int i = 2; i < 6; ++i)
      if (hex_value(at_[i]) < 0) return fail("\\u without four digits");
    at_ += 6;
    return true;
  }

  // A run of characters beyond ASCII; the first byte is one's.
  bool characters() {
    do {
      size_t length = 0;
      if (end_ - at_ >= 4) {
        uint32_t word = 0;
        std::memcpy(&word, at_, sizeof word);
        // The common lengths at once, first byte lowest: well-formed and not longer than need be, no surrogate (RFC 3629 §4).
        if ((word & 0xc0e0) == 0x80c0 && (word & 0x1e) != 0)
          length = 2;
        else if ((word & 0xc0c0f0) == 0x8080e0 && (word & 0x200f) != 0 && (word & 0x200f) != 0x200d)
          length = 3;
      }
      if (length == 0) length = utf8_length({at_, static_cast<size_t>(end_ - at_)});
      if (length == 0) return false;
      at_ += length;
    } while (at_ != end_ && static_cast<signed char>(*at_) < 0);
    return true;
  }

  const char* begin_;
  const char* at_;
  const char* end_;
  std::string_view fault_;
  uint32_t depth_ = 0;
  uint32_t depth_max_;
  bool in_object_ = false;
  bool closed_ = false;
  std::array<uint64_t, json_depth_max / 64> objects_{};  // is this level an object?

  const JsonSelection* wanted_;
  std::span<JsonSpan> found_;
  uint32_t node_ = JsonSelection::none;  // of the value that begins now
  using PerLevel = std::conditional_t<selecting, std::array<uint32_t, json_depth_max>, std::array<uint32_t, 1>>;
  PerLevel open_nodes_;
  PerLevel items_;
};

std::expected<JsonSpan, JsonFault> too_large(const JsonLimits& limits) {
  return std::unexpected(JsonFault{"it is too large", limits.bytes});
}

}  // namespace

std::expected<JsonSpan, JsonFault> slice(std::string_view text, const JsonLimits& limits) {
  if (text.size() > limits.bytes) return too_large(limits);
  return Slicer<false>(text, std::min(limits.depth, json_depth_max), nullptr, {}).run();
}

std::expected<JsonSpan, JsonFault> slice(std::string_view text, const JsonLimits& limits, const JsonSelection& wanted,
                                         std::span<JsonSpan> found) {
  CHECK(found.size() == wanted.size());
  std::fill(found.begin(), found.end(), JsonSpan{});
  if (text.size() > limits.bytes) return too_large(limits);
  return Slicer<true>(text, std::min(limits.depth, json_depth_max), &wanted, found).run();
}

JsonKind kind_of_json(std::string_view value) {
  CHECK(!value.empty());
  switch (value.front()) {
    case '"': return JsonKind::string;
    case '{': return JsonKind::object;
    case '[': return JsonKind::array;
    case 't':
    case 'f': return JsonKind::boolean;
    case 'n': return JsonKind::null;
    default: return JsonKind::number;
  }
}

uint32_t JsonSelection::add(std::span<const Step> path) {
  uint32_t node = 0;
  for (const Step& step : path) {
    auto same = [&](const auto& edge) { return edge.first == step; };
    auto found = std::find_if(nodes_[node].next.begin(), nodes_[node].next.end(), same);
    if (found != nodes_[node].next.end()) {
      node = found->second;
      continue;
    }
    auto made = static_cast<uint32_t>(nodes_.size());
    nodes_[node].next.emplace_back(step, made);
    nodes_.emplace_back();
    node = made;
  }
  return node;
}

uint32_t JsonSelection::find(std::span<const Step> path) const {
  uint32_t node = 0;
  for (const Step& step : path) {
    auto found = std::ranges::find_if(nodes_[node].next, [&](const auto& edge) { return edge.first == step; });
    if (found == nodes_[node].next.end()) return none;
    node = found->second;
  }
  return node;
}

uint32_t JsonSelection::member(uint32_t node, std::string_view name) const {
  for (const auto& [step, next] : nodes_[node].next)
    if (!step.is_index && json_string_is(name, step.name)) return next;
  return none;
}

uint32_t JsonSelection::item(uint32_t node, uint32_t index) const {
  for (const auto& [step, next] : nodes_[node].next)
    if (step.is_index && step.index == index) return next;
  return none;
}

void JsonSelection::clear_below(uint32_t node, std::span<JsonSpan> found) const {
  for (const auto& [step, next] : nodes_[node].next) {
    found[next] = {};
    clear_below(next, found);
  }
}

}  // namespace portloom::data
