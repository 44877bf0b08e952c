// pipeline/router.cpp
//
// Compiling patterns into a RouteTree, and the search through it. The search walks literals before {name} segments, so the
// first full path it meets is the most specific; the longest prefix it passed counts only when no full path fits. It visits a
// node at most once, and of one depth at most one node per shape (which segments are {name}s): segments x shapes_max at most.
#include "pipeline/router.h"

#include <algorithm>
#include <bit>
#include <set>
#include <tuple>
#include <utility>

#include "base/check.h"
#include "base/text.h"
#include "http/grammar.h"
#include "http/path.h"
#include "pipeline/router_tree.h"

namespace portloom::pipeline {

namespace {

constexpr size_t segments_max = 64;     // of a pattern: a shape is one word
constexpr size_t shapes_max = 1024;     // arrangements of literals and {name}s in one table, all depths together
constexpr size_t host_bytes_max = 255;  // RFC 1035 §2.3.4
constexpr std::string_view rest_name = "rest";

// One listener's hosts.
struct Door {
  uint32_t hosts = RouteTree::none;     // the node that exact hosts and ".suffix" wildcards are children of
  uint32_t any_host = RouteTree::none;  // the path tree for every other host
  bool has_exact = false;
  bool has_wildcard = false;
};

constexpr uint16_t bit_of(http::Method method) { return static_cast<uint16_t>(1u << static_cast<unsigned>(method)); }

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

// The path of a pattern as requests will have it: normalised, other than ASCII escaped, a prefix without the slash at its end.
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
  if (pattern.prefix && path.ends_with('/')) path.pop_back();
  return path;
}

// Turns patterns into a tree; `problem` says what was wrong with the last one.
class Compiler {
 public:
  Compiler(RouteTree& tree, std::vector<Door>& doors) : tree_(tree), doors_(doors) {}
  bool add(const Pattern& pattern);
  void finish();
  size_t depth_max() const { return depth_max_; }
  std::string problem;

 private:
  struct Draft {
    uint32_t node;
    bool prefix;
    int breadth;     // how many methods: fewer are more specific
    size_t written;  // its number
    RouteTree::Leaf leaf;
    auto place() const { return std::tuple(node, prefix, breadth, leaf.methods); }
  };
  bool refuse(std::string_view why) {
    problem = why;
    return false;
  }
  uint32_t host_root(const Pattern& pattern);
  bool add_segment(uint32_t& node, std::string_view segment);

  RouteTree& tree_;
  std::vector<Door>& doors_;
  std::vector<Draft> drafts_;
  std::set<std::pair<size_t, uint64_t>> shapes_;
  size_t depth_max_ = 0;
  // Of the pattern at hand:
  std::vector<std::string_view> names_;
  size_t depth_ = 0;
  uint64_t shape_ = 0;
};

// The path tree of the pattern's host; none when the host is malformed.
uint32_t Compiler::host_root(const Pattern& pattern) {
  if (doors_.size() <= pattern.listener) doors_.resize(pattern.listener + size_t{1});
  Door& door = doors_[pattern.listener];
  if (pattern.host.empty()) {
    if (door.any_host == RouteTree::none) door.any_host = tree_.make_node();
    return door.any_host;
  }
  bool wildcard = pattern.host.starts_with("*.");
  std::string host;
  for (char c : std::string_view(pattern.host).substr(wildcard ? 2 : 0)) host += to_lower(c);
  if (host.ends_with('.')) host.pop_back();
  http::Authority authority;
  if (host.empty() || host.size() > host_bytes_max || host.front() == '.' || host.contains('*') ||
      !http::parse_authority(host, authority) || authority.host != host) {
    refuse("a host is a name without port, or \"*.\" and a name");
    return RouteTree::none;
  }
  if (door.hosts == RouteTree::none) door.hosts = tree_.make_node();
  (wildcard ? door.has_wildcard : door.has_exact) = true;
  return tree_.make_child(door.hosts, wildcard ? "." + host : host);
}

bool Compiler::add_segment(uint32_t& node, std::string_view segment) {
  if (depth_ == segments_max) return refuse("it has more than 64 segments");
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

bool Compiler::add(const Pattern& pattern) {
  Result<std::string> path = normal_path(pattern);
  if (!path) return refuse(path.error().detail);
  uint32_t node = host_root(pattern);
  if (node == RouteTree::none) return false;
  names_.clear();
  depth_ = 0;
  shape_ = 0;
  if (!for_each_segment(*path, [&](std::string_view segment) { return add_segment(node, segment); })) return false;
  bool has_rest = std::ranges::find(names_, rest_name) != names_.end();
  if (pattern.prefix && has_rest) return refuse("{rest} is what follows a prefix: name the segment otherwise");
  if (names_.size() + (pattern.prefix ? 1 : 0) > Params::count_max) return refuse("it captures more than 16 values");
  depth_max_ = std::max(depth_max_, depth_);
  int breadth = pattern.methods == 0 ? 17 : std::popcount(pattern.methods);
  drafts_.push_back({node, pattern.prefix, breadth, drafts_.size(), {pattern.route, tree_.add_names(names_), pattern.methods}});
  return true;
}

void Compiler::finish() {
  std::ranges::sort(drafts_, {}, [](const Draft& draft) { return std::pair(draft.place(), draft.written); });
  for (size_t i = 0; i < drafts_.size(); ++i)
    if (i == 0 || drafts_[i - 1].place() != drafts_[i].place()) tree_.add_leaf(drafts_[i].node, drafts_[i].prefix, drafts_[i].leaf);
  tree_.shrink();
}

// Without port and the root's dot, in lower case in `buffer`. Empty when there is none or it is too long to be one.
std::string_view plain_host(std::string_view host, std::array<char, host_bytes_max>& buffer) {
  // RFC 3986 §3.2.2: only in brackets may a host contain colons.
  size_t bracket = host.starts_with('[') ? host.find(']') : std::string_view::npos;
  host = bracket != std::string_view::npos ? host.substr(0, bracket + 1) : host.substr(0, host.find(':'));
  if (host.ends_with('.')) host.remove_suffix(1);
  if (host.size() > buffer.size()) return {};
  std::ranges::transform(host, buffer.begin(), to_lower);
  return {buffer.data(), host.size()};
}

class Search {
 public:
  Search(const RouteTree& tree, http::Method method, std::string_view path, size_t depth_max);
  // Looks below `root`; true when there is a route.
  bool run(uint32_t root) {
    if (root == RouteTree::none) return false;
    return descend(root, 0, 0) || found_ != nullptr;
  }
  const RouteTree::Leaf& found() const { return *found_; }
  uint16_t allowed() const { return allowed_; }
  void write(Params& params) const;

 private:
  bool descend(uint32_t at, size_t depth, uint64_t shape);
  const RouteTree::Leaf* choose(RouteTree::Leaves range);
  void keep(const RouteTree::Leaf* leaf, bool prefix, size_t depth, uint64_t shape);
  std::string_view segment(size_t i) const { return path_.substr(starts_[i], starts_[i + 1] - 1 - starts_[i]); }

  const RouteTree& tree_;
  const http::Method method_;
  const std::string_view path_;
  std::array<size_t, segments_max + 2> starts_;  // of segments; one more, as if a slash stood behind the path
  size_t count_ = 0;                             // segments; what goes deeper than the tree is left whole in the last
  uint16_t allowed_ = 0;
  const RouteTree::Leaf* found_ = nullptr;
  bool prefix_ = false;
  size_t depth_ = 0;
  uint64_t shape_ = 0;
};

Search::Search(const RouteTree& tree, http::Method method, std::string_view path, size_t depth_max)
    : tree_(tree), method_(method), path_(path) {
  for (size_t slash = 0; slash != std::string_view::npos && count_ <= depth_max; slash = path.find('/', slash + 1))
    starts_[count_++] = slash + 1;
  starts_[count_] = path.size() + 1;
}

bool Search::descend(uint32_t at, size_t depth, uint64_t shape) {
  const RouteTree::Node& node = tree_.node(at);
  if (node.prefix.count != 0 && (found_ == nullptr || depth > depth_)) keep(choose(node.prefix), true, depth, shape);
  if (depth == count_) {
    const RouteTree::Leaf* leaf = choose(node.exact);
    keep(leaf, false, depth, shape);
    return leaf != nullptr;
  }
  std::string_view next = segment(depth);
  if (node.has_literals) {
    uint32_t child = tree_.child(at, next);
    if (child != RouteTree::none && descend(child, depth + 1, shape)) return true;
  }
  return node.any != RouteTree::none && !next.empty() && descend(node.any, depth + 1, shape | uint64_t{1} << depth);
}

// The leaf that takes the method; remembers what the others would take.
const RouteTree::Leaf* Search::choose(RouteTree::Leaves range) {
  const RouteTree::Leaf* by_get = nullptr;
  const RouteTree::Leaf* by_any = nullptr;
  const RouteTree::Leaf* leaf = tree_.leaves(range);
  for (const RouteTree::Leaf* end = leaf + range.count; leaf != end; ++leaf) {
    if ((leaf->methods & bit_of(method_)) != 0) return leaf;
    if (leaf->methods == 0) by_any = leaf;
    // RFC 9110 §9.3.2: HEAD is GET without the content.
    if (by_get == nullptr && method_ == http::Method::HEAD && (leaf->methods & bit_of(http::Method::GET)) != 0) by_get = leaf;
    allowed_ |= leaf->methods;
  }
  return by_get != nullptr ? by_get : by_any;
}

void Search::keep(const RouteTree::Leaf* leaf, bool prefix, size_t depth, uint64_t shape) {
  if (leaf == nullptr) return;
  found_ = leaf;
  prefix_ = prefix;
  depth_ = depth;
  shape_ = shape;
}

void Search::write(Params& params) const {
  for (uint64_t left = shape_; left != 0; left &= left - 1) {
    params.items[params.count] = {tree_.name(*found_, params.count), segment(static_cast<size_t>(std::countr_zero(left)))};
    ++params.count;
  }
  if (!prefix_) return;
  std::string_view rest = depth_ < count_ ? path_.substr(starts_[depth_]) : std::string_view{};
  params.items[params.count++] = {rest_name, rest};
}

bool search_hosts(Search& search, const RouteTree& tree, const Door& door, std::string_view host) {
  bool named = !host.empty() && host.front() != '.';
  if (named && door.has_exact && search.run(tree.child(door.hosts, host))) return true;
  if (named && door.has_wildcard)
    for (size_t dot = host.find('.'); dot != std::string_view::npos; dot = host.find('.', dot + 1))
      if (search.run(tree.child(door.hosts, host.substr(dot)))) return true;
  return search.run(door.any_host);
}

}  // namespace

struct RouteTable::Tree {
  RouteTree tree;
  std::vector<Door> doors;  // by listener
  size_t depth_max = 0;
};

RouteTable::RouteTable() : tree_(std::make_unique<Tree>()) {}
RouteTable::~RouteTable() = default;

Result<std::shared_ptr<const RouteTable>> RouteTable::compile(std::vector<Route> routes, std::vector<Pattern> patterns) {
  std::shared_ptr<RouteTable> table(new RouteTable);
  Compiler compiler(table->tree_->tree, table->tree_->doors);
  for (const Pattern& pattern : patterns) {
    CHECK(pattern.route < routes.size());
    if (compiler.add(pattern)) continue;
    const std::string& line = routes[pattern.route].config;
    std::string detail = line.empty() ? "" : line + ": ";
    detail.append("route ").append(pattern.host).append(pattern.path).append(": ").append(compiler.problem);
    return failure(Code::invalid, Side::gateway, std::move(detail));
  }
  compiler.finish();
  table->tree_->depth_max = compiler.depth_max();
  table->routes_ = std::move(routes);
  return table;
}

RouteTable::Match RouteTable::match(uint16_t listener, http::Method method, std::string_view host, std::string_view path,
                                    Params& params) const {
  params.count = 0;
  // A path that does not begin with "/" ("*", or CONNECT's none) belongs to no route.
  if (listener >= tree_->doors.size() || !path.starts_with('/')) return {};
  std::array<char, host_bytes_max> buffer;
  Search search(tree_->tree, method, path, tree_->depth_max);
  if (search_hosts(search, tree_->tree, tree_->doors[listener], plain_host(host, buffer))) {
    search.write(params);
    return {&routes_[search.found().route], 0};
  }
  uint16_t allowed = search.allowed();
  if ((allowed & bit_of(http::Method::GET)) != 0) allowed |= bit_of(http::Method::HEAD);
  return {nullptr, allowed};
}

}  // namespace portloom::pipeline
