// get_return_object builds an immovable Task in the caller's place, and through passing functions too.
#include "canary.h"

namespace portloom {
namespace {

Task<int> number(int value) { co_return value; }
[[clang::coro_wrapper]] Task<int> pass_on(int value) { return number(value); }
[[clang::coro_wrapper]] Task<int> either(bool now, int value) {
  if (now) return ready(value);
  return pass_on(value);
}

Task<int> sum() {
  Task<int> first = either(true, 1);
  Task<int> second = either(false, 2);
  CHECK(first.done() && !second.done());
  co_return co_await first + co_await second + co_await either(false, 4);
}

}  // namespace
}  // namespace portloom

int main() {
  portloom::Task<int> task = portloom::sum();
  CHECK(task.start());
  CHECK(task.take() == 7);
}
