// base/duration.h
//
// Time. A Duration is nanoseconds, an Instant a point on the loop's steady clock (virtual in tests), a WallTime
// what people read. In text a duration always carries its unit: 3s, 250ms, 1h30m.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace portloom {

using Duration = std::chrono::nanoseconds;
using namespace std::chrono_literals;

struct SteadyClock {
  using duration = Duration;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<SteadyClock, Duration>;
  static constexpr bool is_steady = true;
  static time_point now() { return time_point{std::chrono::steady_clock::now().time_since_epoch()}; }
};
using Instant = SteadyClock::time_point;
using WallTime = std::chrono::sys_time<Duration>;

inline constexpr Instant never = Instant::max();

// Reads "3s", "250ms", "1h30m", "500us"; units ns us ms s m h d, largest first, each at most once. Nothing else
// is accepted: no sign, no space, no bare number. Empty when the text is not a duration or exceeds 100 years.
std::optional<Duration> parse_duration(std::string_view text);

// The shortest text that parse_duration reads back: "1h30m", "250ms", "0s".
std::string format_duration(Duration duration);

}  // namespace portloom
