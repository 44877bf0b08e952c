// config/include.cpp
//
// Depth first: a file's own lists stand before those of what it includes.
#include "config/include.h"

#include <glob.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>

#include "data/yaml.h"

namespace portloom::config {
namespace {

namespace fs = std::filesystem;
using data::Value;

bool read_file(const std::string& path, std::string& text) {
  if (path == "-") {
    text.assign(std::istreambuf_iterator<char>(std::cin), {});
    return true;
  }
  std::error_code fault;
  if (fs::is_directory(path, fault)) return false;
  std::ifstream file(path, std::ios::binary);
  if (!file) return false;
  std::string block(64 * 1024, '\0');
  while (file.read(block.data(), static_cast<std::streamsize>(block.size())), file.gcount() > 0) {
    text.append(block, 0, static_cast<size_t>(file.gcount()));
    if (text.size() > data::yaml_bytes_max) break;  // read_yaml says so
  }
  return !file.bad();
}

std::string folder_of(const std::string& path) { return path == "-" ? std::string() : fs::path(path).parent_path().string(); }

std::string real_path(const std::string& path) {
  std::error_code fault;
  fs::path real = fs::weakly_canonical(path, fault);
  return fault ? path : real.string();
}

bool has_wildcard(std::string_view pattern) { return pattern.find_first_of("*?[") != std::string_view::npos; }

// A folder's name is not a pattern, whatever it holds.
std::string escaped(std::string_view folder) {
  std::string text;
  for (char c : folder) {
    if (c == '*' || c == '?' || c == '[' || c == '\\') text += '\\';
    text += c;
  }
  return text;
}

// `context` belongs to what its own file defines.
void lend_context(Value& root) {
  const Value::Entry* context = root.find("context");
  Value::Entry* services = root.find("services");
  if (context == nullptr || services == nullptr || !context->value.is_text()) return;
  const Value::Entry lent = *context;
  for (Value::Entry& service : services->value.map)
    if (service.value.is_map() && service.value.find("context") == nullptr) service.value.map.push_back(lent);
}

void append(Value& list, Value&& more) {
  if (!list.is_list()) {  // a bare value is a list of one
    Value one = std::move(list);
    list = Value{};
    list.kind = Value::Kind::list;
    list.at = one.at;
    list.list.push_back(std::move(one));
  }
  if (!more.is_list()) return list.list.push_back(std::move(more));
  std::move(more.list.begin(), more.list.end(), std::back_inserter(list.list));
}

}  // namespace

std::optional<Value> Includes::read(const std::string& path, data::Position by) {
  std::string text;
  if (!read_file(path, text)) {
    std::error_code fault;
    bool there = fs::exists(path, fault);
    problems_.error(by, by.known() ? "include" : "", "cannot read " + path,
                    there ? "is it a file, and readable?" : "there is no such file");
    return std::nullopt;
  }
  if (path != "-") watched_.insert(path);
  std::optional<Value> root = parse(sources_.add(path == "-" ? "<stdin>" : path, std::move(text)));
  if (!root) return root;
  open_.push_back({path, path == "-" ? std::string() : real_path(path)});
  if (open_.size() == 1) all_.emplace_back(open_.back().real, "the command line");
  work_in(*root, path);
  open_.pop_back();
  return root;
}

std::optional<Value> Includes::read_text(uint32_t file) {
  std::optional<Value> root = parse(file);
  if (!root) return root;
  if (const Value::Entry* include = root->find("include"))
    problems_.error(include->at, "include", "this text belongs to no folder: it includes nothing", "write it into a file");
  return root;
}

// A map with `context` worked in; an empty one for an empty file.
std::optional<Value> Includes::parse(uint32_t file) {
  std::optional<Value> value = data::read_yaml(file, problems_);
  if (!value) return value;
  if (value->is_null()) {
    value->kind = Value::Kind::map;
    value->at = {file, 1, 1};
  }
  if (!value->is_map()) {
    problems_.error(value->at, {}, "a configuration is a map, this is " + std::string(name_of(value->kind)));
    return std::nullopt;
  }
  lend_context(*value);
  return value;
}

void Includes::work_in(Value& root, const std::string& path) {
  Value::Entry* entry = root.find("include");
  if (entry == nullptr) return;
  Value include = std::move(entry->value);
  std::erase_if(root.map, [](const Value::Entry& other) { return other.key == "include"; });
  data::substitute(include, environment_, problems_);
  if (include.is_text()) return add(root, include, path);
  if (!include.is_list())
    return problems_.error(include.at, "include", "expected a list of files, found " + std::string(name_of(include.kind)),
                           "write include: [contexts/*.yaml]");
  for (const Value& pattern : include.list) add(root, pattern, path);
}

void Includes::add(Value& root, const Value& pattern, const std::string& path) {
  if (!pattern.is_text() || pattern.text.empty())
    return problems_.error(pattern.at, "include", "expected a file or a pattern like contexts/*.yaml");
  if (open_.size() > depth_max) return problems_.error(pattern.at, "include", "more than 16 levels of includes");
  for (const std::string& file : matches(pattern, path)) {
    std::string real = real_path(file);
    if (!may_open(file, pattern, real)) continue;
    all_.emplace_back(real, sources_.place(pattern.at));
    std::optional<Value> included = read(file, pattern.at);
    if (!included) continue;
    std::erase_if(included->map, [](const Value::Entry& entry) { return entry.key == "context"; });
    unite(root, std::move(*included));
  }
}

std::vector<std::string> Includes::matches(const Value& pattern, const std::string& path) {
  std::string folder = folder_of(path);
  bool absolute = pattern.text.starts_with('/');
  std::string whole = (absolute || folder.empty() ? "" : escaped(folder) + "/") + pattern.text;
  std::string plain = (absolute || folder.empty() ? "" : folder + "/") + pattern.text;
  if (!has_wildcard(pattern.text)) return {plain};
  std::string parent = fs::path(plain).parent_path().string();
  if (!has_wildcard(parent)) watched_.insert(parent.empty() ? "." : parent);
  glob_t found{};
  std::vector<std::string> files;
  if (::glob(whole.c_str(), GLOB_ERR, nullptr, &found) == 0)  // sorted by name
    for (size_t i = 0; i < found.gl_pathc; ++i) files.emplace_back(found.gl_pathv[i]);
  ::globfree(&found);
  if (files.empty()) problems_.warning(pattern.at, "include", "no file fits \"" + pattern.text + "\"");
  return files;
}

bool Includes::may_open(const std::string& file, const Value& pattern, std::string& real) {
  auto refuse = [&](std::string message, std::string hint = {}) {
    problems_.error(pattern.at, "include", std::move(message), std::move(hint));
    return false;
  };
  for (size_t i = 0; i < open_.size(); ++i) {
    if (open_[i].real != real) continue;
    // A pattern that fits the file in which it stands means the others.
    if (i + 1 == open_.size() && has_wildcard(pattern.text)) return false;
    std::string way;
    for (size_t step = i; step < open_.size(); ++step) way += open_[step].path + " includes ";
    return refuse("a circle of includes: " + way + file, "take one of them out");
  }
  for (const auto& [other, place] : all_)
    if (other == real) return refuse(file + " is read twice", "the first time by " + place);
  if (all_.size() >= files_max) return refuse("more than 1000 files");
  return true;
}

void Includes::unite(Value& into, Value&& from) {
  auto twice = [&](const Value::Entry& first, const Value::Entry& second, const std::string& path) {
    problems_.error(second.at, path, "\"" + second.key + "\" is defined twice", "the first is at " + sources_.place(first.at, true));
  };
  for (Value::Entry& entry : from.map) {
    Value::Entry* same = into.find(entry.key);
    if (same == nullptr) {
      into.map.push_back(std::move(entry));
    } else if (same->value.is_map() && entry.value.is_map()) {
      for (Value::Entry& inner : entry.value.map) {
        if (const Value::Entry* taken = same->value.find(inner.key))
          twice(*taken, inner, entry.key + "." + inner.key);
        else
          same->value.map.push_back(std::move(inner));
      }
    } else if (same->value.is_list() || entry.value.is_list()) {
      append(same->value, std::move(entry.value));
    } else if (!same->value.is_text() || !entry.value.is_text() || same->value.text != entry.value.text) {
      twice(*same, entry, entry.key);  // `version: 1` may stand in each
    }
  }
}

}  // namespace portloom::config
