// upstream/circuit.cpp
//
// Who changes the mode or the epoch holds the lock. Without it only the failures in a row change, by CAS on the whole word: a step
// that was taken for another epoch finds the word changed and does nothing.
#include "upstream/circuit.h"

#include <algorithm>

#include "data/print.h"

namespace portloom::upstream {

namespace {
constexpr unsigned value_bits = 40, epoch_bits = 18, reason_bits = 3;
constexpr uint64_t ones(unsigned bits) { return (uint64_t{1} << bits) - 1; }

uint64_t milliseconds_up(Instant when) { return static_cast<uint64_t>((when.time_since_epoch() + 1ms - Duration(1)) / 1ms); }
Instant instant_of(uint64_t milliseconds) { return Instant(static_cast<int64_t>(milliseconds) * Duration(1ms)); }
}  // namespace

uint64_t Circuit::pack(const Word& word) {
  uint64_t bits = static_cast<uint64_t>(word.mode) << reason_bits | static_cast<uint64_t>(word.reason);
  bits = bits << epoch_bits | (word.epoch & ones(epoch_bits));
  return bits << value_bits | (word.value & ones(value_bits));
}

Circuit::Word Circuit::unpack(uint64_t bits) {
  return {.mode = static_cast<Mode>(bits >> (value_bits + epoch_bits + reason_bits)),
          .reason = static_cast<Reason>(bits >> (value_bits + epoch_bits) & ones(reason_bits)),
          .epoch = static_cast<uint32_t>(bits >> value_bits & ones(epoch_bits)),
          .value = bits & ones(value_bits)};
}

Circuit::State Circuit::state_of(Mode mode) {
  switch (mode) {
    case Mode::half_open: return State::half_open;
    case Mode::open:
    case Mode::held_open: return State::open;
    default: return State::closed;
  }
}

Circuit::Seat::Seat(std::shared_ptr<Circuit> of) : config(std::move(of)), slice_(config->window_.join()) {
  std::vector<const Seat*> longer;
  size_t count = config->recovery_.with([](const Recovery& recovery) { return recovery.seats.size(); });
  longer.reserve(count + 8);  // outside the lock; at most a few join at once
  config->recovery_.with([&](Recovery& recovery) {
    if (recovery.seats.capacity() == recovery.seats.size()) {
      longer.assign(recovery.seats.begin(), recovery.seats.end());
      recovery.seats.swap(longer);
    }
    recovery.seats.push_back(this);
  });
}

Circuit::Seat::~Seat() {
  Lately::leave(slice_);
  config->recovery_.with([this](Recovery& recovery) {
    recovery.refused_before += refused_.value();
    std::erase(recovery.seats, this);
  });
}

Circuit::Circuit(const config::Breaker& rules) : rules_(rules), window_(rules.window) {
  recovery_.with([this](Recovery& recovery) { recovery.leases.resize(rules_.probes); });
}

bool Circuit::is_closed() const {
  Mode mode = now_is().mode;
  return counts(mode) || mode == Mode::held_closed;
}

Circuit::Reason Circuit::reason() const { return now_is().reason; }

// ---- on the way in

Circuit::Entry Circuit::enter(Seat& seat, Instant now) {
  Word word = now_is();
  Entry entry;
  switch (word.mode) {
    case Mode::closed: entry.ticket = {.way = Ticket::Way::counted, .epoch = word.epoch}; return entry;
    case Mode::held_closed: return entry;
    case Mode::held_open: entry = {.admitted = false, .wait = rules_.open_for}; break;
    case Mode::open:
      if (now < instant_of(word.value)) {
        entry = {.admitted = false, .wait = instant_of(word.value) - now};
        break;
      }
      [[fallthrough]];
    case Mode::ramping:
    case Mode::half_open: entry = ask(now); break;
  }
  if (!entry.admitted) seat.refused_.add();
  return entry;
}

Circuit::Entry Circuit::ask(Instant now) {
  return recovery_.with([&](Recovery& recovery) -> Entry {
    Word word = now_is();
    if (word.mode == Mode::open) {
      if (now < instant_of(word.value)) return {.admitted = false, .wait = instant_of(word.value) - now};
      become(recovery, Mode::half_open, Reason::time, 0, now);
      word = now_is();
    }
    if (word.mode == Mode::half_open) return ask_for_probe(recovery, word, rules_, now);
    if (word.mode == Mode::held_open) return {.admitted = false, .wait = rules_.open_for};
    if (word.mode == Mode::held_closed) return {};
    Entry entry{.ticket = {.way = Ticket::Way::counted, .epoch = word.epoch}};
    if (word.mode == Mode::closed) return entry;
    if (now >= recovery.ramp_end) {  // it has held: the next time it opens is the first again
      recovery.openings = 0;
      word_.advance([](uint64_t bits) {
        Word well = unpack(bits);
        well.mode = Mode::closed;
        return pack(well);
      });
      return entry;
    }
    if (recovery.in_flight >= recovery.in_flight_max) return {.admitted = false, .wait = 1s};
    ++recovery.in_flight;
    entry.ticket.way = Ticket::Way::ramp;
    return entry;
  });
}

// No more than `probes` in all, but for those whose time has passed: nobody knows what became of them.
Circuit::Entry Circuit::ask_for_probe(Recovery& recovery, const Word& word, const config::Breaker& rules, Instant now) {
  uint32_t taken = recovery.good;
  uint32_t place = rules.probes;
  Instant first_free = never;
  for (uint32_t i = 0; i < rules.probes; ++i) {
    if (recovery.leases[i] <= now) {
      place = i;
      continue;
    }
    ++taken;
    first_free = std::min(first_free, recovery.leases[i]);
  }
  if (taken >= rules.probes || place == rules.probes)
    return {.admitted = false, .wait = first_free == never ? Duration(1s) : std::min<Duration>(first_free - now, 1s)};
  Instant lease = recovery.leases[place] = now + rules.open_for;
  return {.ticket = {.way = Ticket::Way::probe, .epoch = word.epoch, .place = place, .lease = lease}};
}

// ---- on the way out

void Circuit::leave(Seat& seat, const Ticket& ticket, Outcome outcome, Instant now) {
  switch (ticket.way) {
    case Ticket::Way::uncounted: return;
    case Ticket::Way::probe: return leave_probe(ticket, outcome, now);
    case Ticket::Way::ramp: leave_ramp(ticket, outcome); [[fallthrough]];
    case Ticket::Way::counted: return count(seat, ticket.epoch, outcome, now);
  }
}

void Circuit::leave_ramp(const Ticket& ticket, Outcome outcome) {
  recovery_.with([&](Recovery& recovery) {
    if (now_is().epoch != ticket.epoch) return;
    --recovery.in_flight;
    if (outcome == Outcome::good) ++recovery.in_flight_max;
  });
}

// One that comes late is still heard; its place belongs to another by then.
void Circuit::leave_probe(const Ticket& ticket, Outcome outcome, Instant now) {
  recovery_.with([&](Recovery& recovery) {
    if (now_is().epoch != ticket.epoch) return;
    if (recovery.leases[ticket.place] == ticket.lease) recovery.leases[ticket.place] = {};
    if (outcome == Outcome::failed || outcome == Outcome::slow) return open(recovery, Reason::probe, now);
    if (outcome == Outcome::good && ++recovery.good >= rules_.probes) close(recovery, now);
  });
}

// A good answer never opens it, so what it adds may be seen a moment later.
void Circuit::count(Seat& seat, uint32_t epoch, Outcome outcome, Instant now) {
  if (outcome == Outcome::nothing) return;
  Word word = now_is();
  if (word.epoch != epoch || !counts(word.mode)) return;
  window_.add_quietly(seat.slice_, epoch, all, now);
  if (outcome == Outcome::failed) {
    uint64_t in_a_row = one_more_failed(epoch);
    window_.add(seat.slice_, epoch, failed, now);
    return decide(epoch, in_a_row, now);
  }
  if (word.value != 0)
    word_.advance([epoch](uint64_t bits) {
      Word ended = unpack(bits);
      if (ended.epoch != epoch || !counts(ended.mode)) return bits;
      ended.value = 0;
      return pack(ended);
    });
  if (outcome == Outcome::good) return;
  window_.add(seat.slice_, epoch, slow, now);
  decide(epoch, 0, now);
}

uint64_t Circuit::one_more_failed(uint32_t epoch) {
  auto [before, after] = word_.advance([epoch](uint64_t bits) {
    Word more = unpack(bits);
    if (more.epoch != epoch || !counts(more.mode)) return bits;
    ++more.value;
    return pack(more);
  });
  return before == after ? 0 : unpack(after).value;
}

void Circuit::decide(uint32_t epoch, uint64_t in_a_row, Instant now) {
  std::optional<Reason> reason;
  if (rules_.failures && in_a_row >= *rules_.failures) {
    reason = Reason::failures;
  } else {
    Lately::Counts sums = window_.sum(epoch, now);
    auto share = [&](Kind kind) { return static_cast<double>(sums[kind]) / static_cast<double>(sums[all]); };
    if (sums[all] < rules_.volume) return;
    if (share(failed) >= rules_.failure_rate.fraction)
      reason = Reason::failure_rate;
    else if (rules_.slow && share(slow) >= rules_.slow_rate.fraction)
      reason = Reason::slow_rate;
  }
  if (!reason) return;
  recovery_.with([&](Recovery& recovery) {
    Word word = now_is();
    if (word.epoch == epoch && counts(word.mode)) open(recovery, *reason, now);
  });
}

// ---- transitions, under the lock

void Circuit::open(Recovery& recovery, Reason reason, Instant now) {
  Mode mode = now_is().mode;
  bool recovering = mode == Mode::half_open || (mode == Mode::ramping && now < recovery.ramp_end);
  recovery.openings = recovering ? std::min(recovery.openings + 1, 40U) : 1;
  Duration open_for = rules_.open_for;
  for (uint32_t i = 1; i < recovery.openings && open_for < rules_.longest(); ++i) open_for = std::min(2 * open_for, rules_.longest());
  become(recovery, Mode::open, reason, milliseconds_up(now + open_for), now, open_for);
}

void Circuit::close(Recovery& recovery, Instant now) {
  recovery.in_flight = 0;
  recovery.in_flight_max = rules_.probes;
  recovery.ramp_end = now + rules_.ramp;
  if (rules_.ramp == Duration{}) recovery.openings = 0;
  become(recovery, rules_.ramp == Duration{} ? Mode::closed : Mode::ramping, Reason::probes, 0, now);
}

void Circuit::become(Recovery& recovery, Mode mode, Reason reason, uint64_t value, Instant now, Duration open_for) {
  uint32_t epoch = now_is().epoch + 1;
  word_.advance([&](uint64_t) { return pack({.mode = mode, .reason = reason, .epoch = epoch, .value = value}); });
  if (mode == Mode::half_open) {
    recovery.good = 0;
    std::ranges::fill(recovery.leases, Instant{});
  }
  State to = state_of(mode);
  recovery.since = now;
  recovery.news[recovery.told++ % news_max] = {to, reason, now, open_for};
  ++recovery.transitions[static_cast<size_t>(to)];
}

void Circuit::hold(Hold what, Instant now) {
  recovery_.with([&](Recovery& recovery) {
    recovery.openings = 0;
    Mode mode = what == Hold::open ? Mode::held_open : what == Hold::closed ? Mode::held_closed : Mode::closed;
    if (now_is().mode != mode) become(recovery, mode, Reason::by_hand, 0, now);
  });
}

void Circuit::look(Instant now) {
  Word word = now_is();
  if (word.mode != Mode::open || now < instant_of(word.value)) return;
  recovery_.with([&](Recovery& recovery) {
    Word again = now_is();
    if (again.mode == Mode::open && now >= instant_of(again.value)) become(recovery, Mode::half_open, Reason::time, 0, now);
  });
}

// ---- what there is to tell

Circuit::View Circuit::view(Instant now) const {
  View view;
  Word word;
  recovery_.with([&](const Recovery& recovery) {
    word = now_is();
    view.since = recovery.since;
    view.ramping = word.mode == Mode::ramping && now < recovery.ramp_end;
    view.transitions = recovery.transitions;
    view.refused = recovery.refused_before;
    for (const Seat* seat : recovery.seats) view.refused += seat->refused_.value();
  });
  view.state = state_of(word.mode);
  view.reason = word.reason;
  view.held = word.mode == Mode::held_closed || word.mode == Mode::held_open;
  if (word.mode == Mode::open) view.until = instant_of(word.value);
  if (!counts(word.mode)) return view;
  view.failures_in_a_row = static_cast<uint32_t>(word.value);
  Lately::Counts sums = window_.sum(word.epoch, now);
  view.requests = sums[all];
  view.failed = sums[failed];
  view.slow = sums[slow];
  return view;
}

std::vector<Circuit::Transition> Circuit::news(uint64_t& seen) const {
  std::vector<Transition> list;
  list.reserve(news_max);
  recovery_.with([&](const Recovery& recovery) {
    for (uint64_t i = std::max(seen, recovery.told - std::min<uint64_t>(recovery.told, news_max)); i < recovery.told; ++i)
      list.push_back(recovery.news[i % news_max]);
    seen = recovery.told;
  });
  return list;
}

std::string_view name_of(Circuit::State state) {
  switch (state) {
    case Circuit::State::closed: return "closed";
    case Circuit::State::half_open: return "half_open";
    case Circuit::State::open: return "open";
  }
  return {};
}

std::string in_words(Circuit::Reason reason, const config::Breaker& rules) {
  auto rate = [&](data::Percent share, std::string_view what) {
    return data::format_percent(share) + " or more of the requests of the last " + format_duration(rules.window) + " " + std::string(what);
  };
  switch (reason) {
    case Circuit::Reason::start: return "nothing has happened yet";
    case Circuit::Reason::failures: return std::to_string(rules.failures.value_or(0)) + " failures in a row";
    case Circuit::Reason::failure_rate: return rate(rules.failure_rate, "failed");
    case Circuit::Reason::slow_rate: return rate(rules.slow_rate, "were slow");
    case Circuit::Reason::probe: return "a probe did not go well";
    case Circuit::Reason::time: return "its time is over";
    case Circuit::Reason::probes: return std::to_string(rules.probes) + (rules.probes == 1 ? " probe" : " probes") + " went well";
    case Circuit::Reason::by_hand: return "an operator said so";
  }
  return {};
}

}  // namespace portloom::upstream
