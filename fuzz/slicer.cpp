// fuzz/slicer.cpp
//
// Any bytes as a JSON text: the slicer agrees with a plain recursive reader about what is JSON and where the value ends; what is found
// is JSON again; asking for values changes nothing; strings decode to UTF-8 or not at all.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "base/text.h"
#include "data/json_text.h"
#include "data/slicer.h"
#include "data/utf8.h"

namespace {

using namespace portloom;
using namespace portloom::data;

void demand(bool holds) {
  if (!holds) std::abort();
}

// RFC 8259's grammar as it stands there, byte by byte.
class Plain {
 public:
  explicit Plain(std::string_view text) : text_(text) {}
  bool whole() {
    if (text_.starts_with("\xef\xbb\xbf")) at_ = 3;
    space();
    if (!value(0)) return false;
    space();
    return at_ == text_.size();
  }

 private:
  char now() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  bool take(char c) { return at_ < text_.size() && text_[at_] == c ? ++at_, true : false; }
  void space() {
    while (at_ < text_.size() && std::string_view(" \t\r\n").find(text_[at_]) != std::string_view::npos) ++at_;
  }
  bool word(std::string_view text) {
    if (!text_.substr(at_).starts_with(text)) return false;
    at_ += text.size();
    return true;
  }
  bool digits() {
    size_t from = at_;
    while (is_digit(now())) ++at_;
    return at_ > from;
  }
  bool value(unsigned depth) {
    if (now() == '"') return string();
    if (now() == '{' || now() == '[') return depth < json_depth_max && container(depth + 1);
    if (word("true") || word("false") || word("null")) return true;
    take('-');
    if (!take('0') && !digits()) return false;
    if (take('.') && !digits()) return false;
    if (take('e') || take('E')) {
      if (!take('+')) take('-');
      return digits();
    }
    return true;
  }
  bool container(unsigned depth) {
    bool object = text_[at_++] == '{';
    char end = object ? '}' : ']';
    space();
    if (take(end)) return true;
    while (true) {
      if (object) {
        if (now() != '"' || !string()) return false;
        space();
        if (!take(':')) return false;
        space();
      }
      if (!value(depth)) return false;
      space();
      if (take(end)) return true;
      if (!take(',')) return false;
      space();
    }
  }
  bool string() {
    ++at_;
    while (at_ < text_.size()) {
      if (take('"')) return true;
      if (take('\\')) {
        if (take('u')) {
          for (int i = 0; i < 4; ++i, ++at_)
            if (at_ >= text_.size() || hex_value(text_[at_]) < 0) return false;
        } else if (at_ >= text_.size() || std::string_view("\"\\/bfnrt").find(text_[at_++]) == std::string_view::npos) {
          return false;
        }
        continue;
      }
      if (static_cast<unsigned char>(text_[at_]) < 0x20) return false;
      size_t length = utf8_length(text_.substr(at_));
      if (length == 0) return false;
      at_ += length;
    }
    return false;
  }
  std::string_view text_;
  size_t at_ = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  std::string_view text(reinterpret_cast<const char*>(bytes), size);
  auto span = slice(text);
  demand(span.has_value() == Plain(text).whole());
  JsonSelection wanted;
  using Step = JsonSelection::Step;
  for (const auto& path :
       {std::vector<Step>{{.name = "a"}, {.name = "a"}}, std::vector<Step>{{.name = "a"}, {.name = {}, .index = 1, .is_index = true}},
        std::vector<Step>{{.name = {}, .index = 0, .is_index = true}, {.name = "a"}}, std::vector<Step>{{.name = "b"}}})
    wanted.add(path);
  std::vector<JsonSpan> found(wanted.size());
  auto again = slice(text, {}, wanted, found);
  demand(again.has_value() == span.has_value());
  if (!span) {
    demand(span.error().at <= text.size() && span.error().at == again.error().at && span.error().message == again.error().message);
    return 0;
  }
  demand(found[0].begin == span->begin && found[0].end == span->end);
  for (const JsonSpan& one : found) {
    if (!one.there()) continue;
    std::string_view value = one.in(text);
    auto inner = slice(value);
    demand(inner && inner->begin == 0 && inner->end == value.size());
    std::string decoded;
    if (kind_of_json(value) != JsonKind::string || !decode_json_string(value.substr(1, value.size() - 2), decoded)) continue;
    for (std::string_view rest = decoded; !rest.empty(); rest.remove_prefix(utf8_length(rest))) demand(utf8_length(rest) != 0);
  }
  return 0;
}
