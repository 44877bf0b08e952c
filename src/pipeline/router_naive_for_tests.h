// pipeline/router_naive_for_tests.h
//
// What RouteTable means, said a second time and as plainly as can be: look at every pattern, keep those that fit, take the one
// that ranks first. Tests and the fuzzer compare RouteTable with it. Also: how both make up patterns and requests.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <initializer_list>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "base/text.h"
#include "http/form.h"
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
  size_t host = 0;          // 0: exact; then wildcards, longer ones first; any
  int form = 0;             // a whole path, a prefix, a regex, the prefix "/"
  size_t shortness = 0;     // of a prefix
  std::vector<bool> shape;  // which segments are {name}s
  int method = 0;           // HEAD by GET, then every method, last
  int headers = 0;          // conditions, negative: more of them rank first
  int query = 0;
  int breadth = 0;
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

// The regexes that tables are made up with, and what they mean.
struct NaiveRegex {
  std::string_view text;
  bool (*fits)(const std::vector<std::string_view>& segments);
};
inline constexpr NaiveRegex naive_regexes[] = {
    {"/(?:[ab]/)*c",
     [](const std::vector<std::string_view>& s) {
       return s.back() == "c" && std::ranges::all_of(s, [](auto one) { return one == "a" || one == "b" || one == "c"; }) &&
              std::ranges::count(s, "c") == 1;
     }},
    {"/(?P<first>[a-d])/.*", [](const std::vector<std::string_view>& s) { return s.size() > 1 && s[0].size() == 1; }},
    {".*/d/?",
     [](const std::vector<std::string_view>& s) { return s.back() == "d" || (s.size() > 1 && s.back().empty() && s.end()[-2] == "d"); }},
};

inline bool naive_path(const Pattern& pattern, std::string_view path, NaiveRank& rank) {
  std::vector<std::string_view> given = segments_of(path);
  if (pattern.form == Pattern::Form::regex) {
    rank.form = 2;
    for (const NaiveRegex& regex : naive_regexes)
      if (regex.text == pattern.path) return regex.fits(given);
    return false;
  }
  bool prefix = pattern.form == Pattern::Form::prefix;
  std::string_view text = pattern.path;
  if (prefix && text.ends_with('/')) text.remove_suffix(1);
  std::vector<std::string_view> due = segments_of(text);
  if (prefix ? given.size() < due.size() : given.size() != due.size()) return false;
  for (size_t i = 0; i < due.size(); ++i) {
    bool named = due[i].starts_with('{');
    if (named ? given[i].empty() : due[i] != given[i]) return false;
    rank.shape.push_back(named);
  }
  rank.form = !prefix ? 0 : due.empty() ? 3 : 1;
  rank.shortness = prefix ? 1000 - due.size() : 0;
  return true;
}

inline bool naive_method(const Pattern& pattern, http::Method method, NaiveRank& rank) {
  auto has = [&](http::Method one) { return (pattern.methods >> static_cast<unsigned>(one) & 1) != 0; };
  rank.breadth = pattern.methods == 0 ? 17 : std::popcount(pattern.methods);
  rank.method = has(method) ? 0 : method == http::Method::HEAD && has(http::Method::GET) ? 1 : pattern.methods == 0 ? 2 : 3;
  return rank.method < 3;
}

inline bool naive_conditions(const Pattern& pattern, const Lookup& asked, NaiveRank& rank) {
  for (const Condition& condition : pattern.headers) {
    std::string whole;
    bool there = false;
    for (http::Headers::Field field : *asked.headers) {
      if (!equals_ignoring_case(field.name, condition.name)) continue;
      whole.append(there ? ", " : "").append(field.value);
      there = true;
    }
    if (!there || (!condition.any && whole != condition.value)) return false;
  }
  for (const Condition& condition : pattern.query) {
    std::optional<std::string_view> value = http::find_parameter(asked.query, condition.name);
    if (!value || (!condition.any && http::form_decode(*value) != condition.value)) return false;
  }
  rank.headers = -static_cast<int>(pattern.headers.size());
  rank.query = -static_cast<int>(pattern.query.size());
  return true;
}

struct NaiveMatch {
  const Pattern* pattern = nullptr;
  uint16_t allowed_methods = 0;
};

// The host in lower case and without port; patterns normalised.
inline NaiveMatch naive_match(const std::vector<Pattern>& patterns, const Lookup& asked) {
  NaiveMatch best;
  NaiveRank best_rank;
  if (!asked.path.starts_with('/')) return best;
  for (size_t i = 0; i < patterns.size(); ++i) {
    NaiveRank rank;
    rank.written = i;
    const Pattern& pattern = patterns[i];
    if (pattern.listener != asked.listener || !naive_host(pattern.host, asked.host, rank.host) || !naive_path(pattern, asked.path, rank) ||
        !naive_conditions(pattern, asked, rank))
      continue;
    if (!naive_method(pattern, asked.method, rank)) {
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
  if (pattern.form == Pattern::Form::regex) {
    if (text.contains("<first>")) params.items[params.count++] = {"first", path.substr(1, 1)};
    return params;
  }
  bool prefix = pattern.form == Pattern::Form::prefix;
  if (prefix && text.ends_with('/')) text.remove_suffix(1);
  std::vector<std::string_view> given = segments_of(path);
  size_t used = 0;
  size_t i = 0;
  for (std::string_view due : segments_of(text)) {
    if (due.starts_with('{')) params.items[params.count++] = {due.substr(1, due.size() - 2), given[i]};
    used += given[i++].size() + 1;
  }
  if (prefix) params.items[params.count++] = {"rest", used < path.size() ? path.substr(used + 1) : std::string_view{}};
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
std::vector<Condition> made_up_conditions(Draw& draw, bool header) {
  std::vector<Condition> conditions;
  if (draw(2) == 0) return conditions;
  for (std::string_view name :
       header ? std::initializer_list<std::string_view>{"x-app", "Accept"} : std::initializer_list<std::string_view>{"v", "w"}) {
    size_t value = draw(5);
    if (value < 3) conditions.push_back({std::string(name), value == 0 ? "" : std::to_string(value), value == 0});
  }
  return conditions;
}

template <class Draw>
Pattern made_up_pattern(Draw& draw, uint32_t route) {
  static constexpr std::string_view hosts[] = {"", "a.b", "*.b", "*.a.b", "c.a.b", "[::1]"};
  Pattern pattern;
  pattern.route = route;
  pattern.listener = static_cast<uint16_t>(draw(2));
  pattern.host = hosts[draw(6)];
  pattern.form = std::array{Pattern::Form::exact, Pattern::Form::exact, Pattern::Form::prefix, Pattern::Form::regex}[draw(4)];
  pattern.path =
      pattern.form == Pattern::Form::regex ? std::string(naive_regexes[draw(std::size(naive_regexes))].text) : made_up_path(draw, true);
  if (draw(3) != 0) pattern.methods = static_cast<uint16_t>(1 + draw(15));  // of GET, HEAD, POST and PUT
  pattern.headers = made_up_conditions(draw, true);
  pattern.query = made_up_conditions(draw, false);
  return pattern;
}

// A request, and what owns it.
struct MadeUpRequest {
  std::string host;
  std::string path;
  std::string query;
  http::Headers headers;
  uint16_t listener = 0;
  http::Method method = http::Method::GET;
  Lookup lookup() const { return {listener, method, host, path, query, &headers}; }
};

template <class Draw>
std::string made_up_host(Draw& draw) {
  static constexpr std::string_view hosts[] = {"", "a.b", "x.b", "x.a.b", "c.a.b", "[::1]", "b", ".b", "y.x.a.b"};
  return std::string(hosts[draw(9)]);
}

template <class Draw>
MadeUpRequest made_up_request(Draw& draw) {
  static constexpr std::string_view queries[] = {"", "v=1", "v=2&w", "w=%31&v=3", "v=2&v=1", "w=1&v=+"};
  MadeUpRequest request{.host = made_up_host(draw), .path = made_up_path(draw, false)};
  request.query = queries[draw(6)];
  for (std::string_view name : {"X-App", "accept"})
    for (size_t lines = draw(3); lines > 0; --lines) request.headers.add(name, std::to_string(1 + draw(2)));
  request.listener = static_cast<uint16_t>(draw(2));
  request.method = static_cast<http::Method>(draw(4));
  return request;
}

}  // namespace portloom::pipeline
