// A function that is no coroutine and returns a Task must say so ([[clang::coro_wrapper]]): its locals die before the task runs.
#include "async/task.h"

namespace portloom {

Task<int> number() { co_return 1; }

#ifdef MENDED
[[clang::coro_wrapper]]
#endif
Task<int> pass_on() {
  return number();
}

}  // namespace portloom
