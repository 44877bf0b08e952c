// data/json.cpp
//
// JSON text from strings, numbers and nesting.
#include "data/json.h"

#include <charconv>
#include <cmath>

#include "base/check.h"
#include "data/utf8.h"

namespace portloom::data {
namespace {

// Bytes that stand for themselves: printable ASCII without the quote and the backslash.
constexpr bool stands_for_itself(unsigned char c) { return c >= 0x20 && c < 0x7f && c != '"' && c != '\\'; }

void append_escape(std::string& to, unsigned char c) {
  static constexpr char digits[] = "0123456789abcdef";
  switch (c) {
    case '"': to += "\\\""; return;
    case '\\': to += "\\\\"; return;
    case '\n': to += "\\n"; return;
    case '\r': to += "\\r"; return;
    case '\t': to += "\\t"; return;
    default: break;
  }
  to += "\\u00";
  to += digits[c >> 4];
  to += digits[c & 15];
}

}  // namespace

void append_json_string(std::string& to, std::string_view text) {
  to += '"';
  while (!text.empty()) {
    size_t plain = 0;
    while (plain < text.size() && stands_for_itself(static_cast<unsigned char>(text[plain]))) ++plain;
    to.append(text.substr(0, plain));
    text.remove_prefix(plain);
    if (text.empty()) break;
    unsigned char c = static_cast<unsigned char>(text.front());
    if (c < 0x80) {
      append_escape(to, c);
      text.remove_prefix(1);
      continue;
    }
    size_t length = utf8_length(text);
    if (length == 0)
      to += "\xef\xbf\xbd";
    else
      to.append(text.substr(0, length));
    text.remove_prefix(length == 0 ? 1 : length);
  }
  to += '"';
}

void append_json_number(std::string& to, double number) {
  if (!std::isfinite(number)) {
    to += "null";
    return;
  }
  char digits[32];
  auto [end, fault] = std::to_chars(digits, digits + sizeof digits, number);
  to.append(digits, end);
}

void append_json_number(std::string& to, int64_t number) {
  char digits[24];
  auto [end, fault] = std::to_chars(digits, digits + sizeof digits, number);
  to.append(digits, end);
}

JsonWriter& JsonWriter::open(char bracket) {
  separate();
  to_ += bracket;
  filled_.push_back(false);
  return *this;
}

JsonWriter& JsonWriter::close(char bracket) {
  CHECK(!filled_.empty());
  bool filled = filled_.back();
  filled_.pop_back();
  if (filled) break_line();
  to_ += bracket;
  return *this;
}

JsonWriter& JsonWriter::key(std::string_view name) {
  separate();
  append_json_string(to_, name);
  to_ += indent_ > 0 ? ": " : ":";
  after_key_ = true;
  return *this;
}

JsonWriter& JsonWriter::value(std::string_view text) {
  separate();
  append_json_string(to_, text);
  return *this;
}

JsonWriter& JsonWriter::value(double number) {
  separate();
  append_json_number(to_, number);
  return *this;
}

JsonWriter& JsonWriter::integer(int64_t number) {
  separate();
  append_json_number(to_, number);
  return *this;
}

JsonWriter& JsonWriter::raw(std::string_view json) {
  separate();
  to_ += json;
  return *this;
}

void JsonWriter::separate() {
  if (after_key_) {
    after_key_ = false;
    return;
  }
  if (filled_.empty()) return;
  if (filled_.back()) to_ += ',';
  filled_.back() = true;
  break_line();
}

void JsonWriter::break_line() {
  if (indent_ == 0) return;
  to_ += '\n';
  to_.append(filled_.size() * static_cast<size_t>(indent_), ' ');
}

}  // namespace portloom::data
