// data/json_text.cpp
//
// Escapes of RFC 8259 §7 to UTF-8.
#include "data/json_text.h"

#include "base/text.h"

namespace portloom::data {
namespace {

uint32_t four_digits(std::string_view text) {
  uint32_t unit = 0;
  for (char c : text.substr(0, 4)) unit = unit * 16 + static_cast<uint32_t>(hex_value(c));
  return unit;
}

void append_utf8(std::string& to, uint32_t point) {
  auto put = [&](uint32_t byte) { to += static_cast<char>(byte); };
  if (point < 0x80) return put(point);
  if (point < 0x800) {
    put(0xc0 | point >> 6);
  } else {
    if (point < 0x10000) {
      put(0xe0 | point >> 12);
    } else {
      put(0xf0 | point >> 18);
      put(0x80 | (point >> 12 & 0x3f));
    }
    put(0x80 | (point >> 6 & 0x3f));
  }
  put(0x80 | (point & 0x3f));
}

// Behind "\u" in `rest`, which it takes.
bool append_escaped(std::string_view& rest, std::string& to) {
  uint32_t unit = four_digits(rest);
  rest.remove_prefix(4);
  if (unit >= 0xdc00 && unit < 0xe000) return false;
  if (unit >= 0xd800 && unit < 0xdc00) {
    if (!rest.starts_with("\\u")) return false;
    uint32_t second = four_digits(rest.substr(2));
    if (second < 0xdc00 || second >= 0xe000) return false;
    unit = 0x10000 + ((unit - 0xd800) << 10) + (second - 0xdc00);
    rest.remove_prefix(6);
  }
  append_utf8(to, unit);
  return true;
}

}  // namespace

bool decode_json_string(std::string_view inside, std::string& to) {
  while (true) {
    size_t backslash = inside.find('\\');
    to.append(inside.substr(0, backslash));
    if (backslash == std::string_view::npos) return true;
    char sign = inside[backslash + 1];
    inside.remove_prefix(backslash + 2);
    switch (sign) {
      case 'b': to += '\b'; break;
      case 'f': to += '\f'; break;
      case 'n': to += '\n'; break;
      case 'r': to += '\r'; break;
      case 't': to += '\t'; break;
      case 'u':
        if (!append_escaped(inside, to)) return false;
        break;
      default: to += sign;
    }
  }
}

}  // namespace portloom::data
