// A named task over a temporary outlives what it refers to.
#include <string>

#include "async/task.h"

namespace portloom {

Task<size_t> length(const std::string& text) { co_return text.size(); }

Task<size_t> wait_for_it() {
#ifdef MENDED
  std::string text("temporary");
  Task<size_t> task = length(text);
#else
  Task<size_t> task = length(std::string("temporary"));
#endif
  co_return co_await task;
}

}  // namespace portloom
