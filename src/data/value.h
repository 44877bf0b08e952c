// data/value.h
//
// A YAML value that remembers where it stands. Scalars stay text until a Shape says what they mean, so that "1.10",
// "no" and "0x10" are never guessed at. Maps keep their order. Plain data, owned by whoever holds it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace portloom::data {

// A place in one of the files that were read. Lines and columns count from 1, columns in bytes; line 0 = no place.
struct Position {
  uint32_t file = 0;  // index into Sources
  uint32_t line = 0;
  uint32_t column = 0;
  bool known() const { return line != 0; }
  bool operator==(const Position&) const = default;
};

// For a problem that no file is to blame for.
inline constexpr Position nowhere{UINT32_MAX, 0, 0};

struct Value {
  enum class Kind : uint8_t { null, text, list, map };
  struct Entry;

  Kind kind = Kind::null;
  bool quoted = false;  // text that was written in quotes: never a number, a bool or null
  std::string text;
  std::vector<Value> list;
  std::vector<Entry> map;
  Position at;  // an empty value stands where its key stands

  bool is_null() const { return kind == Kind::null; }
  bool is_text() const { return kind == Kind::text; }
  bool is_list() const { return kind == Kind::list; }
  bool is_map() const { return kind == Kind::map; }
  // Null when this is not a map or has no such key.
  const Entry* find(std::string_view key) const;
  Entry* find(std::string_view key);
};

struct Value::Entry {
  std::string key;
  Position at;
  Value value;
};

// "a text", "a list", "a map", "nothing": for messages.
std::string_view name_of(Value::Kind kind);

// Lays `over` upon `under`: maps merge, lists and texts are replaced, null removes. Places stay those of the file a
// value came from.
void merge(Value& under, const Value& over);

}  // namespace portloom::data
