// data/scan.h
//
// How far a run of bytes goes: the two runs that make up most of a JSON text. Vectors of 16 bytes inline, since most runs are short;
// a long run goes on in a function that takes the widest vectors this machine has (scan.cpp). Never reads beyond `end`.
#pragma once

#include <bit>
#include <cstdint>

#if defined(__SSSE3__)
#include <immintrin.h>
#endif

namespace portloom::data {

// A byte that stands for itself inside a JSON string and is ASCII: not a control character, a quote or a backslash.
constexpr bool is_plain(char c) { return c >= 0x20 && c != '"' && c != '\\'; }
// RFC 8259 §2.
constexpr bool is_space(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

// The same runs, long ones.
const char* long_plain_end(const char* at, const char* end);
const char* long_space_end(const char* at, const char* end);

inline constexpr int inline_blocks = 4;  // of 16 bytes: what a call costs is earned back after them

#if defined(__SSSE3__)

inline unsigned not_plain(__m128i bytes) {
  // Signed: bytes of 0x80 and above are negative, so one comparison finds them and the control characters.
  __m128i low = _mm_cmplt_epi8(bytes, _mm_set1_epi8(0x20));
  __m128i quote = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('"'));
  __m128i backslash = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\'));
  return static_cast<unsigned>(_mm_movemask_epi8(_mm_or_si128(low, _mm_or_si128(quote, backslash))));
}

inline unsigned not_space(__m128i bytes) {
  // By the low four bits: the white space that ends in them, or a byte that none with these bits can equal.
  const __m128i spaces = _mm_setr_epi8(' ', -1, -1, -1, -1, -1, -1, -1, -1, '\t', '\n', -1, -1, '\r', -1, -1);
  __m128i same = _mm_cmpeq_epi8(bytes, _mm_shuffle_epi8(spaces, bytes));
  return static_cast<unsigned>(_mm_movemask_epi8(same)) ^ 0xffff;
}

template <unsigned (*other)(__m128i), const char* (*go_on)(const char*, const char*)>
inline const char* run_end(const char* at, const char* end, bool (*belongs)(char)) {
  for (int block = 0; end - at >= 16; at += 16) {
    if (block++ == inline_blocks) return go_on(at, end);
    unsigned found = other(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at)));
    if (found != 0) return at + std::countr_zero(found);
  }
  while (at != end && belongs(*at)) ++at;
  return at;
}
inline const char* plain_end(const char* at, const char* end) { return run_end<not_plain, long_plain_end>(at, end, is_plain); }
inline const char* space_end(const char* at, const char* end) { return run_end<not_space, long_space_end>(at, end, is_space); }

#else

inline const char* plain_end(const char* at, const char* end) { return long_plain_end(at, end); }
inline const char* space_end(const char* at, const char* end) { return long_space_end(at, end); }

#endif

}  // namespace portloom::data
