// http/trace_context.cpp
//
// version "-" trace-id "-" parent-id "-" trace-flags: 55 characters. What is written is version 00 with the one flag that it knows.
#include "http/trace_context.h"

#include <algorithm>

namespace portloom::http {
namespace {

constexpr size_t size_00 = 55;
constexpr uint8_t flag_sampled = 1;

int hex(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

bool is_hex(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return hex(c) >= 0; });
}

bool is_zero(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c == '0'; });
}

void write(char* to, size_t size, uint64_t bits) {
  for (size_t i = 0; i < size; ++i, bits >>= 4) to[i] = "0123456789abcdef"[bits & 15];
}

void set_traceparent(Headers& headers, const TraceParent& parent) {
  std::array<char, size_00> text;
  std::string_view start = "00-";
  char* at = std::copy(start.begin(), start.end(), text.data());
  at = std::copy(parent.trace_id.begin(), parent.trace_id.end(), at);
  *at++ = '-';
  at = std::copy(parent.parent_id.begin(), parent.parent_id.end(), at);
  std::string_view end = parent.sampled ? "-01" : "-00";
  std::copy(end.begin(), end.end(), at);
  if (headers.contains(Name::traceparent))
    headers.set(Name::traceparent, {text.data(), text.size()});
  else
    headers.add(Name::traceparent, {text.data(), text.size()});
}

}  // namespace

std::optional<TraceParent> parse_traceparent(std::string_view text) {
  if (text.size() < size_00) return std::nullopt;
  std::string_view version = text.substr(0, 2), trace = text.substr(3, 32), parent = text.substr(36, 16), flags = text.substr(53, 2);
  if (text[2] != '-' || text[35] != '-' || text[52] != '-') return std::nullopt;
  if (!is_hex(version) || !is_hex(trace) || !is_hex(parent) || !is_hex(flags)) return std::nullopt;
  if (version == "ff" || is_zero(trace) || is_zero(parent)) return std::nullopt;
  if (text.size() > size_00 && (version == "00" || text[size_00] != '-')) return std::nullopt;
  TraceParent read;
  std::copy(trace.begin(), trace.end(), read.trace_id.begin());
  std::copy(parent.begin(), parent.end(), read.parent_id.begin());
  read.sampled = (hex(flags[1]) & flag_sampled) != 0;
  return read;
}

TraceParent continue_trace(Headers& headers, Random& random, bool sampled) {
  if (std::optional<std::string_view> received = headers.find(Name::traceparent)) {
    std::optional<TraceParent> parent = parse_traceparent(*received);
    if (parent && headers.count(Name::traceparent) == 1) {  // of two it cannot be told which is meant
      if (!received->starts_with("00") || (*received)[53] != '0' || hex((*received)[54]) > flag_sampled) set_traceparent(headers, *parent);
      return *parent;
    }
  }
  TraceParent begun;
  begun.sampled = sampled;
  write(begun.trace_id.data(), 16, random.next() | 1);  // never all zero
  write(begun.trace_id.data() + 16, 16, random.next());
  write(begun.parent_id.data(), 16, random.next() | 1);
  headers.remove(Name::tracestate);
  set_traceparent(headers, begun);
  return begun;
}

}  // namespace portloom::http
