// pipeline/router_compiler.cpp
//
// Each pattern walks its host and its segments into the tree; the leaves are put into order at the end, when all are known.
#include "pipeline/router_compiler.h"

#include <algorithm>
#include <bit>

#include "base/text.h"
#include "http/grammar.h"
#include "http/path.h"

namespace portloom::pipeline {

namespace {

constexpr size_t shapes_max = 1024;    // arrangements of literals and {name}s in one table, all depths together
constexpr size_t conditions_max = 16;  // of a pattern, on headers and on the query each
constexpr std::string_view rest_name = "rest";

// Calls f(segment) for each; "/" has one, empty; "/a/" has "a" and an empty one. f returns false to stop.
template <class F>
bool for_each_segment(std::string_view path, F f) {
  while (!path.empty()) {
    path.remove_prefix(1);
    std::string_view segment = path.substr(0, path.find('/'));
    if (!f(segment)) return false;
    path.remove_prefix(segment.size());
  }
  return true;
}

bool is_name(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) { return is_alpha(c) || is_digit(c) || c == '_' || c == '-'; });
}

}  // namespace

Result<std::string> normal_path(const Pattern& pattern) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  std::string ascii;
  for (char c : pattern.path) {
    auto byte = static_cast<uint8_t>(c);
    if (byte < 0x80)
      ascii += c;
    else
      (ascii += '%').append({digits[byte >> 4], digits[byte & 15]});
  }
  Result<http::Target> target = http::normalize(ascii);
  if (!target) return std::unexpected(target.error());
  if (target->has_query) return failure(Code::invalid, Side::gateway, "a path has no query");
  std::string path(target->path);
  if (pattern.form == Pattern::Form::prefix && path.ends_with('/')) path.pop_back();
  return path;
}

// The path tree of the pattern's host; none when the host is malformed.
uint32_t RouteCompiler::host_root(const Pattern& pattern) {
  if (doors_.size() <= pattern.listener) doors_.resize(pattern.listener + size_t{1});
  RouteDoor& door = doors_[pattern.listener];
  if (pattern.host.empty()) {
    if (door.any_host == RouteTree::none) door.any_host = tree_.make_node();
    return door.any_host;
  }
  bool wildcard = pattern.host.starts_with("*.");
  std::string host;
  for (char c : std::string_view(pattern.host).substr(wildcard ? 2 : 0)) host += to_lower(c);
  if (host.ends_with('.')) host.pop_back();
  http::Authority authority;
  if (host.empty() || host.size() > route_host_bytes_max || host.front() == '.' || host.contains('*') ||
      !http::parse_authority(host, authority) || authority.host != host) {
    refuse("a host is a name without port, or \"*.\" and a name");
    return RouteTree::none;
  }
  if (door.hosts == RouteTree::none) door.hosts = tree_.make_node();
  (wildcard ? door.has_wildcard : door.has_exact) = true;
  return tree_.make_child(door.hosts, wildcard ? "." + host : host);
}

bool RouteCompiler::add_segment(uint32_t& node, std::string_view segment) {
  if (depth_ == route_segments_max) return refuse("it has more than 64 segments");
  bool named = segment.contains('{') || segment.contains('}');
  if (named) {
    if (!segment.starts_with('{') || segment.find('}') != segment.size() - 1)
      return refuse("{name} stands for a whole segment, and its brace is closed");
    std::string_view name = segment.substr(1, segment.size() - 2);
    if (!is_name(name)) return refuse("a {name} has letters, digits, '_' and '-'");
    if (std::ranges::find(names_, name) != names_.end()) return refuse("two segments have the same {name}");
    names_.push_back(name);
    shape_ |= uint64_t{1} << depth_;
  }
  size_t before = tree_.size();
  node = named ? tree_.make_any(node) : tree_.make_child(node, segment);
  ++depth_;
  if (tree_.size() == before) return true;
  shapes_.emplace(depth_, shape_);
  return shapes_.size() <= shapes_max || refuse("the routes arrange {name} segments in too many ways (more than 1024)");
}

bool RouteCompiler::add_path(uint32_t& node, const Pattern& pattern, RouteTree::Leaf& leaf) {
  Result<std::string> path = normal_path(pattern);
  if (!path) return refuse(path.error().detail);
  names_.clear();
  depth_ = 0;
  shape_ = 0;
  if (!for_each_segment(*path, [&](std::string_view segment) { return add_segment(node, segment); })) return false;
  bool prefix = pattern.form == Pattern::Form::prefix;
  if (prefix && std::ranges::find(names_, rest_name) != names_.end())
    return refuse("{rest} is what follows a prefix: name the segment otherwise");
  if (names_.size() + (prefix ? 1 : 0) > Params::count_max) return refuse("it captures more than 16 values");
  depth_max_ = std::max(depth_max_, depth_);
  leaf.names = tree_.add_names(names_);
  return true;
}

bool RouteCompiler::add_regex(const Pattern& pattern, RouteTree::Leaf& leaf) {
  auto known = regexes_.find(pattern.path);
  if (known == regexes_.end()) {
    Result<data::Regex> regex = data::Regex::compile(pattern.path);
    if (!regex) return refuse(regex.error().detail);
    known = regexes_.emplace(pattern.path, tree_.add_regex(std::move(*regex))).first;
  }
  leaf.names = known->second;
  return true;
}

bool RouteCompiler::add(const Pattern& pattern) {
  uint32_t node = host_root(pattern);
  if (node == RouteTree::none) return false;
  if (pattern.headers.size() > conditions_max || pattern.query.size() > conditions_max)
    return refuse("it has more than 16 conditions of a kind");
  RouteTree::Leaf leaf{.route = pattern.route,
                       .conditions = tree_.add_conditions(pattern),
                       .methods = pattern.methods,
                       .headers = static_cast<uint8_t>(pattern.headers.size()),
                       .query = static_cast<uint8_t>(pattern.query.size())};
  if (!(pattern.form == Pattern::Form::regex ? add_regex(pattern, leaf) : add_path(node, pattern, leaf))) return false;
  int breadth = pattern.methods == 0 ? 17 : std::popcount(pattern.methods);
  drafts_.push_back({node, pattern.form, breadth, drafts_.size(), leaf});
  return true;
}

bool RouteCompiler::finish() {
  std::ranges::sort(drafts_, {}, &Draft::rank);
  size_t rivals = 0;
  for (size_t i = 0; i < drafts_.size(); ++i) {
    const Draft& draft = drafts_[i];
    rivals = i > 0 && drafts_[i - 1].place() == draft.place() ? rivals + 1 : 1;
    bool regex = draft.form == Pattern::Form::regex;
    if (rivals > (regex ? RouteTable::regexes_max : RouteTable::rivals_max)) {
      culprit = draft.written;
      return refuse(regex ? "its host has more than 256 regexes" : "more than 256 routes have this host and path");
    }
    tree_.add_leaf(draft.node, draft.form, draft.leaf);
  }
  tree_.shrink();
  return true;
}

}  // namespace portloom::pipeline
