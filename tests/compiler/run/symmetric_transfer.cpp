// A million tasks that finish at once, in one loop, do not deepen the stack; neither do a million resumptions.
#include <algorithm>
#include <cstdint>

#include "canary.h"

namespace portloom {
namespace {

uintptr_t lowest = UINTPTR_MAX;
[[gnu::noinline]] void note_depth() { lowest = std::min(lowest, reinterpret_cast<uintptr_t>(__builtin_frame_address(0))); }

Task<int> at_once() {
  note_depth();
  co_return 1;
}
Task<int> after_a_turn() {
  co_await yield();
  note_depth();
  co_return 1;
}
Task<void> many(bool turns, int64_t* sum) {
  for (int i = 0; i < 1'000'000; ++i) {
    if (turns)
      *sum += co_await after_a_turn();
    else
      *sum += co_await at_once();
  }
}

}  // namespace
}  // namespace portloom

int main() {
  using namespace portloom;
  BareAgenda agenda;
  for (bool turns : {false, true}) {
    Scope scope;
    int64_t sum = 0;
    lowest = UINTPTR_MAX;
    scope.spawn(many, turns, &sum);
    agenda.run();
    CHECK(sum == 1'000'000);
    CHECK(reinterpret_cast<uintptr_t>(__builtin_frame_address(0)) - lowest < 16 * 1024);
  }
}
