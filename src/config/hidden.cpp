// config/hidden.cpp
//
// Every match is taken apart into what one request can fit: listener, host, path, conditions. What is equal in all of them is ranked
// as the router ranks it: fewer methods first, then the order written.
#include "config/hidden.h"

#include <algorithm>
#include <set>
#include <unordered_map>
#include <utility>

#include "base/text.h"
#include "data/regex.h"

namespace portloom::config {
namespace {

enum class Form : char { exact = '=', prefix = '<', regex = '~' };

std::string lower(std::string_view text) {
  std::string made;
  for (char c : text) made += to_lower(c);
  return made;
}

std::string conditions_of(const Match& match) {
  std::vector<std::string> all;
  for (const auto& [name, value] : match.headers) all.push_back("h" + lower(name) + "\n" + value);
  for (const auto& [name, value] : match.query) all.push_back("q" + name + "\n" + value);
  std::sort(all.begin(), all.end());
  std::string text;
  for (const std::string& one : all) text += one + "\n\n";
  return text;
}

// Names of {name}s do not count, and a prefix holds by segment: /v1 and /v1/ are one.
std::string shape_of_path(std::string_view path, Form form) {
  if (form == Form::regex) return std::string(path);
  std::string shape;
  bool name = false;
  for (char c : path) {
    if (!name || c == '}') shape += c;
    if (c == '{' || c == '}') name = c == '{';
  }
  if (form == Form::prefix && shape.ends_with('/')) shape.pop_back();
  return shape;
}

std::string key_of(std::string_view listener, std::string_view host, Form form, std::string_view shape, std::string_view conditions) {
  std::string key(listener);
  key.append(1, '\n')
      .append(lower(host))
      .append(1, '\n')
      .append(1, static_cast<char>(form))
      .append(shape)
      .append(1, '\n')
      .append(conditions);
  return key;
}

class Hidden {
 public:
  Hidden(const Document& document, data::Problems& problems)
      : routes_(document.resolved), problems_(problems), parts_(routes_.size()), hidden_(routes_.size()), by_(routes_.size(), none) {}

  void run() {
    places_.reserve(routes_.size());
    for (uint32_t i = 0; i < routes_.size(); ++i) enter(i);
    for (auto& [key, routes] : places_)
      if (routes.size() > 1) rank(routes);
    for (uint32_t i = 0; i < routes_.size(); ++i) behind_prefixes(i);
    for (uint32_t i = 0; i < routes_.size(); ++i) report(i);
  }

 private:
  static constexpr uint32_t none = UINT32_MAX;

  static std::vector<std::string> hosts_of(const Match& match) {
    std::vector<std::string> hosts = match.host;
    for (std::string& host : hosts)
      if (host == "*") host.clear();
    if (hosts.empty()) hosts.emplace_back();
    return hosts;
  }
  static size_t breadth(const Match& match) { return match.method.empty() ? size_t{SIZE_MAX} : match.method.size(); }

  void enter(uint32_t index) {
    const ResolvedRoute& route = routes_[index];
    std::string conditions = conditions_of(route.match);
    auto place = [&](const std::string& host, Form form, std::string_view path) {
      std::vector<uint32_t>& here = places_[key_of(route.listener, host, form, shape_of_path(path, form), conditions)];
      if (here.empty() || here.back() != index) here.push_back(index);
      parts_[index] += std::max<size_t>(1, route.match.method.size());
    };
    for (const std::string& host : hosts_of(route.match)) {
      for (const std::string& path : route.match.path) place(host, Form::exact, path);
      for (const std::string& path : route.match.path_prefix) place(host, Form::prefix, path);
      for (const std::string& path : route.match.path_regex) place(host, Form::regex, path);
      if (!route.match.has_path()) place(host, Form::prefix, "/");
    }
  }

  void rank(std::vector<uint32_t>& routes) {
    std::sort(routes.begin(), routes.end(),
              [&](uint32_t a, uint32_t b) { return std::pair(breadth(routes_[a].match), a) < std::pair(breadth(routes_[b].match), b); });
    std::unordered_map<std::string, uint32_t> taken;  // by method
    for (uint32_t index : routes) {
      std::vector<std::string> methods = routes_[index].match.method;
      if (methods.empty()) methods.emplace_back();
      for (const std::string& method : methods) {
        auto [first, fresh] = taken.emplace(method, index);
        if (!fresh && first->second != index) hide(index, first->second, 1);
      }
    }
  }

  // A regex is asked after all prefixes but "/". Where all that it takes begins with one of them, it is never asked.
  void behind_prefixes(uint32_t index) {
    const ResolvedRoute& route = routes_[index];
    for (const std::string& text : route.match.path_regex) {
      Result<data::Regex> regex = data::Regex::compile(text);
      std::string literal = regex ? regex->literal_prefix() : std::string();
      for (const std::string& host : hosts_of(route.match))
        for (size_t slash = literal.find('/', 1); slash != std::string::npos; slash = literal.find('/', slash + 1)) {
          auto found = places_.find(key_of(route.listener, host, Form::prefix, literal.substr(0, slash), {}));
          if (found == places_.end()) continue;
          auto whole =
              std::find_if(found->second.begin(), found->second.end(), [&](uint32_t i) { return routes_[i].match.method.empty(); });
          if (whole == found->second.end()) continue;
          hide(index, *whole, std::max<size_t>(1, route.match.method.size()));
          break;
        }
    }
  }

  void hide(uint32_t index, uint32_t by, size_t parts) {
    hidden_[index] += parts;
    if (by_[index] == none) by_[index] = by;
  }

  void report(uint32_t index) {
    if (by_[index] == none) return;
    const ResolvedRoute& route = routes_[index];
    const ResolvedRoute& by = routes_[by_[index]];
    bool prefix = !route.match.path_regex.empty() && by.match.path_regex.empty();
    std::string what = hidden_[index] >= parts_[index] ? "this route is never reached" : "a part of this route is never reached";
    problems_.warning(route.at, route.path, std::move(what),
                      (prefix ? "a prefix is asked before a regex, and this one takes all of it: " : "the same match stands at ") +
                          problems_.sources().place(by.at));
  }

  const std::vector<ResolvedRoute>& routes_;
  data::Problems& problems_;
  std::unordered_map<std::string, std::vector<uint32_t>> places_;
  std::vector<size_t> parts_;   // by route: host x path x method
  std::vector<size_t> hidden_;  // how many of them are taken by others
  std::vector<uint32_t> by_;    // the first that does
};

}  // namespace

void warn_of_hidden_routes(const Document& document, data::Problems& problems) { Hidden(document, problems).run(); }

}  // namespace portloom::config
