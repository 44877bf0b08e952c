// data/scan.cpp
//
// Long runs with 32 bytes at a time where the machine has AVX2, found out once; else 16, or one.
#include "data/scan.h"

namespace portloom::data {
namespace {

#if defined(__SSSE3__)

const bool has_avx2 = __builtin_cpu_supports("avx2");

[[gnu::target("avx2")]] const char* plain_end_32(const char* at, const char* end) {
  for (; end - at >= 32; at += 32) {
    __m256i bytes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at));
    __m256i low = _mm256_cmpgt_epi8(_mm256_set1_epi8(0x20), bytes);
    __m256i quote = _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8('"'));
    __m256i backslash = _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8('\\'));
    auto found = static_cast<unsigned>(_mm256_movemask_epi8(_mm256_or_si256(low, _mm256_or_si256(quote, backslash))));
    if (found != 0) return at + std::countr_zero(found);
  }
  return at;
}

[[gnu::target("avx2")]] const char* space_end_32(const char* at, const char* end) {
  const __m256i spaces = _mm256_broadcastsi128_si256(_mm_setr_epi8(' ', -1, -1, -1, -1, -1, -1, -1, -1, '\t', '\n', -1, -1, '\r', -1, -1));
  for (; end - at >= 32; at += 32) {
    __m256i bytes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at));
    __m256i same = _mm256_cmpeq_epi8(bytes, _mm256_shuffle_epi8(spaces, bytes));
    unsigned found = ~static_cast<unsigned>(_mm256_movemask_epi8(same));
    if (found != 0) return at + std::countr_zero(found);
  }
  return at;
}

template <unsigned (*other)(__m128i)>
const char* blocks_end(const char* at, const char* end) {
  for (; end - at >= 16; at += 16) {
    unsigned found = other(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at)));
    if (found != 0) return at + std::countr_zero(found);
  }
  return at;
}

#endif

}  // namespace

const char* long_plain_end(const char* at, const char* end) {
#if defined(__SSSE3__)
  at = has_avx2 ? plain_end_32(at, end) : blocks_end<not_plain>(at, end);
#endif
  while (at != end && is_plain(*at)) ++at;
  return at;
}

const char* long_space_end(const char* at, const char* end) {
#if defined(__SSSE3__)
  at = has_avx2 ? space_end_32(at, end) : blocks_end<not_space>(at, end);
#endif
  while (at != end && is_space(*at)) ++at;
  return at;
}

}  // namespace portloom::data
