// A task that nobody awaits never runs.
#include "async/task.h"

namespace portloom {

Task<void> work() { co_return; }

Task<void> caller() {
#ifdef MENDED
  co_await
#endif
      work();
  co_return;
}

}  // namespace portloom
