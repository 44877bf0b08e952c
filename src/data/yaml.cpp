// data/yaml.cpp
//
// Builds Values from yaml-cpp's events (not from its nodes, which lose duplicate keys and places). yaml-cpp reports a
// broken text by an exception; it is caught here and becomes a problem.
#include "data/yaml.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <map>
#include <sstream>
#include <unordered_map>
#include <utility>

#include "base/text.h"
#include "data/plain_yaml.h"
#include "data/utf8.h"

namespace portloom::data {
namespace {

struct Anchored {
  Value value;
  size_t values = 1;
  size_t depth = 0;
};

size_t count_values(const Value& value) {
  size_t count = 1;
  for (const Value& item : value.list) count += count_values(item);
  for (const Value::Entry& entry : value.map) count += count_values(entry.value);
  return count;
}

size_t depth_of(const Value& value) {
  size_t depth = 0;
  for (const Value& item : value.list) depth = std::max(depth, 1 + depth_of(item));
  for (const Value::Entry& entry : value.map) depth = std::max(depth, 1 + depth_of(entry.value));
  return depth;
}

class Builder final : public YAML::EventHandler {
 public:
  Builder(uint32_t file, Problems& problems) : file_(file), problems_(problems) {}

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++documents_ == 2) refuse(at(mark), "a second document in one file", "write one document; `-c` takes several files");
  }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    if (stopped_) return;
    if (at_key()) return refuse(at(mark), "a key must be a text", {});
    Value value;
    value.at = frames_.empty() ? at(mark) : frames_.back().value.is_map() ? frames_.back().key_at : frames_.back().value.at;
    place(std::move(value), anchor);
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    if (stopped_) return;
    auto found = anchors_.find(anchor);
    if (found == anchors_.end()) return refuse(at(mark), "an alias inside of what it stands for", {});
    if (at_key()) return refuse(at(mark), "a key must be a text", "an alias cannot be a key");
    if (frames_.size() + found->second.depth > yaml_depth_max) return too_deep(at(mark));
    values_ += found->second.values;
    if (values_ > yaml_values_max) return refuse(at(mark), "more than a million values after aliases are expanded", {});
    place(found->second.value, 0);
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, const std::string& text) override {
    if (stopped_ || !plain_tag(mark, tag)) return;
    if (at_key()) return key(at(mark), text, tag == "?");
    Value value;
    value.kind = Value::Kind::text;
    value.quoted = tag == "!";
    value.text = text;
    value.at = at(mark);
    place(std::move(value), anchor);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, YAML::EmitterStyle::value) override {
    open(mark, tag, anchor, Value::Kind::list);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, YAML::EmitterStyle::value) override {
    open(mark, tag, anchor, Value::Kind::map);
  }
  void OnMapEnd() override { close(); }

  bool stopped() const { return stopped_; }
  Position last() const { return last_; }
  Value take() { return std::move(root_); }

 private:
  struct Frame {
    Value value;
    YAML::anchor_t anchor = 0;
    bool has_key = false;
    std::string key;
    Position key_at;
    std::unordered_map<std::string, Position> keys;
  };

  Position at(const YAML::Mark& mark) {
    last_ = {file_, static_cast<uint32_t>(mark.line + 1), static_cast<uint32_t>(mark.column + 1)};
    return last_;
  }
  bool at_key() const { return !frames_.empty() && frames_.back().value.is_map() && !frames_.back().has_key; }
  void refuse(Position where, std::string message, std::string hint) {
    problems_.error(where, {}, std::move(message), std::move(hint));
    stopped_ = true;
  }
  void too_deep(Position where) { refuse(where, "more than 64 levels of lists and maps", {}); }
  bool plain_tag(const YAML::Mark& mark, const std::string& tag) {
    if (tag.empty() || tag == "?" || tag == "!") return true;
    refuse(at(mark), "tags are not taken", "leave the ! away, or quote this text");
    return false;
  }
  void key(Position where, const std::string& text, bool plain) {
    Frame& frame = frames_.back();
    if (plain && text == "<<") return refuse(where, "the merge key << is not taken", "write the keys out");
    auto [earlier, fresh] = frame.keys.emplace(text, where);
    if (!fresh)  // reported, and the reader goes on with the first
      problems_.error(where, {}, "\"" + text + "\" is written twice",
                      "the first is at " + problems_.sources().place(earlier->second, true));
    frame.has_key = true;
    frame.key = text;
    frame.key_at = where;
  }
  void open(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, Value::Kind kind) {
    if (stopped_ || !plain_tag(mark, tag)) return;
    Position where = at(mark);
    if (at_key()) return refuse(where, "a key must be a text", "quote this text");
    if (frames_.size() >= yaml_depth_max) return too_deep(where);
    Frame frame;
    frame.value.kind = kind;
    frame.value.at = where;
    frame.anchor = anchor;
    frames_.push_back(std::move(frame));
  }
  void close() {
    if (stopped_) return;
    Frame frame = std::move(frames_.back());
    frames_.pop_back();
    place(std::move(frame.value), frame.anchor);
  }
  void place(Value value, YAML::anchor_t anchor) {
    if (++values_ > yaml_values_max) return refuse(value.at, "more than a million values", {});
    if (anchor != 0) {
      Anchored anchored{value, count_values(value), depth_of(value)};
      values_ += anchored.values;  // the copy counts: anchors inside anchors must not multiply for nothing
      anchors_.insert_or_assign(anchor, std::move(anchored));
    }
    if (frames_.empty()) {
      if (documents_ == 1) root_ = std::move(value);
      return;
    }
    Frame& frame = frames_.back();
    if (frame.value.is_list()) {
      frame.value.list.push_back(std::move(value));
      return;
    }
    frame.value.map.push_back({std::move(frame.key), frame.key_at, std::move(value)});
    frame.has_key = false;
  }

  uint32_t file_;
  Problems& problems_;
  std::vector<Frame> frames_;
  std::map<YAML::anchor_t, Anchored> anchors_;
  Value root_;
  Position last_;
  size_t documents_ = 0;
  size_t values_ = 0;
  bool stopped_ = false;
};

// Does the line hold a brace, bracket or star outside of quotes: a text that was meant literally (rule L1)?
bool has_bare_brace(std::string_view line) {
  char quote = 0;
  for (char c : line) {
    if (quote != 0) {
      if (c == quote) quote = 0;
    } else if (c == '"' || c == '\'') {
      quote = c;
    } else if (c == '#') {
      return false;
    } else if (c == '{' || c == '}' || c == '[' || c == ']' || c == '*') {
      return true;
    }
  }
  return false;
}

// What a person may have done, by what the parser stumbled over.
std::string hint_for(std::string_view fault, std::string_view line, size_t column, std::string_view before, bool brace) {
  auto says = [&](std::string_view part) { return fault.find(part) != std::string_view::npos; };
  size_t text = line.find_first_not_of(' ');
  if (text != std::string_view::npos && line[text] == '\t') return "indent with spaces, not with a tab";
  if (says("map flow") || says("sequence flow") || says("flow end")) return "quote this text, or is a bracket or quote not closed?";
  size_t colon = before.find(':');
  if (says("illegal map value") && colon != std::string_view::npos && colon + 1 < before.size() && before[colon + 1] != ' ')
    return "is a space missing behind the colon in the line before?";
  if (says("illegal map value")) return "one key and its value in a line; a text with \": \" is quoted";
  bool at_first = text != std::string_view::npos && column == text + 1;
  if (at_first && (says("end of map not found") || says("end of sequence not found"))) return "indent it like the lines around it";
  return brace ? "quote this text" : "";
}

// The first byte that belongs to no character, or to one that no text file has; npos: there is none.
size_t broken_byte(std::string_view text) {
  size_t at = text.starts_with("\xEF\xBB\xBF") ? 3 : 0;
  while (at < text.size()) {
    auto byte = static_cast<unsigned char>(text[at]);
    bool control = (byte < 0x20 && byte != '\t' && byte != '\n' && byte != '\r') || byte == 0x7f;
    size_t length = control ? 0 : utf8_length(text.substr(at));
    if (length == 0) return at;
    at += length;
  }
  return std::string_view::npos;
}

Position place_of(uint32_t file, std::string_view text, size_t at) {
  std::string_view before = text.substr(0, at);
  size_t line = before.rfind('\n');
  return {file, static_cast<uint32_t>(1 + std::count(before.begin(), before.end(), '\n')),
          static_cast<uint32_t>(line == std::string_view::npos ? at + 1 : at - line)};
}

void report(const YAML::Exception& fault, uint32_t file, Position last, Problems& problems) {
  const Sources& sources = problems.sources();
  Position where = last;
  if (!fault.mark.is_null()) where = {file, static_cast<uint32_t>(fault.mark.line + 1), static_cast<uint32_t>(fault.mark.column + 1)};
  bool brace = has_bare_brace(sources.line(file, where.line));
  // yaml-cpp notices a brace that does not belong there only at the next token: point at the line where it stands.
  if (!brace && last.known() && last.line < where.line && has_bare_brace(sources.line(file, last.line))) {
    where = last;
    brace = true;
  }
  std::string_view before = where.line > 1 ? sources.line(file, where.line - 1) : std::string_view();
  problems.error(where, {}, "this is not YAML: " + fault.msg,
                 hint_for(fault.msg, sources.line(file, where.line), where.column, before, brace));
}

}  // namespace

std::optional<Value> read_yaml(uint32_t file, Problems& problems) {
  const std::string& text = problems.sources().text(file);
  if (text.size() <= yaml_bytes_max && broken_byte(text) == std::string::npos)
    if (std::optional<Value> plain = read_plain_yaml(text, file)) return plain;
  return read_whole_yaml(file, problems);
}

std::optional<Value> read_whole_yaml(uint32_t file, Problems& problems) {
  const std::string& text = problems.sources().text(file);
  if (text.size() > yaml_bytes_max) {
    problems.error({file, 1, 1}, {}, "the file is larger than 16 MiB");
    return std::nullopt;
  }
  if (size_t at = broken_byte(text); at != std::string::npos) {
    problems.error(place_of(file, text, at), {}, "this byte belongs to no UTF-8 text", "save the file as UTF-8");
    return std::nullopt;
  }
  size_t before = problems.errors();
  Builder builder(file, problems);
  try {
    std::istringstream stream(text);
    YAML::Parser parser(stream);
    while (!builder.stopped() && parser.HandleNextDocument(builder)) {
    }
  } catch (const YAML::Exception& fault) {
    if (!builder.stopped()) report(fault, file, builder.last(), problems);
    return std::nullopt;
  }
  if (problems.errors() > before) return std::nullopt;
  return builder.take();
}

std::string yaml_scalar(std::string_view text) {
  static constexpr std::string_view words[] = {"true", "false", "null", "~", "yes", "no", "on", "off", "y", "n"};
  bool bare = !text.empty() && text.front() != ' ' && text.back() != ' ' && text.back() != ':' && text != "<<";
  for (std::string_view word : words) bare = bare && !equals_ignoring_case(text, word);
  // A text that looks like a number would come back as one.
  if (bare && (is_digit(text.front()) || text.front() == '-' || text.front() == '+' || text.front() == '.')) {
    bare = std::any_of(text.begin(), text.end(), [](char c) { return is_alpha(c) && c != 'e' && c != 'E' && c != 'x' && c != 'o'; });
  }
  for (char c : text) {
    bool plain = is_alpha(c) || is_digit(c) || c == '_' || c == '-' || c == '.' || c == '/' || c == '+' || c == '%' || c == '$' ||
                 c == ' ' || c == ':' || c == '=';
    bare = bare && plain;
  }
  bare = bare && text.front() != '-' && text.front() != '%' && text.front() != ':' && text.front() != '=' &&
         text.find(": ") == std::string_view::npos;
  if (bare) return std::string(text);
  std::string quoted = "\"";
  for (char c : text) {
    static constexpr char digits[] = "0123456789abcdef";
    if (c == '"' || c == '\\') quoted += '\\';
    if (static_cast<unsigned char>(c) >= 0x20 && c != 0x7f) {
      quoted += c;
      continue;
    }
    quoted += "\\x";
    quoted += digits[static_cast<unsigned char>(c) >> 4];
    quoted += digits[c & 15];
  }
  return quoted + "\"";
}

}  // namespace portloom::data
