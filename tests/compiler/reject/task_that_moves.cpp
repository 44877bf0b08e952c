// Task is immovable: references into the block that made it stay good.
#include <utility>

#include "async/task.h"

namespace portloom {

Task<int> number() { co_return 1; }

Task<int> caller() {
  Task<int> task = number();
#ifdef MENDED
  co_return co_await task;
#else
  Task<int> moved = std::move(task);
  co_return co_await moved;
#endif
}

}  // namespace portloom
