// http/grammar.cpp
//
// Character scans (16 bytes at a time where the machine can) and the syntax of an authority.
#include "http/grammar.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <cstring>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace portloom::http {

namespace {

constexpr bool is_value_char(char c) {
  auto byte = static_cast<uint8_t>(c);
  return (byte >= 0x20 && byte != 0x7f) || byte == '\t';
}
constexpr bool is_target_char(char c) { return c > 0x20 && c < 0x7f && c != '#'; }

// reg-name of RFC 3986 §3.2.2 without the empty one; "%" must begin an escape.
constexpr bool is_reg_name(std::string_view text) {
  for (size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (is_alpha(c) || is_digit(c) || std::string_view("-._~!$&'()*+,;=").find(c) != std::string_view::npos) continue;
    if (c != '%' || text.size() - i < 3 || hex_value(text[i + 1]) < 0 || hex_value(text[i + 2]) < 0) return false;
    i += 2;
  }
  return true;
}

bool is_ipv6(std::string_view text) {
  char buffer[INET6_ADDRSTRLEN];
  if (text.empty() || text.size() >= sizeof buffer || text.find('\0') != std::string_view::npos) return false;
  std::memcpy(buffer, text.data(), text.size());
  buffer[text.size()] = '\0';
  in6_addr parsed;
  return inet_pton(AF_INET6, buffer, &parsed) == 1;
}

}  // namespace

#if defined(__SSE2__)

namespace {

__m128i load(const char* from) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from)); }

bool are_value_chars(__m128i bytes) {
  __m128i printable = _mm_cmpeq_epi8(_mm_max_epu8(bytes, _mm_set1_epi8(0x20)), bytes);
  __m128i allowed = _mm_or_si128(printable, _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\t')));
  return _mm_movemask_epi8(_mm_andnot_si128(_mm_cmpeq_epi8(bytes, _mm_set1_epi8(0x7f)), allowed)) == 0xffff;
}
bool are_target_chars(__m128i bytes) {
  __m128i bad = _mm_or_si128(_mm_cmpeq_epi8(bytes, _mm_set1_epi8(0x7f)), _mm_cmpeq_epi8(bytes, _mm_set1_epi8('#')));
  // Signed: bytes from 0x80 are below space.
  return _mm_movemask_epi8(_mm_andnot_si128(bad, _mm_cmpgt_epi8(bytes, _mm_set1_epi8(0x20)))) == 0xffff;
}

// The last 16 overlap those before them.
template <bool (*good)(__m128i)>
bool all_of_long(std::string_view text) {
  for (size_t i = 0; i + 16 < text.size(); i += 16)
    if (!good(load(text.data() + i))) return false;
  return good(load(text.data() + text.size() - 16));
}

}  // namespace

#endif

bool is_field_value(std::string_view text) {
#if defined(__SSE2__)
  if (text.size() >= 16) return all_of_long<are_value_chars>(text);
#endif
  for (char c : text)
    if (!is_value_char(c)) return false;
  return true;
}

bool is_target_text(std::string_view text) {
#if defined(__SSE2__)
  if (text.size() >= 16) return all_of_long<are_target_chars>(text);
#endif
  for (char c : text)
    if (!is_target_char(c)) return false;
  return !text.empty();
}

bool parse_authority(std::string_view text, Authority& authority, bool may_be_empty) {
  size_t host_end;
  if (text.starts_with('[')) {
    size_t close = text.find(']');
    if (close == std::string_view::npos || !is_ipv6(text.substr(1, close - 1))) return false;
    host_end = close + 1;
  } else {
    host_end = std::min(text.find(':'), text.size());
    if (!is_reg_name(text.substr(0, host_end))) return false;
    if (host_end == 0 && !(may_be_empty && text.empty())) return false;
  }
  authority = {text.substr(0, host_end), {}};
  if (host_end == text.size()) return true;
  if (text[host_end] != ':') return false;
  authority.port = text.substr(host_end + 1);
  if (authority.port.empty()) return true;  // RFC 3986 §3.2.3: port = *DIGIT
  std::optional<uint64_t> port = parse_number(authority.port);
  return port.has_value() && *port <= 65535 && authority.port.size() <= 5;
}

std::string_view reason_phrase(unsigned status) {
  switch (status) {
    case 100: return "Continue";
    case 101: return "Switching Protocols";
    case 103: return "Early Hints";
    case 200: return "OK";
    case 201: return "Created";
    case 202: return "Accepted";
    case 203: return "Non-Authoritative Information";
    case 204: return "No Content";
    case 205: return "Reset Content";
    case 206: return "Partial Content";
    case 207: return "Multi-Status";
    case 300: return "Multiple Choices";
    case 301: return "Moved Permanently";
    case 302: return "Found";
    case 303: return "See Other";
    case 304: return "Not Modified";
    case 307: return "Temporary Redirect";
    case 308: return "Permanent Redirect";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 402: return "Payment Required";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 406: return "Not Acceptable";
    case 407: return "Proxy Authentication Required";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 410: return "Gone";
    case 411: return "Length Required";
    case 412: return "Precondition Failed";
    case 413: return "Content Too Large";
    case 414: return "URI Too Long";
    case 415: return "Unsupported Media Type";
    case 416: return "Range Not Satisfiable";
    case 417: return "Expectation Failed";
    case 421: return "Misdirected Request";
    case 422: return "Unprocessable Content";
    case 423: return "Locked";
    case 424: return "Failed Dependency";
    case 425: return "Too Early";
    case 426: return "Upgrade Required";
    case 428: return "Precondition Required";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 451: return "Unavailable For Legal Reasons";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    case 505: return "HTTP Version Not Supported";
    case 507: return "Insufficient Storage";
    case 508: return "Loop Detected";
    case 511: return "Network Authentication Required";
    default: return {};
  }
}

}  // namespace portloom::http
