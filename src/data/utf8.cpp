// data/utf8.cpp
//
// Well-formed sequences only: no surrogates, nothing longer than it need be, nothing beyond U+10FFFF.
#include "data/utf8.h"

namespace portloom::data {

size_t utf8_length(std::string_view text) {
  auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  auto tail = [&](size_t from, size_t to) {
    for (size_t i = from; i < to; ++i)
      if (i >= text.size() || (byte(i) & 0xc0) != 0x80) return false;
    return true;
  };
  unsigned char first = byte(0);
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first <= 0xdf) return tail(1, 2) ? 2 : 0;
  if (first >= 0xe0 && first <= 0xef) {
    if (!tail(1, 3)) return 0;
    if ((first == 0xe0 && byte(1) < 0xa0) || (first == 0xed && byte(1) > 0x9f)) return 0;
    return 3;
  }
  if (first >= 0xf0 && first <= 0xf4) {
    if (!tail(1, 4)) return 0;
    if ((first == 0xf0 && byte(1) < 0x90) || (first == 0xf4 && byte(1) > 0x8f)) return 0;
    return 4;
  }
  return 0;
}

}  // namespace portloom::data
