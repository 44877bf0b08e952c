// pipeline/router_tree.h
//
// RouteTree: the compiled form of a RouteTable. Listeners, hosts and path segments are edges of one tree; all literal edges
// stand in one open-addressing hash table keyed by (node, text), so a look-up costs the same for 10 routes and for 100,000.
// What methods and conditions decide between stands in a short list at the node.
// Built once by RouteTable::compile; read by all workers afterwards.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "data/regex.h"
#include "http/headers.h"
#include "pipeline/router.h"

namespace portloom::pipeline {

class RouteTree {
 public:
  static constexpr uint32_t none = 0;  // no node

  // One way to a route, at the node where its path ends; a regex's is at the root of its host.
  struct Leaf {
    uint32_t route = 0;
    uint32_t names = 0;       // where the names of its {name} segments begin; of a regex: its number
    uint32_t conditions = 0;  // where its conditions begin: those on headers, then those on the query
    uint16_t methods = 0;     // bits by http::Method; 0: every method
    uint8_t headers = 0;      // how many
    uint8_t query = 0;
  };
  struct Leaves {
    uint32_t begin = 0;
    uint32_t count = 0;
  };
  struct Node {
    uint32_t any = none;  // behind a {name} segment
    bool has_literals = false;
    bool has_regexes = false;  // see regexes()
    Leaves exact;              // paths that end here, the most specific first
    Leaves prefix;             // prefixes that end here
  };

  RouteTree() : nodes_(1), slots_(16) {}

  const Node& node(uint32_t index) const { return nodes_[index]; }
  size_t size() const { return nodes_.size(); }
  const Leaf* leaves(Leaves range) const { return leaves_.data() + range.begin; }
  // Name number `i` of a leaf. Lives as long as the tree.
  std::string_view name(const Leaf& leaf, size_t i) const { return view(names_[leaf.names + i]); }
  const data::Regex& regex(const Leaf& leaf) const { return regexes_[leaf.names]; }
  // The regexes below a host's root.
  Leaves regexes(uint32_t root) const;
  // Does the request have what the leaf asks for beside path and method?
  bool holds(const Leaf& leaf, const Lookup& asked) const { return (leaf.headers | leaf.query) == 0 || holds_conditions(leaf, asked); }
  // The node behind the literal `text`; none when there is no such edge.
  uint32_t child(uint32_t node, std::string_view text) const;

  // Building. The same, but made when it is missing.
  uint32_t make_node();
  uint32_t make_child(uint32_t node, std::string_view text);
  uint32_t make_any(uint32_t node);
  uint32_t add_names(const std::vector<std::string_view>& names);
  uint32_t add_regex(data::Regex regex);
  uint32_t add_conditions(const Pattern& pattern);
  // Appends to the leaves of that form of `node`: all those of one list must be added in a row, regexes by rising node.
  void add_leaf(uint32_t node, Pattern::Form form, Leaf leaf);
  void shrink();

 private:
  struct Text {
    uint32_t offset = 0;
    uint32_t length = 0;
  };
  struct Slot {
    uint32_t parent = none;
    uint32_t child = none;  // none: the slot is free
    uint32_t hash = 0;
    Text text;
  };
  struct Compiled {
    http::Name id = http::Name::other;
    bool any = false;
    Text name;
    Text value;
  };
  bool holds_conditions(const Leaf& leaf, const Lookup& asked) const;
  bool has_field(const Compiled& condition, const http::Headers& headers) const;
  std::string_view view(Text text) const { return std::string_view(texts_).substr(text.offset, text.length); }
  Text keep(std::string_view text);
  void grow();

  std::vector<Node> nodes_;  // the first is `none`
  std::vector<Slot> slots_;  // a power of two, at most half of them taken
  size_t taken_ = 0;
  std::vector<Leaf> leaves_;
  std::vector<Text> names_;
  std::vector<Compiled> conditions_;
  std::vector<data::Regex> regexes_;
  std::vector<std::pair<uint32_t, Leaves>> regex_roots_;  // by node
  std::string texts_;
};

}  // namespace portloom::pipeline
