// A named task of a temporary object's member coroutine: `this` dies first.
#include "async/task.h"

namespace portloom {

struct Service {
  int answer = 42;
  Task<int> call() { co_return answer; }
};

Task<int> caller() {
#ifdef MENDED
  Service service;
  Task<int> task = service.call();
#else
  Task<int> task = Service{}.call();
#endif
  co_return co_await task;
}

}  // namespace portloom
