// http/date.cpp
//
// IMF-fixdate, without the C library: no locale, no lock.
#include "http/date.h"

#include <algorithm>
#include <chrono>

namespace portloom::http {

void DateCache::format(int64_t second) {
  using namespace std::chrono;
  constexpr std::string_view days_of_week = "SunMonTueWedThuFriSat";
  constexpr std::string_view months = "JanFebMarAprMayJunJulAugSepOctNovDec";
  sys_seconds time{seconds(second)};
  sys_days day = floor<days>(time);
  year_month_day date(day);
  hh_mm_ss clock(time - day);
  constexpr std::string_view form = "Sun, 06 Nov 1994 08:49:37 GMT";
  std::copy(form.begin(), form.end(), text_.begin());
  auto digits = [this](size_t at, size_t count, unsigned number) {
    for (size_t i = count; i-- > 0; number /= 10) text_[at + i] = static_cast<char>('0' + number % 10);
  };
  std::copy_n(days_of_week.begin() + 3 * weekday(day).c_encoding(), 3, text_.begin());
  digits(5, 2, static_cast<unsigned>(date.day()));
  std::copy_n(months.begin() + 3 * (static_cast<unsigned>(date.month()) - 1), 3, text_.begin() + 8);
  digits(12, 4, static_cast<unsigned>(static_cast<int>(date.year())));
  digits(17, 2, static_cast<unsigned>(clock.hours().count()));
  digits(20, 2, static_cast<unsigned>(clock.minutes().count()));
  digits(23, 2, static_cast<unsigned>(clock.seconds().count()));
  second_ = second;
}

}  // namespace portloom::http
