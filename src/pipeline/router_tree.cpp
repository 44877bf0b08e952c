// pipeline/router_tree.cpp
//
// The edge table: linear probing at a load of at most one half. Its keys come from configuration; what a client sends is only
// looked up, and probes at most one cluster of them.
#include "pipeline/router_tree.h"

#include <algorithm>
#include <cstring>

#include "base/text.h"
#include "http/form.h"

namespace portloom::pipeline {

namespace {

uint64_t mix(uint64_t hash, uint64_t word) {
  hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
  return hash ^ (hash >> 32);
}

uint32_t hash_of(uint32_t node, std::string_view text) {
  uint64_t hash = mix(node, text.size());
  uint64_t word = 0;
  for (; text.size() >= sizeof word; text.remove_prefix(sizeof word)) {
    std::memcpy(&word, text.data(), sizeof word);
    hash = mix(hash, word);
  }
  if (!text.empty()) {
    word = 0;
    std::memcpy(&word, text.data(), text.size());
    hash = mix(hash, word);
  }
  return static_cast<uint32_t>(hash);
}

}  // namespace

uint32_t RouteTree::child(uint32_t node, std::string_view text) const {
  uint32_t hash = hash_of(node, text);
  size_t mask = slots_.size() - 1;
  for (size_t i = hash & mask; slots_[i].child != none; i = (i + 1) & mask) {
    const Slot& slot = slots_[i];
    if (slot.hash == hash && slot.parent == node && view(slot.text) == text) return slot.child;
  }
  return none;
}

uint32_t RouteTree::make_node() {
  nodes_.emplace_back();
  return static_cast<uint32_t>(nodes_.size() - 1);
}

uint32_t RouteTree::make_child(uint32_t node, std::string_view text) {
  if (uint32_t there = child(node, text); there != none) return there;
  if (2 * (taken_ + 1) > slots_.size()) grow();
  nodes_[node].has_literals = true;
  Slot made{node, make_node(), hash_of(node, text), keep(text)};
  size_t mask = slots_.size() - 1;
  size_t i = made.hash & mask;
  while (slots_[i].child != none) i = (i + 1) & mask;
  slots_[i] = made;
  ++taken_;
  return made.child;
}

uint32_t RouteTree::make_any(uint32_t node) {
  if (nodes_[node].any == none) {
    uint32_t made = make_node();
    nodes_[node].any = made;
  }
  return nodes_[node].any;
}

uint32_t RouteTree::add_names(const std::vector<std::string_view>& names) {
  auto begin = static_cast<uint32_t>(names_.size());
  for (std::string_view name : names) names_.push_back(keep(name));
  return begin;
}

uint32_t RouteTree::add_regex(data::Regex regex) {
  regexes_.push_back(std::move(regex));
  return static_cast<uint32_t>(regexes_.size() - 1);
}

uint32_t RouteTree::add_conditions(const Pattern& pattern) {
  auto begin = static_cast<uint32_t>(conditions_.size());
  for (const Condition& condition : pattern.headers)
    conditions_.push_back({http::name_of_field(condition.name), condition.any, keep(condition.name), keep(condition.value)});
  for (const Condition& condition : pattern.query)
    conditions_.push_back({http::Name::other, condition.any, keep(condition.name), keep(condition.value)});
  return begin;
}

void RouteTree::add_leaf(uint32_t node, Pattern::Form form, Leaf leaf) {
  if (form == Pattern::Form::regex && (regex_roots_.empty() || regex_roots_.back().first != node)) {
    regex_roots_.emplace_back(node, Leaves{});
    nodes_[node].has_regexes = true;
  }
  Leaves& range = form == Pattern::Form::regex   ? regex_roots_.back().second
                  : form == Pattern::Form::exact ? nodes_[node].exact
                                                 : nodes_[node].prefix;
  if (range.count == 0) range.begin = static_cast<uint32_t>(leaves_.size());
  ++range.count;
  leaves_.push_back(leaf);
}

RouteTree::Leaves RouteTree::regexes(uint32_t root) const {
  if (!nodes_[root].has_regexes) return {};
  auto found = std::ranges::lower_bound(regex_roots_, root, {}, &std::pair<uint32_t, Leaves>::first);
  return found->second;
}

// A field with several lines is one value, joined by ", " (RFC 9110 §5.3): so nobody slips a second one past a route.
bool RouteTree::has_field(const Compiled& condition, const http::Headers& headers) const {
  if (condition.id != http::Name::other && !headers.contains(condition.id)) return false;
  std::string_view name = view(condition.name);
  std::string_view due = view(condition.value);
  bool found = false;
  for (http::Headers::Field field : headers) {
    if (field.id != condition.id || (condition.id == http::Name::other && !equals_ignoring_case(field.name, name))) continue;
    if (condition.any) return true;
    if (found) {
      if (!due.starts_with(", ")) return false;
      due.remove_prefix(2);
    }
    if (!due.starts_with(field.value)) return false;
    due.remove_prefix(field.value.size());
    found = true;
  }
  return found && due.empty();
}

bool RouteTree::holds_conditions(const Leaf& leaf, const Lookup& asked) const {
  const Compiled* condition = conditions_.data() + leaf.conditions;
  for (const Compiled* end = condition + leaf.headers; condition != end; ++condition)
    if (asked.headers == nullptr || !has_field(*condition, *asked.headers)) return false;
  for (const Compiled* end = condition + leaf.query; condition != end; ++condition) {
    std::optional<std::string_view> value = http::find_parameter(asked.query, view(condition->name));
    if (!value || !(condition->any || http::form_equals(*value, view(condition->value)))) return false;
  }
  return true;
}

void RouteTree::shrink() {
  nodes_.shrink_to_fit();
  leaves_.shrink_to_fit();
  names_.shrink_to_fit();
  conditions_.shrink_to_fit();
  texts_.shrink_to_fit();
}

RouteTree::Text RouteTree::keep(std::string_view text) {
  Text kept{static_cast<uint32_t>(texts_.size()), static_cast<uint32_t>(text.size())};
  texts_.append(text);
  return kept;
}

void RouteTree::grow() {
  std::vector<Slot> old(slots_.size() * 2);
  old.swap(slots_);
  size_t mask = slots_.size() - 1;
  for (const Slot& slot : old) {
    if (slot.child == none) continue;
    size_t i = slot.hash & mask;
    while (slots_[i].child != none) i = (i + 1) & mask;
    slots_[i] = slot;
  }
}

}  // namespace portloom::pipeline
