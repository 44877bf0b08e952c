// pipeline/router_tree.cpp
//
// The edge table: linear probing at a load of at most one half. Its keys come from configuration; what a client sends is only
// looked up, and probes at most one cluster of them.
#include "pipeline/router_tree.h"

#include <cstring>

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

void RouteTree::add_leaf(uint32_t node, bool prefix, Leaf leaf) {
  Leaves& range = prefix ? nodes_[node].prefix : nodes_[node].exact;
  if (range.count == 0) range.begin = static_cast<uint32_t>(leaves_.size());
  ++range.count;
  leaves_.push_back(leaf);
}

void RouteTree::shrink() {
  nodes_.shrink_to_fit();
  leaves_.shrink_to_fit();
  names_.shrink_to_fit();
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
