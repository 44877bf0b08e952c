// upstream/circuit.h
//
// Circuit: the state of a service's circuit breaker, one for the process and exact under all workers. Closed it counts; open it
// refuses until its time has passed; half-open it lets a few probes through, all others are refused. One word says which of these
// it is; a request of a closed circuit reads it, and writes nothing that other workers write unless it failed. Failures in a row are
// in the word too; what is rare (opening, probing, the ramp) happens under a lock.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "base/counters.h"
#include "base/duration.h"
#include "config/breaker.h"
#include "io/shared.h"
#include "io/shared_window.h"

namespace portloom::upstream {

class Circuit {
 public:
  enum class State : uint8_t { closed, half_open, open };
  // What became of a request. `nothing`: nobody can say, or it was not the service's doing.
  enum class Outcome : uint8_t { good, slow, failed, nothing };
  enum class Reason : uint8_t { start, failures, failure_rate, slow_rate, probe, time, probes, by_hand };
  // What an operator may want: it stays open, stays closed, or begins anew, closed, and decides by itself.
  enum class Hold : uint8_t { open, closed, none };

  // A request that was let through; given back to leave(), once.
  struct Ticket {
    enum class Way : uint8_t { uncounted, counted, ramp, probe };
    Way way = Way::uncounted;
    uint32_t epoch = 0;
    uint32_t place = 0;  // among the leases
    Instant lease{};     // and when it ends
  };
  struct Entry {
    bool admitted = true;
    Ticket ticket;
    Duration wait{0};  // until it is worth asking again, for one that was refused
  };
  struct Transition {
    State to = State::closed;
    Reason reason = Reason::start;
    Instant at{};
    Duration open_for{0};  // of one that opened by itself
  };
  // What there is to tell of it.
  struct View {
    State state = State::closed;
    Reason reason = Reason::start;
    Instant since{};
    Instant until{};  // while it is open by itself
    bool held = false;
    bool ramping = false;
    uint32_t failures_in_a_row = 0;
    uint64_t requests = 0;  // of the window
    uint64_t failed = 0;
    uint64_t slow = 0;
    uint64_t refused = 0;
    std::array<uint64_t, 3> transitions{};  // by where they led
  };

 private:
  enum Kind : size_t { all, failed, slow, kinds };
  using Lately = io::Window<kinds>;

 public:
  // One worker's place.
  class Seat {
   public:
    explicit Seat(std::shared_ptr<Circuit> of);
    Seat(const Seat&) = delete;
    ~Seat();
    const std::shared_ptr<Circuit> config;  // whose it is (policy::States compares it)

   private:
    friend class Circuit;
    Lately::Slice& slice_;
    Counter refused_;
  };

  explicit Circuit(const config::Breaker& rules);
  Circuit(const Circuit&) = delete;

  // Any worker, with its seat.
  Entry enter(Seat& seat, Instant now);
  void leave(Seat& seat, const Ticket& ticket, Outcome outcome, Instant now);
  // Requests go through as ever: another attempt is worth while.
  bool is_closed() const;

  // Any thread.
  const config::Breaker& rules() const { return rules_; }
  Reason reason() const;
  View view(Instant now) const;
  void hold(Hold what, Instant now);
  // Half-open once it is due, though no request has come.
  void look(Instant now);
  // The transitions after the first `seen`, at most the last few; counts them into `seen`.
  std::vector<Transition> news(uint64_t& seen) const;

 private:
  enum class Mode : uint8_t { closed, ramping, half_open, open, held_closed, held_open };
  // Bits of the word, from above: mode 3, reason 3, epoch 18, value 40. The value of a closed one is how many have failed in a row; of
  // an open one, until when it is so, in milliseconds, rounded up.
  struct Word {
    Mode mode = Mode::closed;
    Reason reason = Reason::start;
    uint32_t epoch = 0;  // another with every transition: what began before one says nothing afterwards
    uint64_t value = 0;
  };
  static constexpr size_t news_max = 8;
  // What is touched under the lock.
  struct Recovery {
    uint32_t openings = 0;  // since it was last well
    uint32_t good = 0;      // probes
    uint32_t in_flight = 0;
    uint32_t in_flight_max = 0;  // while it ramps
    Instant ramp_end{};
    Instant since{};
    std::vector<Instant> leases;  // of probes; those that have passed are free
    std::array<Transition, news_max> news{};
    uint64_t told = 0;
    std::array<uint64_t, 3> transitions{};
    std::vector<const Seat*> seats;
    uint64_t refused_before = 0;  // by workers that have left their seats
  };

  static uint64_t pack(const Word& word);
  static Word unpack(uint64_t bits);
  static State state_of(Mode mode);
  static bool counts(Mode mode) { return mode == Mode::closed || mode == Mode::ramping; }
  Word now_is() const { return unpack(word_.load()); }

  Entry ask(Instant now);
  static Entry ask_for_probe(Recovery& recovery, const Word& word, const config::Breaker& rules, Instant now);
  void leave_ramp(const Ticket& ticket, Outcome outcome);
  void leave_probe(const Ticket& ticket, Outcome outcome, Instant now);
  void count(Seat& seat, uint32_t epoch, Outcome outcome, Instant now);
  uint64_t one_more_failed(uint32_t epoch);
  void decide(uint32_t epoch, uint64_t in_a_row, Instant now);
  void open(Recovery& recovery, Reason reason, Instant now);
  void become(Recovery& recovery, Mode mode, Reason reason, uint64_t value, Instant now, Duration open_for = Duration{0});
  void close(Recovery& recovery, Instant now);

  const config::Breaker rules_;
  mutable io::Word word_;
  Lately window_;
  mutable io::Guarded<Recovery> recovery_;
};

std::string_view name_of(Circuit::State state);  // "half_open"
// For people: "5 failures in a row".
std::string in_words(Circuit::Reason reason, const config::Breaker& rules);

}  // namespace portloom::upstream
