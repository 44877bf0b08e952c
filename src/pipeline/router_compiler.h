// pipeline/router_compiler.h
//
// RouteCompiler: patterns into a RouteTree. Used by RouteTable::compile alone; lives as long as the compiling does.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "pipeline/router_tree.h"

namespace portloom::pipeline {

inline constexpr size_t route_segments_max = 64;     // of a pattern: a shape is one word
inline constexpr size_t route_host_bytes_max = 255;  // RFC 1035 §2.3.4

// The path of a pattern (no regex) as requests will have it: normalised, other than ASCII escaped, a prefix without the slash at its end.
Result<std::string> normal_path(const Pattern& pattern);

// One listener's hosts.
struct RouteDoor {
  uint32_t hosts = RouteTree::none;     // the node that exact hosts and ".suffix" wildcards are children of
  uint32_t any_host = RouteTree::none;  // the path tree for every other host
  bool has_exact = false;
  bool has_wildcard = false;
};

class RouteCompiler {
 public:
  RouteCompiler(RouteTree& tree, std::vector<RouteDoor>& doors) : tree_(tree), doors_(doors) {}
  // False: refused, and `problem` says why. Stop then.
  bool add(const Pattern& pattern);
  // After the last pattern. False: refused; `culprit` is the pattern that was one too many.
  bool finish();
  size_t depth_max() const { return depth_max_; }
  std::string problem;
  size_t culprit = 0;

 private:
  struct Draft {
    uint32_t node;
    Pattern::Form form;
    int breadth;     // how many methods: fewer are more specific
    size_t written;  // its number
    RouteTree::Leaf leaf;
    auto place() const { return std::pair(form, node); }
    // Leaves of one place stand in this order; the search takes the first of those that fit the method equally well.
    auto rank() const { return std::tuple(place(), -int{leaf.headers}, -int{leaf.query}, breadth, written); }
  };
  bool refuse(std::string_view why) {
    problem = why;
    return false;
  }
  uint32_t host_root(const Pattern& pattern);
  bool add_segment(uint32_t& node, std::string_view segment);
  bool add_path(uint32_t& node, const Pattern& pattern, RouteTree::Leaf& leaf);
  bool add_regex(const Pattern& pattern, RouteTree::Leaf& leaf);

  RouteTree& tree_;
  std::vector<RouteDoor>& doors_;
  std::vector<Draft> drafts_;
  std::set<std::pair<size_t, uint64_t>> shapes_;
  std::map<std::string, uint32_t, std::less<>> regexes_;  // by text: one automaton for all that are equal
  size_t depth_max_ = 0;
  // Of the pattern at hand:
  std::vector<std::string_view> names_;
  size_t depth_ = 0;
  uint64_t shape_ = 0;
};

}  // namespace portloom::pipeline
