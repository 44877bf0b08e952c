// A task returned over a local would read a dead frame: [[clang::coro_lifetimebound]] makes it an error.
#include <string>

#include "async/task.h"

namespace portloom {

Task<size_t> length(const std::string& text) { co_return text.size(); }

[[clang::coro_wrapper]] Task<size_t> pass_on(const std::string& text) {
#ifdef MENDED
  return length(text);
#else
  std::string local = text;
  return length(local);
#endif
}

}  // namespace portloom
