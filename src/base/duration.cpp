// base/duration.cpp
//
// Durations as text: one table of units serves reading and writing.
#include "base/duration.h"

namespace portloom {
namespace {

struct Unit {
  std::string_view name;
  int64_t nanoseconds;
};
constexpr Unit units[] = {{"d", 86'400'000'000'000},
                          {"h", 3'600'000'000'000},
                          {"m", 60'000'000'000},
                          {"s", 1'000'000'000},
                          {"ms", 1'000'000},
                          {"us", 1'000},
                          {"ns", 1}};
constexpr int64_t longest = 100LL * 365 * 86'400 * 1'000'000'000;

}  // namespace

std::optional<Duration> parse_duration(std::string_view text) {
  int64_t total = 0;
  size_t next_unit = 0;
  if (text.empty()) return std::nullopt;
  while (!text.empty()) {
    int64_t number = 0;
    size_t digits = 0;
    while (digits < text.size() && text[digits] >= '0' && text[digits] <= '9') {
      if (number > longest / 10) return std::nullopt;
      number = number * 10 + (text[digits++] - '0');
    }
    if (digits == 0) return std::nullopt;
    text.remove_prefix(digits);
    size_t letters = 0;
    while (letters < text.size() && text[letters] >= 'a' && text[letters] <= 'z') ++letters;
    size_t unit = next_unit;
    while (unit < std::size(units) && units[unit].name != text.substr(0, letters)) ++unit;
    if (unit == std::size(units)) return std::nullopt;
    if (number > (longest - total) / units[unit].nanoseconds) return std::nullopt;
    total += number * units[unit].nanoseconds;
    next_unit = unit + 1;
    text.remove_prefix(letters);
  }
  return Duration{total};
}

std::string format_duration(Duration duration) {
  int64_t rest = duration.count();
  if (rest <= 0) return "0s";
  std::string text;
  for (const Unit& unit : units) {
    if (rest < unit.nanoseconds) continue;
    text += std::to_string(rest / unit.nanoseconds);
    text += unit.name;
    rest %= unit.nanoseconds;
  }
  return text;
}

}  // namespace portloom
