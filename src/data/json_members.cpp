// data/json_members.cpp
//
// The text was sliced before, so nothing is checked again: only quotes, brackets and commas are looked for.
#include "data/json_members.h"

#include "data/json_text.h"
#include "data/scan.h"

namespace portloom::data {
namespace {

// Behind the string that begins at `at`.
size_t string_end(std::string_view text, size_t at) {
  for (++at; text[at] != '"'; ++at)
    if (text[at] == '\\') ++at;
  return at + 1;
}

// Behind the value that begins at `at`.
size_t value_end(std::string_view text, size_t at) {
  if (text[at] == '"') return string_end(text, at);
  if (text[at] != '{' && text[at] != '[') {
    size_t end = text.find_first_of(",}] \t\r\n", at);
    return end == std::string_view::npos ? text.size() : end;
  }
  size_t depth = 0;
  while (true) {
    if (text[at] == '"') {
      at = string_end(text, at);
      continue;
    }
    if (text[at] == '{' || text[at] == '[') ++depth;
    if ((text[at] == '}' || text[at] == ']') && --depth == 0) return at + 1;
    ++at;
  }
}

size_t skip_space(std::string_view text, size_t at) {
  while (is_space(text[at])) ++at;
  return at;
}

}  // namespace

void each_json_member(std::string_view object, const std::function<void(std::string_view name, std::string_view member)>& see) {
  size_t at = skip_space(object, 1);
  while (object[at] != '}') {
    size_t begin = at;
    at = string_end(object, at);
    std::string_view name = object.substr(begin + 1, at - begin - 2);
    at = skip_space(object, skip_space(object, at) + 1);  // the colon
    at = value_end(object, at);
    see(name, object.substr(begin, at - begin));
    at = skip_space(object, at);
    if (object[at] == ',') at = skip_space(object, at + 1);
  }
}

std::string_view json_value_of(std::string_view name, std::string_view member) {
  size_t colon = skip_space(member, name.size() + 2);
  return member.substr(skip_space(member, colon + 1));
}

void each_json_item(std::string_view array, const std::function<void(std::string_view item)>& see) {
  size_t at = skip_space(array, 1);
  while (array[at] != ']') {
    size_t begin = at;
    at = value_end(array, at);
    see(array.substr(begin, at - begin));
    at = skip_space(array, at);
    if (array[at] == ',') at = skip_space(array, at + 1);
  }
}

bool json_string_is(std::string_view inside, std::string_view text) {
  if (inside.find('\\') == std::string_view::npos) return inside == text;
  std::string decoded;
  return decode_json_string(inside, decoded) && decoded == text;
}

}  // namespace portloom::data
