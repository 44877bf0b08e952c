// data/utf8.h
//
// Where characters end. Bytes from outside are looked at before anybody calls them text.
#pragma once

#include <cstddef>
#include <string_view>

namespace portloom::data {

// The length of the UTF-8 character at the start of `text`, which is not empty; 0 when there is none (RFC 3629 §4).
size_t utf8_length(std::string_view text);

}  // namespace portloom::data
