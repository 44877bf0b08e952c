// data/slicer.h
//
// Slicer: one pass over a JSON text that says whether it is JSON (RFC 8259, strictly) and where the values stand that somebody asked
// for. Nothing is copied, decoded or kept: a number is the bytes it came as. Plain functions over views; any thread.
//
// Where RFC 8259 leaves a choice: names that occur twice stay as they are, and of the asked ones the last counts; a lone surrogate
// escape (\ud800) is kept, and cannot be made a text; a byte order mark before the value is passed over; bytes must be UTF-8.
#pragma once

#include <cstdint>
#include <expected>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace portloom::data {

struct JsonLimits {
  size_t bytes = 1 << 20;  // at most 2 GiB
  uint32_t depth = 512;    // of arrays and objects in each other; at most json_depth_max
};
inline constexpr uint32_t json_depth_max = 512;

// Where a value stands; all of it, an opening quote or bracket included.
struct JsonSpan {
  uint32_t begin = 0;
  uint32_t end = 0;  // 0: it is not there
  bool there() const { return end != 0; }
  std::string_view in(std::string_view text) const { return text.substr(begin, end - begin); }
};

enum class JsonKind : uint8_t { null, boolean, number, string, array, object };
// By the first byte of a value that slice() has found.
JsonKind kind_of_json(std::string_view value);

struct JsonFault {
  std::string_view message;  // a literal: "a string without its end"
  size_t at = 0;             // offset of the byte
};

// Which values of a text are wanted: a tree of paths, made once. Node 0 is the text's own value.
class JsonSelection {
 public:
  // One step of a path: a member's name, or an item's index when the name is absent.
  struct Step {
    std::string name;
    uint32_t index = 0;
    bool is_index = false;
    bool operator==(const Step&) const = default;
  };
  // The node that the path leads to; the same for equal paths.
  uint32_t add(std::span<const Step> path);
  // The same without adding it: `none` when it was never added.
  uint32_t find(std::span<const Step> path) const;
  size_t size() const { return nodes_.size(); }

  static constexpr uint32_t none = ~uint32_t{0};
  // `name` as it stands in the text, between its quotes.
  uint32_t member(uint32_t node, std::string_view name) const;
  uint32_t item(uint32_t node, uint32_t index) const;
  // Forgets what was found below a node.
  void clear_below(uint32_t node, std::span<JsonSpan> found) const;

 private:
  struct Node {
    std::vector<std::pair<Step, uint32_t>> next;
  };
  std::vector<Node> nodes_ = std::vector<Node>(1);
};

// Is `text` one JSON value with white space around it? The span of the value.
std::expected<JsonSpan, JsonFault> slice(std::string_view text, const JsonLimits& limits = {});
// The same, and `found` gets the place of each node of `wanted`: `found.size() == wanted.size()`.
std::expected<JsonSpan, JsonFault> slice(std::string_view text, const JsonLimits& limits, const JsonSelection& wanted,
                                         std::span<JsonSpan> found);

}  // namespace portloom::data
