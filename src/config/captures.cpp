// config/captures.cpp
//
// The same names as pipeline/router_compiler.cpp finds.
#include "config/captures.h"

#include <algorithm>
#include <functional>

#include "data/regex.h"

namespace portloom::config {
namespace {

using Names = std::set<std::string, std::less<>>;

Names names_of_path(std::string_view path, bool prefix) {
  Names names;
  for (size_t open = path.find('{'); open != std::string_view::npos; open = path.find('{', open + 1))
    names.emplace(path.substr(open + 1, path.find('}', open) - open - 1));
  if (prefix) names.emplace("rest");
  return names;
}

Names names_of_regex(const std::string& text) {
  Names names;
  if (Result<data::Regex> regex = data::Regex::compile(text))
    for (const data::Regex::Group& group : regex->groups()) names.insert(group.name);
  return names;
}

}  // namespace

std::string Captures::list() const {
  std::string text;
  for (const std::string& name : some) text += (text.empty() ? "{" : ", {") + name + "}";
  return text;
}

Captures captures_of(const Match& match) {
  Captures captures;
  captures.of_one_route = true;
  bool first = true;
  auto add = [&](Names names) {
    if (first) captures.all = names;
    std::erase_if(captures.all, [&](const std::string& name) { return !names.contains(name); });
    captures.some.merge(names);
    first = false;
  };
  for (const std::string& path : match.path) add(names_of_path(path, false));
  for (const std::string& path : match.path_prefix) add(names_of_path(path, true));
  for (const std::string& text : match.path_regex) add(names_of_regex(text));
  if (!match.has_path()) add({"rest"});
  return captures;
}

}  // namespace portloom::config
