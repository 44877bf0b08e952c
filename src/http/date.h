// http/date.h
//
// DateCache: the Date of answers that we make, formatted once per second. One per worker.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "base/duration.h"

namespace portloom::http {

class DateCache {
 public:
  // "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110 §5.6.7); valid until the next call.
  std::string_view text(WallTime now) {
    int64_t second = std::chrono::floor<std::chrono::seconds>(now).time_since_epoch().count();
    if (second != second_) [[unlikely]]
      format(second);
    return {text_.data(), text_.size()};
  }

 private:
  void format(int64_t second);
  int64_t second_ = -1;
  std::array<char, 29> text_{};
};

}  // namespace portloom::http
