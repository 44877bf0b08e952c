// data/json.h
//
// Writing JSON: strings on the access log's hot path, and a small nested writer for problems, status and schema.
// Bytes that are not UTF-8 become U+FFFD, so that what we write is always JSON.
#pragma once

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace portloom::data {

// With its quotes. Fast where nothing needs escaping.
void append_json_string(std::string& to, std::string_view text);
void append_json_number(std::string& to, double number);  // shortest form; null when not finite
void append_json_number(std::string& to, int64_t number);

// Writes commas and indentation by itself. The caller pairs begin and end, and puts a key before each member's value.
class JsonWriter {
 public:
  explicit JsonWriter(std::string& to, int indent = 0) : to_(to), indent_(indent) {}
  JsonWriter& begin_object() { return open('{'); }
  JsonWriter& end_object() { return close('}'); }
  JsonWriter& begin_array() { return open('['); }
  JsonWriter& end_array() { return close(']'); }
  JsonWriter& key(std::string_view name);
  JsonWriter& value(std::string_view text);
  JsonWriter& value(const char* text) { return value(std::string_view(text)); }
  JsonWriter& value(bool flag) { return raw(flag ? "true" : "false"); }
  JsonWriter& value(double number);
  JsonWriter& value(std::integral auto number) { return integer(static_cast<int64_t>(number)); }
  JsonWriter& null() { return raw("null"); }
  JsonWriter& raw(std::string_view json);  // a value that is JSON already
  JsonWriter& member(std::string_view name, const auto& content) { return key(name).value(content); }

 private:
  JsonWriter& open(char bracket);
  JsonWriter& close(char bracket);
  JsonWriter& integer(int64_t number);
  void separate();
  void break_line();
  std::string& to_;
  int indent_;
  std::vector<bool> filled_;  // per open bracket: does it have content?
  bool after_key_ = false;
};

}  // namespace portloom::data
