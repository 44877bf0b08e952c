// base/check.h
//
// CHECK states what only our own mistake could break; it ends the process with the place. Bytes from outside can
// never trip one. This is the only file in which `abort` (and, if ever, `throw`) may stand.
#pragma once

#include <cstdio>
#include <cstdlib>

namespace portloom {

[[noreturn, gnu::cold]] inline void check_failed(const char* condition, const char* file, int line) {
  std::fprintf(stderr, "portloom: internal error: %s at %s:%d\n", condition, file, line);
  std::abort();
}

}  // namespace portloom

#define CHECK(condition)                                        \
  do {                                                          \
    if (!(condition)) [[unlikely]]                              \
      ::portloom::check_failed(#condition, __FILE__, __LINE__); \
  } while (false)
