// telemetry/access_log.cpp
//
// The line's fields, in the contract's order. Every key is always there: "" or 0 where there is nothing to say.
// Each text is bounded before it is written and an escape takes at most six bytes, so the line's buffer cannot overflow.
#include "telemetry/access_log.h"

#include <charconv>
#include <cstring>

#include "data/json.h"

namespace portloom::telemetry {
namespace {

constexpr size_t escaped_max = 6;  // bytes that one byte may become: \u001f
constexpr size_t failed_services_max = 4096;
constexpr size_t texts = 16;    // more than there are
constexpr size_t fixed = 2048;  // keys and numbers
constexpr size_t line_max =
    escaped_max * (AccessLog::path_max + texts * AccessLog::text_max) + (escaped_max + 3) * failed_services_max + fixed;

char* put(char* at, std::string_view text) {
  std::memcpy(at, text.data(), text.size());
  return at + text.size();
}

char* put_number(char* at, uint64_t number) { return std::to_chars(at, at + 20, number).ptr; }

// "12.345"
char* put_milliseconds(char* at, Duration duration) {
  uint64_t micros = duration.count() <= 0 ? 0 : static_cast<uint64_t>(duration.count()) / 1000;
  at = put_number(at, micros / 1000);
  uint64_t rest = micros % 1000;
  at[0] = '.';
  at[1] = static_cast<char>('0' + rest / 100);
  at[2] = static_cast<char>('0' + rest / 10 % 10);
  at[3] = static_cast<char>('0' + rest % 10);
  return at + 4;
}

// Bytes that stand for themselves in a JSON string: printable ASCII without the quote and the backslash.
constexpr bool plain(char c) { return c >= 0x20 && c < 0x7f && c != '"' && c != '\\'; }

// The same for eight bytes at once: bytes are compared by the classic carry trick, which is exact for "are all plain?".
bool all_plain(uint64_t word) {
  constexpr uint64_t ones = 0x0101010101010101, tops = 0x8080808080808080;
  auto has_zero = [](uint64_t x) { return (x - ones) & ~x & tops; };
  uint64_t control = (word - ones * 0x20) & ~word & tops;
  return (control | (word & tops) | has_zero(word ^ (ones * '"')) | has_zero(word ^ (ones * '\\')) | has_zero(word ^ (ones * 0x7f))) == 0;
}

// The length of the plain text that was copied: less than text.size() when something in it needs an escape.
size_t copy_plain(char* to, std::string_view text) {
  size_t i = 0;
  for (; text.size() - i >= 8; i += 8) {
    uint64_t word;
    std::memcpy(&word, text.data() + i, 8);
    if (!all_plain(word)) return i;
    std::memcpy(to + i, &word, 8);
  }
  for (; i < text.size(); ++i) {
    if (!plain(text[i])) return i;
    to[i] = text[i];
  }
  return i;
}

}  // namespace

AccessLog::AccessLog(LogRing& ring, uint64_t seed) : ring_(ring), line_(std::make_unique_for_overwrite<char[]>(line_max)), random_(seed) {
  redacted_.reserve(2 * path_max);  // "t=x&" becomes "t=***&"
  escaped_.reserve(escaped_max * path_max + 2);
}

void AccessLog::write(const pipeline::Record& record) {
  if (rules_.wants(record, random_)) ring_.put(format(record));
}

char* AccessLog::put_text(char* at, std::string_view text, size_t size_max) {
  if (text.size() > size_max) text = text.substr(0, size_max);
  *at = '"';
  size_t copied = copy_plain(at + 1, text);
  if (copied == text.size()) [[likely]] {
    at[copied + 1] = '"';
    return at + copied + 2;
  }
  escaped_.clear();
  data::append_json_string(escaped_, text);
  return put(at, escaped_);
}

// RFC 3339, UTC, with milliseconds. The calendar is asked once per second.
char* AccessLog::put_time(char* at, WallTime time) {
  using namespace std::chrono;
  auto millis = floor<milliseconds>(time).time_since_epoch().count();
  int64_t second = millis / 1000;
  if (millis % 1000 < 0) --second;
  if (second != second_) {
    second_ = second;
    sys_seconds at_second{seconds(second)};
    auto day = floor<days>(at_second);
    year_month_day date(day);
    hh_mm_ss clock(at_second - day);
    auto digits = [this](size_t place, size_t count, unsigned number) {
      for (size_t i = count; i-- > 0; number /= 10) second_text_[place + i] = static_cast<char>('0' + number % 10);
    };
    std::memcpy(second_text_.data(), "0000-00-00T00:00:00.", second_text_.size());
    digits(0, 4, static_cast<unsigned>(static_cast<int>(date.year())));
    digits(5, 2, static_cast<unsigned>(date.month()));
    digits(8, 2, static_cast<unsigned>(date.day()));
    digits(11, 2, static_cast<unsigned>(clock.hours().count()));
    digits(14, 2, static_cast<unsigned>(clock.minutes().count()));
    digits(17, 2, static_cast<unsigned>(clock.seconds().count()));
  }
  at = put(at, {second_text_.data(), second_text_.size()});
  auto rest = static_cast<unsigned>(millis - second * 1000);
  at[0] = static_cast<char>('0' + rest / 100);
  at[1] = static_cast<char>('0' + rest / 10 % 10);
  at[2] = static_cast<char>('0' + rest % 10);
  at[3] = 'Z';
  return at + 4;
}

// "a,b" becomes ["a","b"]; names of calls have no comma.
char* AccessLog::put_failed_services(char* at, std::string_view names) {
  names = names.substr(0, failed_services_max);
  *at++ = '[';
  while (!names.empty()) {
    size_t end = std::min(names.find(','), names.size());
    at = put_text(at, names.substr(0, end));
    names.remove_prefix(end);
    if (names.empty()) break;
    names.remove_prefix(1);
    *at++ = ',';
  }
  *at++ = ']';
  return at;
}

std::string_view AccessLog::format(const pipeline::Record& record) {
  // A client that left before an answer began is logged as nginx does: 499, its own doing.
  bool gone = record.status == 0;
  std::string_view blame = record.fault ? name_of(record.fault->side) : gone ? name_of(Side::client) : std::string_view();
  std::string_view reason = record.fault ? name_of(record.fault->code) : gone ? name_of(Code::client_gone) : std::string_view();
  uint64_t attempts = record.call.attempts;
  for (const auto& call : record.subcalls) attempts += call->attempts;

  char* at = put(line_.get(), R"({"time":")");
  at = put_time(at, record.time);
  at = put_text(put(at, R"(","request_id":)"), record.id());
  at = put_text(put(at, R"(,"client":)"), record.client);
  at = put_text(put(at, R"(,"method":)"), record.method);
  at = put_text(put(at, R"(,"host":)"), record.host);
  at = put_text(put(at, R"(,"path":)"), rules_.redact(record.path.substr(0, path_max), redacted_), path_max);
  at = put_text(put(at, R"(,"protocol":)"), record.protocol);
  at = put_text(put(at, R"(,"listener":)"), record.listener);
  at = put_text(put(at, R"(,"route":)"), record.route);
  at = put_text(put(at, R"(,"service":)"), record.service());
  at = put_text(put(at, R"(,"endpoint":)"), record.call.endpoint);
  at = put_number(put(at, R"(,"status":)"), gone ? 499 : record.status);
  at = put_text(put(at, R"(,"blame":)"), blame);
  at = put_text(put(at, R"(,"reason":)"), reason);
  at = put_number(put(at, R"(,"bytes_in":)"), record.bytes_in);
  at = put_number(put(at, R"(,"bytes_out":)"), record.bytes_out);
  at = put_milliseconds(put(at, R"(,"duration_ms":)"), record.duration);
  at = put_milliseconds(put(at, R"(,"queue_ms":)"), record.call.queue);
  at = put_milliseconds(put(at, R"(,"connect_ms":)"), record.call.connect);
  at = put_milliseconds(put(at, R"(,"first_byte_ms":)"), record.call.first_byte);
  at = put_number(put(at, R"(,"attempts":)"), attempts);
  at = put(put(at, R"(,"degraded":)"), record.degraded ? "true" : "false");
  at = put_failed_services(put(at, R"(,"failed_services":)"), record.failed_services);
  at = put_text(put(at, R"(,"consumer":)"), record.consumer);
  at = put_text(put(at, R"(,"tenant":)"), record.tenant);
  at = put_text(put(at, R"(,"trace_id":)"), record.trace_id());
  at = put_text(put(at, R"(,"policy":)"), record.policy);
  at = put_text(put(at, R"(,"limit":)"), record.limit);
  at = put_text(put(at, R"(,"config":)"), record.config);
  at = put_text(put(at, R"(,"dry_run":)"), record.dry_run);
  at = put(at, "}\n");
  return {line_.get(), static_cast<size_t>(at - line_.get())};
}

}  // namespace portloom::telemetry
