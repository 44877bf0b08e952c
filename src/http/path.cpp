// http/path.cpp
//
// First a look whether anything is to be done; only then a second pass that writes.
#include "http/path.h"

#include <cstring>

#include "base/text.h"
#include "http/grammar.h"

namespace portloom::http {

namespace {

constexpr bool is_unreserved(char c) { return is_alpha(c) || is_digit(c) || c == '-' || c == '.' || c == '_' || c == '~'; }

// The byte that "%XX" at `at` stands for; -1 when it is no escape.
int escaped(std::string_view text, size_t at) {
  if (text.size() - at < 3) return -1;
  int high = hex_value(text[at + 1]);
  int low = hex_value(text[at + 2]);
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

enum class Look : uint8_t { normal, to_be_changed, bad };

bool is_lower_hex(char c) { return c >= 'a' && c <= 'f'; }

// What the escape at `at` asks for.
Look look_at_escape(std::string_view path, size_t at) {
  int byte = escaped(path, at);
  if (byte < 0x20 || byte == 0x7f) return Look::bad;
  if (is_unreserved(static_cast<char>(byte)) || is_lower_hex(path[at + 1]) || is_lower_hex(path[at + 2])) return Look::to_be_changed;
  return Look::normal;
}

// Whether the segment that begins at `at` is "." or "..", or one of them with a ";" parameter.
bool begins_dot_segment(std::string_view path, size_t at) {
  size_t dots = 0;
  while (dots < 3 && at + dots < path.size() && path[at + dots] == '.') ++dots;
  if (dots == 0 || dots == 3) return false;
  return at + dots == path.size() || path[at + dots] == '/' || path[at + dots] == ';';
}

Look look_at(std::string_view path) {
  Look look = Look::normal;
  for (size_t i = 0; i < path.size(); ++i) {
    if (path[i] == '%') {
      Look escape = look_at_escape(path, i);
      if (escape == Look::bad) return Look::bad;
      if (escape == Look::to_be_changed) look = Look::to_be_changed;
    } else if (path[i] == '/' && i + 1 < path.size() && (path[i + 1] == '/' || begins_dot_segment(path, i + 1))) {
      look = Look::to_be_changed;
    }
  }
  return look;
}

// RFC 3986 §6.2.2.1, §6.2.2.2: writes one segment with its escapes normalised; returns the end.
char* write_segment(char* out, std::string_view segment) {
  for (size_t i = 0; i < segment.size(); ++i) {
    if (segment[i] != '%') {
      *out++ = segment[i];
      continue;
    }
    auto byte = static_cast<char>(escaped(segment, i));
    if (is_unreserved(byte)) {
      *out++ = byte;
    } else {
      constexpr char digits[] = "0123456789ABCDEF";
      *out++ = '%';
      *out++ = digits[static_cast<uint8_t>(byte) >> 4];
      *out++ = digits[static_cast<uint8_t>(byte) & 15];
    }
    i += 2;
  }
  return out;
}

// RFC 3986 §5.2.4, segment by segment; what is written always begins with "/". Null when a dot segment carries a parameter: "..;" is a
// name by RFC 3986 but a step up for servlet containers, so no two readers agree on it.
char* write_path(char* const start, std::string_view path) {
  char* out = start;
  *out++ = '/';
  path.remove_prefix(1);
  while (true) {
    size_t slash = path.find('/');
    std::string_view given = path.substr(0, slash);
    char* end = write_segment(out, given);
    std::string_view segment(out, static_cast<size_t>(end - out));
    if (segment.find(';') != std::string_view::npos && begins_dot_segment(segment, 0)) return nullptr;
    if (segment == "..") {
      if (out > start + 1)
        for (--out; out[-1] != '/';) --out;
    } else if (!segment.empty() && segment != ".") {
      out = end;
      if (slash != std::string_view::npos) *out++ = '/';
    }
    if (slash == std::string_view::npos) return out;
    path.remove_prefix(slash + 1);
  }
}

}  // namespace

Result<Target> normalize(std::string_view target) {
  if (!target.starts_with('/') || !is_target_text(target)) return failure(Code::bad_request, Side::client, "the path is malformed");
  size_t question = target.find('?');
  std::string_view path = target.substr(0, question);
  Target result;
  result.has_query = question != std::string_view::npos;
  Look look = look_at(path);
  if (look == Look::bad) return failure(Code::bad_request, Side::client, "the path has a malformed escape or an escaped control character");
  if (look == Look::normal) {
    result.text = target;
    result.path = path;
    result.query = result.has_query ? target.substr(question + 1) : std::string_view{};
    return result;
  }
  Bytes bytes = Bytes::uninitialized(target.size() + 1);
  char* start = bytes.writable();
  char* end = write_path(start, path);
  if (end == nullptr) return failure(Code::bad_request, Side::client, "the path has a dot segment with a parameter");
  auto path_size = static_cast<size_t>(end - start);
  std::string_view tail = target.substr(path.size());
  std::memcpy(end, tail.data(), tail.size());
  bytes.truncate(path_size + tail.size());
  result.text = bytes.view();
  result.path = result.text.substr(0, path_size);
  result.query = result.has_query ? result.text.substr(path_size + 1) : std::string_view{};
  result.changed = true;
  result.owned = std::move(bytes);
  return result;
}

}  // namespace portloom::http
