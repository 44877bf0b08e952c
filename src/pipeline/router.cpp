// pipeline/router.cpp
//
// The search through a RouteTree. It walks literals before {name} segments, so the first full path it meets is the most
// specific; the longest prefix it passed counts only when no full path fits, and a regex only when no prefix but "/" does. It
// visits a node at most once, and of one depth at most one node per shape (which segments are {name}s).
#include "pipeline/router.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "base/check.h"
#include "base/text.h"
#include "pipeline/router_compiler.h"
#include "pipeline/router_tree.h"

namespace portloom::pipeline {

namespace {

constexpr std::string_view rest_name = "rest";

constexpr uint16_t bit_of(http::Method method) { return static_cast<uint16_t>(1u << static_cast<unsigned>(method)); }

// Without port and the root's dot, in lower case in `buffer`. Empty when there is none or it is too long to be one.
std::string_view plain_host(std::string_view host, std::array<char, route_host_bytes_max>& buffer) {
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
  Search(const RouteTree& tree, const Lookup& asked, size_t depth_max);
  // Looks below `root`; true when there is a route.
  bool run(uint32_t root) {
    if (root == RouteTree::none) return false;
    if (descend(root, 0, 0)) return true;
    // A prefix "/" takes what nothing else took, so a regex comes before it.
    if (tree_.node(root).has_regexes && (found_ == nullptr || depth_ == 0)) try_regexes(root);
    return found_ != nullptr;
  }
  const RouteTree::Leaf& found() const { return *found_; }
  uint16_t allowed() const { return allowed_; }
  void write(Params& params) const;

 private:
  bool descend(uint32_t at, size_t depth, uint64_t shape);
  void try_regexes(uint32_t root);
  template <class Fits>
  const RouteTree::Leaf* choose(RouteTree::Leaves range, Fits fits);
  const RouteTree::Leaf* choose(RouteTree::Leaves range) {
    return range.count == 0 ? nullptr : choose(range, [](const RouteTree::Leaf&) { return true; });
  }
  void keep(const RouteTree::Leaf* leaf, Pattern::Form form, size_t depth, uint64_t shape);
  std::string_view segment(size_t i) const { return asked_.path.substr(starts_[i], starts_[i + 1] - 1 - starts_[i]); }

  const RouteTree& tree_;
  const Lookup& asked_;
  std::array<size_t, route_segments_max + 2> starts_;  // of segments; one more, as if a slash stood behind the path
  size_t count_ = 0;                                   // segments; what goes deeper than the tree is left whole in the last
  uint16_t allowed_ = 0;
  const RouteTree::Leaf* found_ = nullptr;
  Pattern::Form form_ = Pattern::Form::exact;
  size_t depth_ = 0;
  uint64_t shape_ = 0;
};

Search::Search(const RouteTree& tree, const Lookup& asked, size_t depth_max) : tree_(tree), asked_(asked) {
  for (size_t slash = 0; slash != std::string_view::npos && count_ <= depth_max; slash = asked.path.find('/', slash + 1))
    starts_[count_++] = slash + 1;
  starts_[count_] = asked.path.size() + 1;
}

bool Search::descend(uint32_t at, size_t depth, uint64_t shape) {
  const RouteTree::Node& node = tree_.node(at);
  if (node.prefix.count != 0 && (found_ == nullptr || depth > depth_)) keep(choose(node.prefix), Pattern::Form::prefix, depth, shape);
  if (depth == count_) {
    const RouteTree::Leaf* leaf = choose(node.exact);
    keep(leaf, Pattern::Form::exact, depth, shape);
    return leaf != nullptr;
  }
  std::string_view next = segment(depth);
  if (node.has_literals) {
    uint32_t child = tree_.child(at, next);
    if (child != RouteTree::none && descend(child, depth + 1, shape)) return true;
  }
  return node.any != RouteTree::none && !next.empty() && descend(node.any, depth + 1, shape | uint64_t{1} << depth);
}

void Search::try_regexes(uint32_t root) {
  auto fits = [this](const RouteTree::Leaf& leaf) { return tree_.regex(leaf).matches(asked_.path); };
  keep(choose(tree_.regexes(root), fits), Pattern::Form::regex, 0, 0);
}

// The leaf that takes the method, of those whose conditions hold and for which `fits(leaf)`; remembers what the others would take.
template <class Fits>
const RouteTree::Leaf* Search::choose(RouteTree::Leaves range, Fits fits) {
  const RouteTree::Leaf* by_get = nullptr;
  const RouteTree::Leaf* by_any = nullptr;
  const RouteTree::Leaf* leaf = tree_.leaves(range);
  for (const RouteTree::Leaf* end = leaf + range.count; leaf != end; ++leaf) {
    if (!tree_.holds(*leaf, asked_) || !fits(*leaf)) continue;
    if ((leaf->methods & bit_of(asked_.method)) != 0) return leaf;
    if (by_any == nullptr && leaf->methods == 0) by_any = leaf;
    // RFC 9110 §9.3.2: HEAD is GET without the content.
    if (by_get == nullptr && asked_.method == http::Method::HEAD && (leaf->methods & bit_of(http::Method::GET)) != 0) by_get = leaf;
    allowed_ |= leaf->methods;
  }
  return by_get != nullptr ? by_get : by_any;
}

void Search::keep(const RouteTree::Leaf* leaf, Pattern::Form form, size_t depth, uint64_t shape) {
  if (leaf == nullptr) return;
  found_ = leaf;
  form_ = form;
  depth_ = depth;
  shape_ = shape;
}

void Search::write(Params& params) const {
  if (form_ == Pattern::Form::regex) {
    const data::Regex& regex = tree_.regex(*found_);
    std::string_view values[data::Regex::groups_max];
    regex.capture(asked_.path, values);
    for (size_t i = 0; i < regex.groups().size(); ++i)
      if (values[i].data() != nullptr) params.items[params.count++] = {regex.groups()[i].name, values[i]};
    return;
  }
  for (uint64_t left = shape_; left != 0; left &= left - 1) {
    params.items[params.count] = {tree_.name(*found_, params.count), segment(static_cast<size_t>(std::countr_zero(left)))};
    ++params.count;
  }
  if (form_ != Pattern::Form::prefix) return;
  std::string_view rest = depth_ < count_ ? asked_.path.substr(starts_[depth_]) : std::string_view{};
  params.items[params.count++] = {rest_name, rest};
}

bool search_hosts(Search& search, const RouteTree& tree, const RouteDoor& door, std::string_view host) {
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
  std::vector<RouteDoor> doors;  // by listener
  size_t depth_max = 0;
};

RouteTable::RouteTable() : tree_(std::make_unique<Tree>()) {}
RouteTable::~RouteTable() = default;

Result<std::shared_ptr<const RouteTable>> RouteTable::compile(std::vector<Route> routes, std::vector<Pattern> patterns) {
  std::shared_ptr<RouteTable> table(new RouteTable);
  RouteCompiler compiler(table->tree_->tree, table->tree_->doors);
  auto refuse = [&](const Pattern& pattern) {
    const std::string& line = routes[pattern.route].config;
    std::string detail = line.empty() ? "" : line + ": ";
    detail.append("route ").append(pattern.host).append(pattern.path).append(": ").append(compiler.problem);
    return failure(Code::invalid, Side::gateway, std::move(detail));
  };
  for (const Pattern& pattern : patterns) {
    CHECK(pattern.route < routes.size());
    if (!compiler.add(pattern)) return refuse(pattern);
  }
  if (!compiler.finish()) return refuse(patterns[compiler.culprit]);
  table->tree_->depth_max = compiler.depth_max();
  table->routes_ = std::move(routes);
  return table;
}

RouteTable::Match RouteTable::match(const Lookup& asked, Params& params) const {
  params.count = 0;
  // A path that does not begin with "/" ("*", or CONNECT's none) belongs to no route.
  if (asked.listener >= tree_->doors.size() || !asked.path.starts_with('/')) return {};
  std::array<char, route_host_bytes_max> buffer;
  Search search(tree_->tree, asked, tree_->depth_max);
  if (search_hosts(search, tree_->tree, tree_->doors[asked.listener], plain_host(asked.host, buffer))) {
    search.write(params);
    return {&routes_[search.found().route], 0};
  }
  uint16_t allowed = search.allowed();
  if ((allowed & bit_of(http::Method::GET)) != 0) allowed |= bit_of(http::Method::HEAD);
  return {nullptr, allowed};
}

}  // namespace portloom::pipeline
