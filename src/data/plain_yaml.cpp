// data/plain_yaml.cpp
//
// One pass, by recursion over indentation. Every doubt ends it: `good_` goes false and stays so.
#include "data/plain_yaml.h"

#include <algorithm>
#include <unordered_set>
#include <utility>

#include "base/text.h"
#include "data/yaml.h"

namespace portloom::data {
namespace {

constexpr size_t key_bytes_max = 1000;  // the whole parser has a bound of its own, a little above
constexpr size_t few_keys = 16;         // up to so many are compared one by one

bool is_null_word(std::string_view text) { return text == "~" || text == "null" || text == "Null" || text == "NULL"; }

class PlainReader {
 public:
  PlainReader(std::string_view text, uint32_t file) : text_(text), file_(file) {}

  std::optional<Value> read() {
    to_content();
    if (at_ == text_.size() || column() != 0) return std::nullopt;
    Value root = block(0);
    if (!good_ || at_ != text_.size() || !root.is_map()) return std::nullopt;
    return root;
  }

 private:
  char peek(size_t ahead = 0) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\n'; }
  bool at_line_end() const { return peek() == '\n'; }
  size_t column() const { return at_ - line_begin_; }
  Position here() const { return {file_, line_, static_cast<uint32_t>(column() + 1)}; }
  Value leave() {
    good_ = false;
    return {};
  }
  void skip_spaces() {
    while (peek() == ' ') ++at_;
  }
  static bool is_blank_or_break(char c) { return c == ' ' || c == '\n'; }

  // Behind a value: to the next thing that is written, over the end of the line, comments and empty lines. Text behind the
  // value in its line is left alone.
  void to_content() {
    while (at_ < text_.size()) {
      bool spaced = column() == 0 || text_[at_ - 1] == ' ';
      skip_spaces();
      spaced = spaced || column() == 0 || text_[at_ - 1] == ' ';
      if (peek() == '#' && at_ < text_.size()) {
        if (!spaced) return;
        at_ = std::min(text_.find('\n', at_), text_.size());
      }
      if (at_ == text_.size() || text_[at_] != '\n') return;
      ++at_;
      ++line_;
      line_begin_ = at_;
    }
  }
  bool at_dash() const { return peek() == '-' && is_blank_or_break(peek(1)); }
  // "---" and "..." begin or end a document.
  bool at_marker() const {
    if (column() != 0) return false;
    std::string_view begin = text_.substr(at_, 3);
    return begin == "---" || begin == "...";
  }

  // ---- Block: what stands at this column, until something stands further left.

  Value block(size_t depth) {
    if (depth >= yaml_depth_max) return leave();
    return at_dash() ? block_list(depth) : block_map(depth);
  }

  Value block_list(size_t depth) {
    Value list;
    list.kind = Value::Kind::list;
    list.at = here();
    size_t indent = column();
    while (good_ && at_ < text_.size() && column() == indent && at_dash()) {
      ++at_;
      uint32_t line = line_;
      to_content();
      Value item;
      bool empty = at_ == text_.size() || (line_ != line && column() <= indent);
      if (!empty) item = line_ == line ? behind_dash(depth, indent) : block(depth + 1);
      if (!good_ || !count()) return leave();
      if (item.is_null()) item.at = list.at;
      list.list.push_back(std::move(item));
      to_content();
    }
    if (at_ < text_.size() && column() > indent) return leave();
    return list;
  }
  // In the line of its dash: a list, a map, or a text or flow of one line.
  Value behind_dash(size_t depth, size_t indent) {
    if (at_dash() || at_key()) return block(depth + 1);
    return in_line(depth, indent);
  }

  Value block_map(size_t depth) {
    Value map;
    map.kind = Value::Kind::map;
    map.at = here();
    size_t indent = column();
    Keys keys;
    while (good_ && at_ < text_.size() && column() == indent) {
      if (at_marker() || at_dash()) return leave();
      Value::Entry entry;
      entry.at = here();
      if (!key(entry.key, false)) return leave();
      uint32_t line = line_;
      to_content();
      if (line_ == line && at_ < text_.size()) {
        entry.value = in_line(depth, indent);
      } else if (at_ < text_.size() && (column() > indent || (column() == indent && at_dash()))) {
        entry.value = block(depth + 1);
      } else {
        entry.value.at = entry.at;
      }
      if (entry.value.is_null()) entry.value.at = entry.at;
      if (!good_ || !count()) return leave();
      map.map.push_back(std::move(entry));
      if (!keys.add(map.map)) return leave();
      to_content();
    }
    if (at_ < text_.size() && column() > indent) return leave();
    return map;
  }

  // A value that begins in the line of its key or dash, and after which the line ends. A line that goes on further right than `indent`
  // would belong to it.
  Value in_line(size_t depth, size_t indent) {
    Value value = peek() == '{' || peek() == '[' ? flow(depth + 1, indent) : text(false);
    if (!good_) return value;
    uint32_t line = line_;
    to_content();
    if (at_ < text_.size() && (line_ == line || column() > indent)) return leave();
    return value;
  }

  // ---- Flow

  Value flow(size_t depth, size_t indent) {
    if (depth >= yaml_depth_max) return leave();
    Value value;
    bool map = peek() == '{';
    char end = map ? '}' : ']';
    value.kind = map ? Value::Kind::map : Value::Kind::list;
    value.at = here();
    ++at_;
    Keys keys;
    if (!to_flow_content(indent)) return leave();
    if (peek() == end) {
      ++at_;
      return value;
    }
    while (good_) {
      Value::Entry entry;
      entry.at = here();
      if (map && !(key(entry.key, true) && to_flow_content(indent))) return leave();
      char c = peek();
      entry.value = c == '{' || c == '[' ? flow(depth + 1, indent) : text(true);
      if (!good_ || !count() || !to_flow_content(indent)) return leave();
      if (entry.value.is_null()) entry.value.at = map ? entry.at : value.at;
      if (map) {
        value.map.push_back(std::move(entry));
        if (!keys.add(value.map)) return leave();
      } else {
        value.list.push_back(std::move(entry.value));
      }
      c = peek();
      if (c != ',' && c != end) return leave();
      ++at_;
      if (c == end) return value;
      if (!to_flow_content(indent)) return leave();
    }
    return value;
  }
  bool to_flow_content(size_t indent) {
    uint32_t line = line_;
    to_content();
    return at_ < text_.size() && (line_ == line || column() > indent);
  }

  // ---- Keys and texts

  // Is there a key here, in this line?
  bool at_key() {
    size_t at = at_;
    bool good = good_;
    std::string ignored;
    bool found = peek() != '{' && peek() != '[' && key(ignored, false);
    at_ = at;
    good_ = good;
    return found;
  }
  bool key(std::string& into, bool in_flow) {
    bool quoted = false;
    if (!scalar(into, in_flow, quoted) || peek() != ':' || !is_blank_or_break(peek(1))) return false;
    if (into.size() > key_bytes_max || (!quoted && (is_null_word(into) || into == "<<"))) return false;
    ++at_;
    return true;
  }
  Value text(bool in_flow) {
    Value value;
    value.kind = Value::Kind::text;
    value.at = here();
    if (!scalar(value.text, in_flow, value.quoted) || (peek() == ':' && is_blank_or_break(peek(1)))) return leave();
    if (!value.quoted && is_null_word(value.text)) {
      value.kind = Value::Kind::null;
      value.text.clear();
    }
    return value;
  }
  bool scalar(std::string& into, bool in_flow, bool& quoted) {
    char c = peek();
    quoted = c == '"' || c == '\'';
    if (c == '"') return double_quoted(into);
    if (c == '\'') return single_quoted(into);
    return plain(into, in_flow);
  }
  bool plain(std::string& into, bool in_flow) {
    static constexpr std::string_view firsts = "_./$+~(^=";
    char first = peek();
    bool fits = is_alpha(first) || is_digit(first) || firsts.contains(first) || static_cast<unsigned char>(first) >= 0x80;
    if (!fits && !(first == '-' && (is_alpha(peek(1)) || is_digit(peek(1)) || peek(1) == '.'))) return false;
    if (at_marker()) return false;
    size_t begin = at_;
    size_t end = at_;  // without the spaces behind it
    for (; !at_line_end(); ++at_) {
      char c = peek();
      if (c == ' ') continue;
      if (c == '\t' || c == '\r') return false;
      if (c == '#' && text_[at_ - 1] == ' ') break;
      if (c == ':' && is_blank_or_break(peek(1))) {
        if (end != at_) return false;  // spaces before a colon
        break;
      }
      if (in_flow) {
        if (c == ',' || c == ']' || c == '}') break;
        char next = peek(1);
        if (c == '[' || c == '{' || c == '?' || (c == ':' && (next == ',' || next == ']' || next == '}'))) return false;
      }
      end = at_ + 1;
    }
    into.assign(text_.substr(begin, end - begin));
    if (peek() != ':') at_ = end;
    return true;
  }
  bool single_quoted(std::string& into) {
    for (++at_; !at_line_end(); ++at_) {
      if (peek() == '\t' || peek() == '\r') return false;
      if (peek() != '\'') {
        into += peek();
      } else if (peek(1) == '\'') {
        into += '\'';
        ++at_;
      } else {
        ++at_;
        return true;
      }
    }
    return false;
  }
  bool double_quoted(std::string& into) {
    ++at_;
    size_t plain_end = text_.find_first_of("\"\\\n\t\r", at_);
    if (plain_end == std::string_view::npos) return false;
    into.assign(text_.substr(at_, plain_end - at_));
    for (at_ = plain_end; !at_line_end(); ++at_) {
      char c = peek();
      if (c == '\t' || c == '\r') return false;
      if (c == '"') {
        ++at_;
        return true;
      }
      if (c == '\\') {
        c = peek(1);
        if (c != '"' && c != '\\' && c != '/') return false;
        ++at_;
      }
      into += c;
    }
    return false;
  }

  // No key twice.
  class Keys {
   public:
    // Looks at the last entry of `map`.
    bool add(const std::vector<Value::Entry>& map) {
      const std::string& key = map.back().key;
      if (map.size() <= few_keys) return std::none_of(map.begin(), map.end() - 1, [&key](const auto& other) { return other.key == key; });
      if (seen_.empty())
        for (size_t i = 0; i + 1 < map.size(); ++i) seen_.insert(map[i].key);
      return seen_.insert(key).second;
    }

   private:
    std::unordered_set<std::string> seen_;
  };
  bool count() { return ++values_ < yaml_values_max; }

  std::string_view text_;
  uint32_t file_;
  size_t at_ = 0;
  size_t line_begin_ = 0;
  uint32_t line_ = 1;
  size_t values_ = 0;
  bool good_ = true;
};

}  // namespace

std::optional<Value> read_plain_yaml(std::string_view text, uint32_t file) { return PlainReader(text, file).read(); }

}  // namespace portloom::data
