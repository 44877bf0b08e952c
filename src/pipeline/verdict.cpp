// pipeline/verdict.cpp
//
// As plain as can be: this text and router.cpp must agree, and a test with made-up tables sees to it.
#include "pipeline/verdict.h"

#include <algorithm>
#include <bit>
#include <vector>

#include "base/text.h"
#include "data/regex.h"
#include "http/form.h"
#include "pipeline/router_compiler.h"

namespace portloom::pipeline {

namespace {

using Form = Pattern::Form;
using Reason = Verdict::Reason;

std::vector<std::string_view> segments_of_path(std::string_view path) {
  std::vector<std::string_view> segments;
  while (!path.empty()) {
    path.remove_prefix(1);
    segments.push_back(path.substr(0, path.find('/')));
    path.remove_prefix(segments.back().size());
  }
  return segments;
}

std::string lower(std::string_view text) {
  std::string made(text);
  std::ranges::transform(made, made.begin(), to_lower);
  return made;
}

std::string plain_host(std::string_view host) {
  size_t bracket = host.starts_with('[') ? host.find(']') : std::string_view::npos;
  host = bracket != std::string_view::npos ? host.substr(0, bracket + 1) : host.substr(0, host.find(':'));
  if (host.ends_with('.')) host.remove_suffix(1);
  return lower(host);
}

bool takes_host(const Pattern& pattern, std::string_view asked) {
  if (pattern.host.empty()) return true;
  std::string host = plain_host(asked);
  std::string due = lower(pattern.host);
  if (due.ends_with('.')) due.pop_back();
  if (!due.starts_with("*.")) return host == due;
  return host.size() > due.size() - 1 && host.ends_with(due.substr(1)) && host.front() != '.';
}

// The pattern's path as the table has it; a prefix without its last slash.
std::string path_of(const Pattern& pattern) {
  if (pattern.form == Form::regex) return pattern.path;
  Result<std::string> normal = normal_path(pattern);
  return normal ? *normal : pattern.path;
}

bool takes_path(const Pattern& pattern, std::string_view asked) {
  if (!asked.starts_with('/')) return false;
  if (pattern.form == Form::regex) {
    Result<data::Regex> regex = data::Regex::compile(pattern.path);
    return regex && regex->matches(asked);
  }
  std::string path = path_of(pattern);
  std::vector<std::string_view> due = segments_of_path(path);
  std::vector<std::string_view> given = segments_of_path(asked);
  if (pattern.form == Form::prefix ? given.size() < due.size() : given.size() != due.size()) return false;
  for (size_t i = 0; i < due.size(); ++i)
    if (due[i].starts_with('{') ? given[i].empty() : due[i] != given[i]) return false;
  return true;
}

bool has(const Pattern& pattern, http::Method method) { return (pattern.methods >> static_cast<unsigned>(method) & 1) != 0; }

// All lines of a field as one value (RFC 9110 §5.3); nothing when there is none.
std::optional<std::string> field_of(const http::Headers* headers, std::string_view name) {
  std::optional<std::string> value;
  if (headers == nullptr) return value;
  for (http::Headers::Field field : *headers)
    if (equals_ignoring_case(field.name, name)) value = value ? *value + ", " + std::string(field.value) : std::string(field.value);
  return value;
}

std::optional<std::string> parameter_of(std::string_view query, std::string_view name) {
  std::optional<std::string_view> found = http::find_parameter(query, name);
  if (!found) return std::nullopt;
  return http::form_decode(*found);
}

// What one condition says to the value that is there; empty: it holds.
std::string objection(const Condition& condition, const std::optional<std::string>& value, std::string_view what) {
  std::string name(what);
  name.append(" ").append(condition.name);
  if (!value) return "it wants the " + name + (condition.any ? "" : ": " + condition.value);
  if (condition.any || *value == condition.value) return {};
  return "it wants the " + name + ": " + condition.value + "; the request has \"" + *value + "\"";
}

std::string wanted_path(const Pattern& pattern) {
  switch (pattern.form) {
    case Form::exact: return "its path is " + pattern.path;
    case Form::prefix: return "its path is " + pattern.path + " or below";
    case Form::regex: break;
  }
  return "its path fits " + pattern.path;
}

// ---- precedence: smaller numbers rank first

// 0: exact; a longer wildcard before a shorter; every host.
size_t host_rank(const Pattern& pattern) {
  return pattern.host.empty() ? 1000 : pattern.host.starts_with("*.") ? 999 - pattern.host.size() : 0;
}

int form_rank(const Pattern& pattern, const std::string& path) {
  if (pattern.form == Form::prefix && path.empty()) return 3;
  return pattern.form == Form::exact ? 0 : pattern.form == Form::prefix ? 1 : 2;
}

std::vector<bool> shape_of(const std::string& path) {
  std::vector<bool> shape;
  for (std::string_view segment : segments_of_path(path)) shape.push_back(segment.starts_with('{'));
  return shape;
}

int method_rank(const Pattern& pattern, http::Method method) {
  return has(pattern, method) ? 0 : method == http::Method::HEAD && has(pattern, http::Method::GET) ? 1 : 2;
}

int breadth_of(const Pattern& pattern) { return pattern.methods == 0 ? 17 : std::popcount(pattern.methods); }

std::string_view name_of_form(int rank) {
  constexpr std::string_view names[] = {"a whole path", "a prefix", "a regex", "the prefix /"};
  return names[rank];
}

}  // namespace

std::string methods_text(uint16_t bits) {
  std::string list;
  for (unsigned i = 0; i < static_cast<unsigned>(http::Method::other); ++i)
    if ((bits >> i & 1) != 0) list.append(list.empty() ? "" : ", ").append(http::text_of(static_cast<http::Method>(i)));
  return list;
}

std::string_view name_of(Verdict::Reason reason) {
  constexpr std::string_view names[] = {"chosen", "listener", "host", "path", "method", "header", "query", "outranked"};
  return names[static_cast<size_t>(reason)];
}

Verdict judge(const Pattern& pattern, const Lookup& asked) {
  if (pattern.listener != asked.listener) return {Reason::listener, "it belongs to another listener"};
  if (!takes_host(pattern, asked.host)) return {Reason::host, "its host is " + pattern.host};
  if (!takes_path(pattern, asked.path)) return {Reason::path, wanted_path(pattern)};
  bool method =
      pattern.methods == 0 || has(pattern, asked.method) || (asked.method == http::Method::HEAD && has(pattern, http::Method::GET));
  if (!method) return {Reason::method, "it takes " + methods_text(pattern.methods)};
  for (const Condition& condition : pattern.headers)
    if (std::string text = objection(condition, field_of(asked.headers, condition.name), "header"); !text.empty())
      return {Reason::header, std::move(text)};
  for (const Condition& condition : pattern.query)
    if (std::string text = objection(condition, parameter_of(asked.query, condition.name), "query parameter"); !text.empty())
      return {Reason::query, std::move(text)};
  return {};
}

Precedence compare(const Pattern& a, const Pattern& b, const Lookup& asked) {
  if (host_rank(a) != host_rank(b)) {
    bool first = host_rank(a) < host_rank(b);
    const Pattern& winner = first ? a : b;
    const Pattern& loser = first ? b : a;
    return {first, host_rank(winner) == 0 ? "an exact host ranks before " + std::string(loser.host.empty() ? "every host" : "a wildcard")
                   : loser.host.empty()   ? "a wildcard host ranks before every host"
                                          : "the longer wildcard host ranks first"};
  }
  std::string path_a = path_of(a);
  std::string path_b = path_of(b);
  int form_a = form_rank(a, path_a);
  int form_b = form_rank(b, path_b);
  if (form_a != form_b)
    return {form_a < form_b,
            std::string(name_of_form(std::min(form_a, form_b))) + " ranks before " + std::string(name_of_form(std::max(form_a, form_b)))};
  if (form_a != 2) {
    std::vector<bool> shape_a = shape_of(path_a);
    std::vector<bool> shape_b = shape_of(path_b);
    if (form_a == 1 && shape_a.size() != shape_b.size()) return {shape_a.size() > shape_b.size(), "the longer prefix ranks first"};
    if (shape_a != shape_b) return {shape_a < shape_b, "a literal segment ranks before a {name}"};
  }
  if (method_rank(a, asked.method) != method_rank(b, asked.method))
    return {method_rank(a, asked.method) < method_rank(b, asked.method), "a route that lists the method ranks first"};
  if (a.headers.size() != b.headers.size()) return {a.headers.size() > b.headers.size(), "more conditions on headers rank first"};
  if (a.query.size() != b.query.size()) return {a.query.size() > b.query.size(), "more conditions on the query rank first"};
  if (breadth_of(a) != breadth_of(b)) return {breadth_of(a) < breadth_of(b), "fewer methods rank first"};
  return {a.route <= b.route, "the one written first ranks first"};
}

}  // namespace portloom::pipeline
