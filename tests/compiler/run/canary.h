// tests/compiler/run/canary.h
//
// The little that the canaries share: a bare agenda, and a check that ends the program.
#pragma once

#include "async/agenda.h"
#include "async/scope.h"
#include "async/task.h"

namespace portloom {

struct BareAgenda final : Agenda {
  BareAgenda() : Agenda(Instant{}) { make_current(this); }
  ~BareAgenda() override { make_current(nullptr); }
  void run() {
    while (!idle()) run_ready();
  }
};

// How many were made and not yet destroyed; a second destruction is noticed.
struct Counted {
  static inline int alive = 0;
  Counted() { ++alive; }
  Counted(const Counted& other) : whole(other.whole) {
    CHECK(whole == 0x5eed);
    ++alive;
  }
  Counted& operator=(const Counted&) = default;
  ~Counted() {
    CHECK(whole == 0x5eed);
    whole = 0;
    --alive;
  }
  volatile int whole = 0x5eed;
};

}  // namespace portloom
