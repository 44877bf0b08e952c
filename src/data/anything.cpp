// data/anything.cpp
//
// YAML to JSON by the core schema's plain forms that JSON has too; a number that JSON spells otherwise ("0x10", "1.") is a text.
#include "data/anything.h"

#include "base/text.h"
#include "data/json.h"
#include "data/slicer.h"
#include "data/yaml.h"

namespace portloom::data {

std::string_view json_scalar(const Value& value) {
  if (value.is_null()) return "null";
  if (!value.is_text() || value.quoted || value.text.empty()) return {};
  std::string_view text = value.text;
  if (text == "true" || text == "false" || text == "null") return text;
  if (text == "~") return "null";
  bool number = (is_digit(text.front()) || text.front() == '-') && is_digit(text.back());
  return number && slice(text).has_value() ? text : std::string_view{};
}

void append_json(std::string& to, const Value& value) {
  if (value.is_list()) {
    to += '[';
    for (const Value& item : value.list) {
      if (&item != &value.list.front()) to += ',';
      append_json(to, item);
    }
    to += ']';
  } else if (value.is_map()) {
    to += '{';
    for (const Value::Entry& entry : value.map) {
      if (&entry != &value.map.front()) to += ',';
      append_json_string(to, entry.key);
      to += ':';
      append_json(to, entry.value);
    }
    to += '}';
  } else if (std::string_view scalar = json_scalar(value); !scalar.empty()) {
    to += scalar;
  } else {
    append_json_string(to, value.text);
  }
}

std::string format_anything(const Value& value) {
  std::string text;
  if (value.is_list()) {
    for (const Value& item : value.list) text += (text.empty() ? "" : ", ") + format_anything(item);
    return "[" + text + "]";
  }
  if (value.is_map()) {
    for (const Value::Entry& entry : value.map)
      text += (text.empty() ? "" : ", ") + yaml_scalar(entry.key) + ": " + format_anything(entry.value);
    return "{" + text + "}";
  }
  if (std::string_view scalar = json_scalar(value); !scalar.empty()) return std::string(scalar);
  append_json_string(text, value.text);
  return value.quoted ? text : yaml_scalar(value.text);
}

void walk_values(const Value& value, std::string& path, const std::function<void(const Value& text, std::string_view path)>& see) {
  size_t before = path.size();
  if (value.is_text() && json_scalar(value).empty()) see(value, path);
  for (size_t i = 0; i < value.list.size(); ++i) {
    path += "[" + std::to_string(i) + "]";
    walk_values(value.list[i], path, see);
    path.resize(before);
  }
  for (const Value::Entry& entry : value.map) {
    path += "." + entry.key;
    walk_values(entry.value, path, see);
    path.resize(before);
  }
}

}  // namespace portloom::data
