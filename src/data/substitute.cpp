// data/substitute.cpp
//
// ${NAME:-default}: the environment, when a file is loaded.
#include <cstdlib>

#include "base/text.h"
#include "data/reader.h"

namespace portloom::data {
namespace {

constexpr size_t text_bytes_max = 1024 * 1024;

bool is_variable(std::string_view name) {
  if (name.empty() || is_digit(name.front())) return false;
  for (char c : name)
    if (!is_alpha(c) && !is_digit(c) && c != '_') return false;
  return true;
}

// Appends what stands for `inside`, the text between ${ and }.
bool append_variable(std::string& to, std::string_view inside, const Value& value, const Environment& environment, Problems& problems) {
  size_t split = inside.find(":-");
  std::string_view name = inside.substr(0, split);
  if (!is_variable(name)) {
    problems.error(value.at, {}, "\"${" + std::string(inside) + "}\" does not name a variable",
                   "write ${NAME} or ${NAME:-default}; $${ is a literal ${");
    return false;
  }
  auto found = environment(name);
  if (found && (!found->empty() || split == std::string_view::npos)) {
    to += *found;
  } else if (split != std::string_view::npos) {
    to += inside.substr(split + 2);
  } else {
    problems.error(value.at, {}, "the variable " + std::string(name) + " is not set",
                   "write ${" + std::string(name) + ":-default} to give a default");
    return false;
  }
  return true;
}

void substitute_text(Value& value, const Environment& environment, Problems& problems) {
  std::string_view rest = value.text;
  std::string text;
  bool replaced = false;
  for (size_t dollar = rest.find("${"); dollar != std::string_view::npos; dollar = rest.find("${")) {
    if (dollar > 0 && rest[dollar - 1] == '$') {  // $${ is a literal ${
      text += rest.substr(0, dollar - 1);
      text += "${";
      rest.remove_prefix(dollar + 2);
      continue;
    }
    size_t end = rest.find('}', dollar);
    if (end == std::string_view::npos) return problems.error(value.at, {}, "${ without its }", "$${ is a literal ${");
    text += rest.substr(0, dollar);
    if (!append_variable(text, rest.substr(dollar + 2, end - dollar - 2), value, environment, problems)) return;
    if (text.size() > text_bytes_max) return problems.error(value.at, {}, "a text of more than 1 MiB");
    rest.remove_prefix(end + 1);
    replaced = true;
  }
  text += rest;
  value.text = std::move(text);
  if (replaced) value.quoted = false;  // so that "${PORT}" is a number where a number is taken
}

}  // namespace

Environment process_environment() {
  return [](std::string_view name) -> std::optional<std::string> {
    const char* found = std::getenv(std::string(name).c_str());
    return found == nullptr ? std::nullopt : std::optional<std::string>(found);
  };
}

void substitute(Value& value, const Environment& environment, Problems& problems) {
  if (value.is_text() && value.text.find("${") != std::string::npos) substitute_text(value, environment, problems);
  for (Value& item : value.list) substitute(item, environment, problems);
  for (Value::Entry& entry : value.map) substitute(entry.value, environment, problems);
}

}  // namespace portloom::data
