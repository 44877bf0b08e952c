// Temporaries of a co_await expression (aggregates above all: g++ 12 freed them twice) are destroyed once, after the
// expression, whether the task suspends, finishes at once, or is dropped while suspended.
#include <string>
#include <utility>

#include "canary.h"

#define AWAIT co_await  // for the expressions that tidy forbids

namespace portloom {
namespace {

struct Aggregate {
  Counted first;
  std::string text;
  Counted second;
};

Task<size_t> take(Aggregate aggregate, bool wait) {
  if (wait) co_await yield();
  co_return aggregate.text.size();
}
Task<size_t> look(const Aggregate& aggregate, bool wait) {
  if (wait) co_await yield();
  co_return aggregate.text.size();
}
Task<void> caller(bool wait, size_t* sum) {
  *sum += co_await take(Aggregate{.first = {}, .text = std::string(100, 'x'), .second = {}}, wait);
  CHECK(Counted::alive == 0);
  *sum += co_await look(Aggregate{.first = {}, .text = std::string(100, 'y'), .second = {}}, wait);
  CHECK(Counted::alive == 0);
  // A ternary and a short circuit: the rules forbid them (C2), but if one slips in it must not corrupt.
  *sum += wait ? AWAIT take(Aggregate{.first = {}, .text = std::string(100, 'z'), .second = {}}, wait) : size_t{100};
  CHECK(Counted::alive == 0);
  if (wait && AWAIT look(Aggregate{.first = {}, .text = std::string(100, 'a'), .second = {}}, wait) == 100) *sum += 1;
  CHECK(Counted::alive == 0);
}

}  // namespace
}  // namespace portloom

int main() {
  using namespace portloom;
  BareAgenda agenda;
  for (bool wait : {false, true}) {
    Scope scope;
    size_t sum = 0;
    scope.spawn(caller, wait, &sum);
    agenda.run();
    CHECK(sum == (wait ? 301u : 300u));
  }
  {  // dropped at the first suspension
    struct OneTurn final : Agenda {
      OneTurn() : Agenda(Instant{}) { make_current(this); }
      void one() { run_ready(1); }
    } one_turn;
    Scope scope;
    size_t sum = 0;
    scope.spawn(caller, true, &sum);
    one_turn.one();
    CHECK(Counted::alive >= 2);
    scope.cancel();
    CHECK(Counted::alive == 0 && sum == 0);
  }
}
