// upstream/health.cpp
//
// A member's word says whether it is ejected, and how many errors came in a row or until when it is out. Both workers and the control
// thread eject; whoever does takes one of the places that `share` allows first.
#include "upstream/health.h"

#include <algorithm>

#include "async/agenda.h"
#include "data/print.h"

namespace portloom::upstream {

namespace {

// Answers that differ by less are alike, however many times.
constexpr double latency_least = 5e6;

constexpr uint64_t one_ejected = uint64_t{1} << 32;
uint64_t members_of(uint64_t count) { return count & 0xffffffffU; }
uint64_t ejected_of(uint64_t count) { return count >> 32; }

// Bits from above: state 1, reason 3, times ejected lately 8, value 52: errors in a row, or until when in milliseconds.
struct Standing {
  Health::State state = Health::State::fit;
  Health::Reason reason = Health::Reason::none;
  uint8_t times = 0;
  uint64_t value = 0;

  static constexpr unsigned value_bits = 52, times_bits = 8, reason_bits = 3;
  static Standing of(uint64_t bits) {
    return {.state = static_cast<Health::State>(bits >> (value_bits + times_bits + reason_bits)),
            .reason = static_cast<Health::Reason>(bits >> (value_bits + times_bits) & 7),
            .times = static_cast<uint8_t>(bits >> value_bits & 255),
            .value = bits & ((uint64_t{1} << value_bits) - 1)};
  }
  uint64_t bits() const {
    uint64_t above = static_cast<uint64_t>(state) << reason_bits | static_cast<uint64_t>(reason);
    return (above << times_bits | times) << value_bits | value;
  }
  Instant until() const { return Instant(static_cast<int64_t>(value) * Duration(1ms)); }
};

}  // namespace

class Health::Member {
 public:
  Standing standing() const { return Standing::of(word.load()); }
  // Of all workers, those that have left included.
  Sums sums() const {
    Sums all = left;
    for (const Seat* seat : seats) all.add(counted(*seat));
    return all;
  }
  static Sums counted(const Seat& seat) {
    return {static_cast<double>(seat.good_.value()), static_cast<double>(seat.failed_.value()),
            static_cast<double>(seat.nanoseconds_.value())};
  }
  State state() const { return ill.load() != 0 ? State::unhealthy : standing().state; }
  io::Word word;
  io::Word ill;  // 1: its checks fail
  // The rest under the lock of facts_.
  std::vector<const Seat*> seats;
  Sums left;        // by seats that are no more
  Sums before;      // at the last comparison
  std::string why;  // its checks fail
  State told = State::fit;
};

// ---- workers

Health::Seat::Seat(std::shared_ptr<Health> health, const std::string& key) : health_(std::move(health)) {
  health_->facts_.with([&](Facts& facts) {
    std::shared_ptr<Member>& member = facts.members[key];
    if (member == nullptr) {
      member = std::make_shared<Member>();
      health_->count_.advance([](uint64_t count) { return count + 1; });
    }
    member->seats.push_back(this);
    member_ = member;
  });
}

Health::Seat::~Seat() {
  health_->facts_.with([this](Facts& facts) {
    member_->left.add(Member::counted(*this));
    std::erase(member_->seats, this);
    if (!member_->seats.empty()) return;
    std::erase_if(facts.members, [this](const auto& entry) { return entry.second == member_; });
    bool was_out = member_->standing().state == State::ejected;
    health_->count_.advance([was_out](uint64_t count) { return count - 1 - (was_out ? one_ejected : 0); });
  });
}

void Health::Seat::good(Duration took) {
  good_.add();
  nanoseconds_.add(static_cast<uint64_t>(std::max<int64_t>(took.count(), 0)));
  Standing standing = member_->standing();
  if (standing.value == 0 || standing.state != State::fit) return;
  member_->word.advance([](uint64_t bits) {
    Standing ended = Standing::of(bits);
    if (ended.state == State::fit) ended.value = 0;
    return ended.bits();
  });
}

void Health::Seat::failed(bool gateway_error, Instant now) {
  failed_.add();
  if (!gateway_error || !health_->all_.outliers) return;
  uint32_t enough = health_->rules_.consecutive;
  auto [before, after] = member_->word.advance([enough](uint64_t bits) {
    Standing more = Standing::of(bits);
    if (more.state != State::fit) return bits;
    more.value = more.value + 1 >= enough ? 0 : more.value + 1;  // the row begins anew where it may not be ejected
    return more.bits();
  });
  Standing was = Standing::of(before);
  if (was.state == State::fit && was.value + 1 >= enough) health_->eject(*member_, Reason::consecutive, now);
}

void Health::Seat::checked(bool well, std::string why) {
  health_->facts_.with([&](Facts&) { member_->why = std::move(why); });
  auto [before, after] = member_->ill.advance([well](uint64_t) { return well ? uint64_t{0} : uint64_t{1}; });
  if (before != after) health_->changed();
}

std::vector<bool> Health::usable(const std::vector<const Seat*>& seats) const {
  std::vector<bool> may(seats.size());
  size_t fit = 0;
  for (size_t i = 0; i < seats.size(); ++i) {
    may[i] = seats[i]->member_->state() == State::fit;
    fit += may[i] ? 1 : 0;
  }
  if (static_cast<double>(fit) >= rules_.panic.fraction * static_cast<double>(seats.size())) return may;
  for (size_t i = 0; i < seats.size(); ++i) may[i] = seats[i]->member_->state() != State::unhealthy;
  return may;
}

bool Health::eject(Member& member, Reason reason, Instant now) {
  double share = rules_.share.fraction + 1e-9;
  auto [before, after] = count_.advance([share](uint64_t count) {
    bool may = static_cast<double>(ejected_of(count) + 1) <= share * static_cast<double>(members_of(count));
    return may ? count + one_ejected : count;
  });
  if (before == after) return false;
  auto [was, is] = member.word.advance([&](uint64_t bits) {
    Standing standing = Standing::of(bits);
    if (standing.state != State::fit) return bits;
    uint64_t until = static_cast<uint64_t>((now + out_for(standing.times + 1U)).time_since_epoch() / 1ms);
    return Standing{State::ejected, reason, static_cast<uint8_t>(std::min(standing.times + 1, 255)), until}.bits();
  });
  if (was == is) {  // somebody else did
    count_.advance([](uint64_t count) { return count - one_ejected; });
    return false;
  }
  ejections_[static_cast<size_t>(reason)].advance([](uint64_t count) { return count + 1; });
  changed();
  return true;
}

// ---- the control thread

Health::Verdict Health::verdict(const std::string& key) const {
  return facts_.with([&](const Facts& facts) -> Verdict {
    auto member = facts.members.find(key);
    return member == facts.members.end() ? Verdict() : verdict_on(*member->second);
  });
}

Health::Verdict Health::verdict_on(const Member& member) const {
  if (member.ill.load() != 0) return {.state = State::unhealthy, .why = "its check: " + member.why};
  Standing standing = member.standing();
  if (standing.state == State::fit) return {};
  return {standing.state, standing.reason, standing.until(), out_for(standing.times), in_words(standing.reason, rules_)};
}

uint64_t Health::ejections(Reason reason) const { return ejections_[static_cast<size_t>(reason)].load(); }

void Health::look(Instant now, const std::function<void(std::string_view key, const Verdict&)>& tell) {
  std::vector<std::pair<std::string, Verdict>> news;
  facts_.with([&](Facts& facts) {
    if (facts.compared == Instant{}) facts.compared = now;
    for (auto& [key, member] : facts.members) {
      auto [was, is] = member->word.advance([now](uint64_t bits) {
        Standing standing = Standing::of(bits);
        if (standing.state != State::ejected || now < standing.until()) return bits;
        return Standing{State::fit, Reason::none, standing.times, 0}.bits();
      });
      if (Standing::of(was).state == Standing::of(is).state) continue;
      count_.advance([](uint64_t count) { return count - one_ejected; });
      changed();
    }
    if (all_.outliers && now - facts.compared >= rules_.every) compare(facts, now);
    for (auto& [key, member] : facts.members) {
      Verdict verdict = verdict_on(*member);
      if (verdict.state == std::exchange(member->told, verdict.state)) continue;
      news.emplace_back(key, std::move(verdict));
    }
  });
  for (const auto& [key, verdict] : news) tell(key, verdict);
}

// Each beside the others together, by what came of the requests since the last comparison.
void Health::compare(Facts& facts, Instant now) {
  facts.compared = now;
  Sums all;
  std::vector<std::pair<Member*, Sums>> lately;
  for (auto& [key, member] : facts.members) {
    Sums sums = member->sums();
    Sums since = sums - std::exchange(member->before, sums);
    if (member->standing().state == State::fit) {
      all.add(since);
      lately.emplace_back(member.get(), since);
    }
  }
  // The worst first: places may be few.
  std::ranges::sort(lately, std::greater<>{}, [](const auto& one) { return one.second.failure_rate(); });
  for (auto& [member, own] : lately) {
    Reason reason = stands_out(own, all - own);
    if (reason != Reason::none && eject(*member, reason, now)) continue;
    member->word.advance([](uint64_t bits) {  // a while without is forgiven
      Standing standing = Standing::of(bits);
      if (standing.state == State::fit && standing.times > 0) --standing.times;
      return standing.bits();
    });
  }
}

Health::Reason Health::stands_out(const Sums& own, const Sums& others) const {
  if (own.requests() < rules_.volume || others.requests() == 0) return Reason::none;
  if (own.failure_rate() >= others.failure_rate() + rules_.failure_rate.fraction - 1e-9) return Reason::failure_rate;
  bool slower = rules_.latency && own.good > 0 && others.good > 0 && own.latency() >= *rules_.latency * others.latency() &&
                own.latency() >= others.latency() + latency_least;
  return slower ? Reason::latency : Reason::none;
}

std::string_view name_of(Health::State state) {
  switch (state) {
    case Health::State::fit: return "fit";
    case Health::State::ejected: return "ejected";
    case Health::State::unhealthy: return "unhealthy";
  }
  return {};
}

std::string in_words(Health::Reason reason, const config::Outliers& rules) {
  switch (reason) {
    case Health::Reason::none: return {};
    case Health::Reason::consecutive: return std::to_string(rules.consecutive) + " gateway errors in a row";
    case Health::Reason::failure_rate:
      return "failed more often than the others, by " + data::format_percent(rules.failure_rate) + " or more of its requests";
    case Health::Reason::latency: return "took much longer to answer than the others";
  }
  return {};
}

// ---- all services

std::shared_ptr<Health> Healths::keep(const std::string& service, const HealthRules& rules) {
  auto written = in_force_.find(service);
  if (written != in_force_.end() && written->second->rules() == rules) return written->second;
  std::weak_ptr<Health>& known = known_[service];
  std::shared_ptr<Health> health = known.lock();
  if (health == nullptr || !(health->rules() == rules)) known = health = std::make_shared<Health>(rules);
  return health;
}

void Healths::put_in_force(HealthByService chosen) {
  in_force_ = std::move(chosen);
  std::erase_if(known_, [](const auto& entry) { return entry.second.expired(); });
}

void Healths::start(std::function<void(std::string)> tell) {
  tell_ = std::move(tell);
  scope_.spawn(watch, this);
}

Task<void> Healths::watch(Healths* self) {
  while (true) {
    Instant now = Agenda::current().now();
    for (const auto& [service, health] : self->in_force_)
      health->look(now, [&](std::string_view key, const Health::Verdict& verdict) {
        std::string line = "portloom: " + std::string(key.substr(0, key.find(' '))) + " of " + service;
        if (verdict.state == Health::State::fit) {
          line += " is asked again";
        } else {
          line += " is left out";
          if (verdict.out_for > Duration{}) line += " for " + format_duration(verdict.out_for);
          line += ": " + verdict.why;
        }
        self->tell_(std::move(line));
      });
    co_await sleep_for(watch_every);
  }
}

void Healths::write_metrics(std::string& page) const {
  if (in_force_.empty()) return;
  page += "# HELP portloom_ejections_total Instances that were left out for what came of requests, by reason.\n";
  page += "# TYPE portloom_ejections_total counter\n";
  for (const auto& [service, health] : in_force_) {
    if (!health->rules().outliers) continue;
    for (auto [reason, name] : {std::pair{Health::Reason::consecutive, "consecutive"},
                                {Health::Reason::failure_rate, "failure_rate"},
                                {Health::Reason::latency, "latency"}})
      page += "portloom_ejections_total{service=\"" + service + "\",reason=\"" + name + "\"} " + std::to_string(health->ejections(reason)) +
              "\n";
  }
}

}  // namespace portloom::upstream
