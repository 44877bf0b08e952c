// upstream/health.h
//
// Health: which instances of a service may be asked, one for the process. What came of requests ejects an instance (outliers), and
// checks say which are unhealthy (check.h); workers report to it from their own seats, with counters that are theirs alone and one word per
// instance for errors in a row. A worker looks at the version with every request, and takes over the verdicts when it has changed. Healths:
// of all services.
#pragma once

#include <algorithm>
#include <array>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "async/scope.h"
#include "base/counters.h"
#include "base/duration.h"
#include "config/health_check.h"
#include "config/outliers.h"
#include "io/shared.h"
#include "pipeline/ports.h"

namespace portloom::upstream {

struct HealthRules {
  std::optional<config::Outliers> outliers;
  std::optional<config::HealthCheck> check;
  bool operator==(const HealthRules&) const = default;
};

class Health {
 public:
  enum class State : uint8_t { fit, ejected, unhealthy };
  enum class Reason : uint8_t { none, consecutive, failure_rate, latency };
  static constexpr size_t reasons = 4;

  // One instance, as long as somebody asks it.
  class Member;
  // One worker's place at an instance.
  class Seat {
   public:
    Seat(std::shared_ptr<Health> health, const std::string& key);
    Seat(const Seat&) = delete;
    ~Seat();
    // Its own worker. A good answer, and how long it took until its head was there.
    void good(Duration took);
    // `gateway_error`: one that counts in a row.
    void failed(bool gateway_error, Instant now);
    // The control thread: what a check has found, and what was wrong.
    void checked(bool well, std::string why);

   private:
    friend class Health;
    std::shared_ptr<Health> health_;
    std::shared_ptr<Member> member_;
    Counter good_;
    Counter failed_;
    Counter nanoseconds_;  // of the good ones
  };
  struct Verdict {
    State state = State::fit;
    Reason reason = Reason::none;
    Instant until{};     // of one that is ejected
    Duration out_for{};  // how long it is in all
    std::string why;     // for people; empty for one that is fit
  };

  explicit Health(const HealthRules& rules) : all_(rules), rules_(rules.outliers.value_or(config::Outliers())) {}
  explicit Health(const config::Outliers& rules) : Health(HealthRules{.outliers = rules, .check = {}}) {}
  Health(const Health&) = delete;

  // Any worker. Another with every verdict that changes.
  uint64_t version() const { return version_.load(); }
  // Of these, in their order, which may be asked: all that are fit; and those that are ejected too while too few would be left. Never those
  // that are unhealthy.
  std::vector<bool> usable(const std::vector<const Seat*>& seats) const;

  // The control thread.
  const HealthRules& rules() const { return all_; }
  // What is known of an instance; one that nobody has asked is fit.
  Verdict verdict(const std::string& key) const;
  // Lets back in whose time is over and compares; tells what has changed since the last look.
  void look(Instant now, const std::function<void(std::string_view key, const Verdict&)>& tell);
  uint64_t ejections(Reason reason) const;

 private:
  struct Sums {
    double good = 0;
    double failed = 0;
    double nanoseconds = 0;
    double requests() const { return good + failed; }
    double failure_rate() const { return requests() == 0 ? 0 : failed / requests(); }
    double latency() const { return good == 0 ? 0 : nanoseconds / good; }
    Sums operator-(const Sums& other) const { return {good - other.good, failed - other.failed, nanoseconds - other.nanoseconds}; }
    void add(const Sums& other) { good += other.good, failed += other.failed, nanoseconds += other.nanoseconds; }
  };
  struct Facts {
    std::map<std::string, std::shared_ptr<Member>, std::less<>> members;
    Instant compared{};
  };
  Duration out_for(uint32_t times) const { return std::min<Duration>(rules_.eject_for * times, rules_.longest()); }
  bool eject(Member& member, Reason reason, Instant now);
  void compare(Facts& facts, Instant now);
  Reason stands_out(const Sums& own, const Sums& others) const;
  void changed() {
    version_.advance([](uint64_t version) { return version + 1; });
  }

  Verdict verdict_on(const Member& member) const;

  const HealthRules all_;
  const config::Outliers rules_;
  io::Word version_;
  io::Word count_;  // of members, and above it how many of them are ejected: no more are than may be, whoever ejects
  std::array<io::Word, reasons> ejections_;
  mutable Guarded<Facts> facts_;  // who is there: touched when endpoints come and go, and by the control thread
};

std::string_view name_of(Health::State state);
// For people: "5 gateway errors in a row".
std::string in_words(Health::Reason reason, const config::Outliers& rules);

using HealthByService = std::map<std::string, std::shared_ptr<Health>, std::less<>>;

// The control thread, all of it.
class Healths {
 public:
  static constexpr Duration watch_every = 100ms;
  // That of a service; the same one as long as it is written as before and somebody uses it.
  std::shared_ptr<Health> keep(const std::string& service, const HealthRules& rules);
  void put_in_force(HealthByService chosen);
  const HealthByService& in_force() const { return in_force_; }
  // Within a loop: `tell` hears of every verdict that changes.
  void start(std::function<void(std::string)> tell);
  void stop() { scope_.cancel(); }
  void write_metrics(std::string& page) const;

 private:
  static Task<void> watch(Healths* self);

  std::map<std::string, std::weak_ptr<Health>, std::less<>> known_;  // also of plans that are going
  HealthByService in_force_;
  std::function<void(std::string)> tell_;
  Scope scope_;
};

}  // namespace portloom::upstream
