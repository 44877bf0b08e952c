// Dropping a task runs the destructors of what it had made exactly once: before it started (the arguments), suspended
// (locals and the tasks below), and finished (the value).
#include <utility>

#include "canary.h"

namespace portloom {
namespace {

Task<Counted> inner(Counted argument, bool wait) {
  Counted local;
  if (wait) co_await sleep_for(1s);
  co_return argument;
}
Task<Counted> outer(Counted argument, bool wait) {
  Counted local;
  Counted got = co_await inner(argument, wait);
  co_return got;
}

}  // namespace
}  // namespace portloom

int main() {
  using namespace portloom;
  BareAgenda agenda;
  {
    Task<Counted> never_started = outer(Counted{}, true);
    CHECK(Counted::alive == 1);
  }
  CHECK(Counted::alive == 0);
  {
    Task<Counted> suspended = outer(Counted{}, true);
    CHECK(!suspended.start());
    CHECK(Counted::alive >= 4);  // when a parameter of the caller dies is the compiler's choice
  }
  CHECK(Counted::alive == 0);
  {
    Task<Counted> finished = outer(Counted{}, false);
    CHECK(finished.start());
    Counted value = finished.take();
    CHECK(Counted::alive >= 2);
  }
  CHECK(Counted::alive == 0);
}
