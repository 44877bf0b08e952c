// pipeline/router_naive_for_tests.h
//
// What RouteTable means, said a second time and as plainly as can be: look at every pattern, keep those that fit, take the one
// that ranks first. Tests and the fuzzer compare RouteTable with it. Also: how both make up patterns and requests.
#pragma once

#include <algorithm>
#include <bit>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "base/text.h"
#include "pipeline/router.h"

namespace portloom::pipeline {

inline std::vector<std::string_view> segments_of(std::string_view path) {
  std::vector<std::string_view> segments;
  for (size_t at = 0; at < path.size();) {
    size_t slash = std::min(path.find('/', at + 1), path.size());
    segments.push_back(path.substr(at + 1, slash - at - 1));
    at = slash;
  }
  return segments;
}

// Smaller ranks win.
struct NaiveRank {
  size_t host = 0;  // 0: exact; then wildcards, longer ones first; any
  bool prefix = false;
  size_t shortness = 0;     // of a prefix
  std::vector<bool> shape;  // which segments are {name}s
  int method = 0;           // HEAD by GET, then every method, last
  int breadth = 0;
  uint16_t methods = 0;
  size_t written = 0;
  auto operator<=>(const NaiveRank&) const = default;
};

inline bool naive_host(const std::string& pattern, std::string_view host, size_t& rank) {
  rank = pattern.empty() ? 1000 : pattern.starts_with("*.") ? 999 - pattern.size() : 0;
  if (rank == 0) return host == pattern;
  if (rank == 1000) return true;
  std::string_view suffix = std::string_view(pattern).substr(1);
  return host.size() > suffix.size() && host.ends_with(suffix) && host.front() != '.';
}

inline bool naive_path(const Pattern& pattern, std::string_view path, NaiveRank& rank) {
  std::string_view text = pattern.path;
  if (pattern.prefix && text.ends_with('/')) text.remove_suffix(1);
  std::vector<std::string_view> due = segments_of(text);
  std::vector<std::string_view> given = segments_of(path);
  if (pattern.prefix ? given.size() < due.size() : given.size() != due.size()) return false;
  for (size_t i = 0; i < due.size(); ++i) {
    bool named = due[i].starts_with('{');
    if (named ? given[i].empty() : due[i] != given[i]) return false;
    rank.shape.push_back(named);
  }
  rank.prefix = pattern.prefix;
  rank.shortness = pattern.prefix ? 1000 - due.size() : 0;
  return true;
}

inline bool naive_method(const Pattern& pattern, http::Method method, NaiveRank& rank) {
  auto has = [&](http::Method one) { return (pattern.methods >> static_cast<unsigned>(one) & 1) != 0; };
  rank.methods = pattern.methods;
  rank.breadth = std::popcount(pattern.methods);
  rank.method = has(method) ? 0 : method == http::Method::HEAD && has(http::Method::GET) ? 1 : pattern.methods == 0 ? 2 : 3;
  return rank.method < 3;
}

struct NaiveMatch {
  const Pattern* pattern = nullptr;
  uint16_t allowed_methods = 0;
};

// `host` in lower case and without port; patterns normalised.
inline NaiveMatch naive_match(const std::vector<Pattern>& patterns, uint16_t listener, http::Method method, std::string_view host,
                              std::string_view path) {
  NaiveMatch best;
  NaiveRank best_rank;
  if (!path.starts_with('/')) return best;
  for (size_t i = 0; i < patterns.size(); ++i) {
    NaiveRank rank;
    rank.written = i;
    const Pattern& pattern = patterns[i];
    if (pattern.listener != listener || !naive_host(pattern.host, host, rank.host) || !naive_path(pattern, path, rank)) continue;
    if (!naive_method(pattern, method, rank)) {
      best.allowed_methods |= pattern.methods;
      continue;
    }
    if (best.pattern == nullptr || rank < best_rank) {
      best.pattern = &pattern;
      best_rank = rank;
    }
  }
  if (best.pattern != nullptr) best.allowed_methods = 0;
  if ((best.allowed_methods >> static_cast<unsigned>(http::Method::GET) & 1) != 0)
    best.allowed_methods |= 1u << static_cast<unsigned>(http::Method::HEAD);
  return best;
}

// What a pattern with this path captures from a path that fits it.
inline Params naive_params(const Pattern& pattern, std::string_view path) {
  Params params;
  std::string_view text = pattern.path;
  if (pattern.prefix && text.ends_with('/')) text.remove_suffix(1);
  std::vector<std::string_view> given = segments_of(path);
  size_t used = 0;
  size_t i = 0;
  for (std::string_view due : segments_of(text)) {
    if (due.starts_with('{')) params.items[params.count++] = {due.substr(1, due.size() - 2), given[i]};
    used += given[i++].size() + 1;
  }
  if (pattern.prefix) params.items[params.count++] = {"rest", used < path.size() ? path.substr(used + 1) : std::string_view{}};
  return params;
}

// Patterns and requests over a tiny vocabulary, so that they meet often. `draw(n)` gives a number below n.
template <class Draw>
std::string made_up_path(Draw& draw, bool pattern) {
  std::string path;
  size_t segments = draw(6);
  for (size_t i = 0; i < segments; ++i) {
    size_t word = draw(pattern ? 5 : 4);
    path += '/';
    if (word < 4)
      path += std::string_view("abcd").substr(word, 1);
    else
      path.append("{n").append(1, static_cast<char>('0' + i)).append("}");
  }
  if (path.empty() || draw(8) == 0) path += '/';
  return path;
}

template <class Draw>
Pattern made_up_pattern(Draw& draw, uint32_t route) {
  static constexpr std::string_view hosts[] = {"", "a.b", "*.b", "*.a.b", "c.a.b", "[::1]"};
  Pattern pattern{route, static_cast<uint16_t>(draw(2)), std::string(hosts[draw(6)]), made_up_path(draw, true), draw(3) == 0, 0};
  if (draw(3) != 0) pattern.methods = static_cast<uint16_t>(1 + draw(15));  // of GET, HEAD, POST and PUT
  return pattern;
}

template <class Draw>
std::string made_up_host(Draw& draw) {
  static constexpr std::string_view hosts[] = {"", "a.b", "x.b", "x.a.b", "c.a.b", "[::1]", "b", ".b", "y.x.a.b"};
  return std::string(hosts[draw(9)]);
}

}  // namespace portloom::pipeline
