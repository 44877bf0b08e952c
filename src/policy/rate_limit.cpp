// policy/rate_limit.cpp
//
// Answers 429 once a key has spent its allowance (GCRA, ITU-T I.371: one instant per key). Counters are process-wide and
// exact: a client's one connection lives on one worker, so per-worker shares would cheat it. Every answer says what is
// left (draft-ietf-httpapi-ratelimit-headers). A frameless policy: it looks, and passes on or answers.
#include "policy/rate_limit.h"

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <string>

#include "base/random.h"
#include "base/text.h"
#include "io/shared.h"
#include "policy/kind.h"
#include "policy/refusal.h"

namespace portloom::policy {

using pipeline::Next;
using pipeline::Request;
using pipeline::Response;

namespace {

constexpr size_t keys_max = 65'536;  // per limit; beyond, the key that has spent least is forgotten

// Those who were refused together do not come again together: each is told to wait up to a tenth longer, a second at least and
// ten at most.
constexpr int64_t jitter_least = 1'000'000'000;
constexpr int64_t jitter_most = 10'000'000'000;

uint64_t seconds_up(int64_t nanoseconds) { return static_cast<uint64_t>((nanoseconds + 999'999'999) / 1'000'000'000); }

// What is left of a key's allowance after a request.
struct Allowance {
  bool granted = true;
  uint64_t requests = 0;  // that may follow at once
  int64_t wait = 0;       // nanoseconds until there is one more (nothing left), or until all is there again
};

// The limits of one place, however they were written.
struct Limits {
  std::vector<LimitConfig> limits;
  std::string key;
  bool operator==(const Limits&) const = default;
};

Limits limits_of(const RateLimitConfig& config) {
  Limits limits{config.limits, config.key};
  if (limits.limits.empty()) limits.limits.push_back({config.name.empty() ? "rate_limit" : config.name, config.requests, config.per});
  return limits;
}

// One limit's counters, one per key.
class Counters {
 public:
  explicit Counters(const LimitConfig& limit)
      : limit_(limit.requests), interval_((limit.per.count() + limit.requests - 1) / limit.requests), spent_(keys_max) {}

  Allowance spend(uint64_t key, int64_t now) {
    return spent_.with(key, now, [this, now](Spent& spent, bool) {
      int64_t until = std::max(spent.until, now);
      bool granted = until - now <= (limit_ - 1) * interval_;  // exactly limit_ at one instant, never more than the rate after it
      if (granted) spent.until = until += interval_;
      return allowance(granted, until - now);
    });
  }
  // What a request would have left, without counting it.
  Allowance peek(uint64_t key, int64_t now) {
    int64_t until = now;
    spent_.with_known(key, [&](const Spent& spent) { until = std::max(spent.until, now); });
    bool granted = until - now <= (limit_ - 1) * interval_;
    return allowance(granted, until - now + (granted ? interval_ : 0));
  }
  // Another limit refused the request: takes back what was just granted.
  Allowance give_back(uint64_t key, int64_t now) {
    return spent_.with(key, now, [this, now](Spent& spent, bool) {
      spent.until -= interval_;
      return allowance(true, std::max(spent.until - now, int64_t{0}));
    });
  }

 private:
  struct Spent {
    int64_t until = 0;  // when the whole allowance is there again ("theoretical arrival time")
    bool stale(int64_t now) const { return until <= now; }
    int64_t age() const { return until; }
  };
  Allowance allowance(bool granted, int64_t used) const {
    int64_t left = (limit_ * interval_ - used) / interval_;
    return {granted, static_cast<uint64_t>(left), left > 0 ? used : used - (limit_ - 1) * interval_};
  }
  int64_t limit_;
  int64_t interval_;  // one request per; rounded up, so that the rate is never exceeded
  io::Striped<Spent> spent_;
};

}  // namespace

std::vector<data::Choice> choices_of(LimitProblem) {
  return {{"quota", LimitProblem::quota},
          {"abnormal_usage", LimitProblem::abnormal_usage},
          {"reduced_capacity", LimitProblem::reduced_capacity}};
}

void RateLimitConfig::check(data::Checker& checker) const {
  if (!name.empty() && !config::is_name(name)) checker.error("name", "expected a name of letters, digits, _ - and .");
  bool one = checker.written("requests") || checker.written("per");
  if (one && !limits.empty()) checker.error("limits", "this has `requests` and `per` already", "make them an entry of `limits`");
  if (limits.empty() && !(checker.written("requests") && checker.written("per")))
    checker.error("", "a limit needs `requests` and `per`, or `limits`", "write requests: 100, per: 1m");
  for (size_t i = 0; i < limits.size(); ++i)
    for (size_t j = 0; j < i; ++j)
      if (limits[i].name == limits[j].name) checker.error("limits", "two limits have the name " + limits[i].name);
}

// The counters of one place where limits are written, for all workers.
struct RateLimitCounters {
  explicit RateLimitCounters(const Limits& from) : config(from) {
    for (const LimitConfig& limit : from.limits) counters.push_back(std::make_unique<Counters>(limit));
  }
  const Limits config;
  std::vector<std::unique_ptr<Counters>> counters;  // by limit
};

struct RateLimit final : pipeline::Policy {
  using Config = RateLimitConfig;

  RateLimit(const Config& config, const data::Part& part, const Building& building)
      : key_(config.key),
        partition_key_(config.partition_key),
        problem_(code_of(config.problem)),
        dry_run_(config.dry_run),
        counters_(
            building.states.keep<RateLimitCounters>("rate_limit", building.place.empty() ? part.path : building.place, limits_of(config))),
        refusal_("rate_limit", building.config) {
    for (const LimitConfig& limit : counters_->config.limits) {
      std::string item = "\"" + limit.name + "\";q=" + std::to_string(limit.requests);
      if (limit.per % 1s == Duration{}) item += ";w=" + std::to_string(limit.per / 1s);  // whole seconds or nothing
      policy_items_ += (policy_items_.empty() ? "" : ", ") + item;
      texts_.push_back({limit.name, limit.name + ": " + std::to_string(limit.requests) + " per " + format_duration(limit.per), item});
    }
  }
  std::string_view kind() const override { return "rate_limit"; }

  [[clang::coro_wrapper]] Task<Response> call(Request& request, Next next) override {
    Allowances allowances{};
    bool granted = spend(request, allowances);
    if (dry_run_) {
      if (!granted) note_dry_run(request.exchange.record, allowances);
      return next(request);
    }
    say(allowances, request);  // leaves with whatever answer this becomes
    if (!granted) return ready(refuse(request, allowances));
    return next(request);
  }

 private:
  using Allowances = std::array<Allowance, Config::limits_max>;  // by limit
  struct Texts {
    std::string name;
    std::string whole;  // for the record: "flood: 300 per 1m"
    std::string item;   // "flood";q=300;w=60
  };
  static Code code_of(LimitProblem problem) {
    switch (problem) {
      case LimitProblem::quota: return Code::rate_limited;
      case LimitProblem::abnormal_usage: return Code::abnormal_usage;
      case LimitProblem::reduced_capacity: return Code::reduced_capacity;
    }
    return Code::rate_limited;
  }
  size_t count() const { return texts_.size(); }

  bool spend(const Request& request, Allowances& allowances) {
    uint64_t key = key_.of(request);
    int64_t now = request.exchange.now().time_since_epoch().count();
    bool granted = true;
    for (size_t i = 0; i < count(); ++i) {
      allowances[i] = counters_->counters[i]->spend(key, now);
      granted &= allowances[i].granted;
    }
    if (granted) return true;
    for (size_t i = 0; i < count(); ++i) {
      if (allowances[i].granted)
        allowances[i] = counters_->counters[i]->give_back(key, now);
      else
        allowances[i].wait += jitter(allowances[i].wait);
    }
    return false;
  }

  int64_t jitter(int64_t wait) {
    return static_cast<int64_t>(random_.below(static_cast<uint64_t>(std::clamp(wait / 10, jitter_least, jitter_most))));
  }

  size_t first_refused(const Allowances& allowances) const {
    size_t i = 0;
    while (allowances[i].granted) ++i;
    return i;
  }
  void note_dry_run(pipeline::Record& record, const Allowances& allowances) const {
    record.dry_run = texts_[first_refused(allowances)].whole;
    record.dry_run_policy = kind();
  }

  Response refuse(Request& request, const Allowances& allowances) const {
    pipeline::Record& record = request.exchange.record;
    Response response = refusal_.answer(request, problem_, problem_ == Code::reduced_capacity ? Side::gateway : Side::client);
    record.limit = texts_[first_refused(allowances)].whole;
    record.violated_policies.clear();
    int64_t wait = 0;
    for (size_t i = 0; i < count(); ++i) {
      if (allowances[i].granted) continue;
      record.violated_policies += (record.violated_policies.empty() ? "" : ",") + texts_[i].name;
      wait = std::max(wait, allowances[i].wait);
    }
    response.headers.set(http::Name::retry_after, std::to_string(std::max<uint64_t>(1, seconds_up(wait))));
    return response;
  }

  // Two structured lists (RFC 9651) of String items, to which every limit on the way appends its own.
  // On its way through, an answer keeps what the service says of limits of its own.
  void say(const Allowances& allowances, const Request& request) const {
    http::Headers& headers = request.exchange.reply_headers;
    std::string partition = partition_key_ ? ";pk=" + key_.opaque(request) : std::string();
    std::string items;
    for (size_t i = 0; i < count(); ++i) {
      items += (items.empty() ? "\"" : ", \"") + texts_[i].name + "\";r=";
      append_number(items, allowances[i].requests);
      items += ";t=";
      append_number(items, std::max<uint64_t>(1, seconds_up(allowances[i].wait)));
      items += partition;
    }
    if (partition.empty()) {
      append(headers, "RateLimit-Policy", policy_items_);
    } else {
      std::string policies;
      for (const Texts& limit : texts_) policies += (policies.empty() ? "" : ", ") + limit.item + partition;
      append(headers, "RateLimit-Policy", policies);
    }
    append(headers, "RateLimit", items);
  }
  static void append(http::Headers& headers, std::string_view name, std::string_view items) {
    std::optional<std::string_view> before = headers.find(name);
    if (!before) return headers.add(name, items);
    headers.set(name, std::string(*before) + ", " + std::string(items));
  }

  Key key_;
  bool partition_key_;
  Code problem_;
  bool dry_run_;
  Random random_{random_seed()};
  std::shared_ptr<RateLimitCounters> counters_;
  std::vector<Texts> texts_;  // by limit
  std::string policy_items_;  // of all
  Refusal refusal_;
};

std::string limits_left(const data::Part& part, const States& states, const pipeline::Request& request) {
  const auto* config = part.as<RateLimitConfig>();
  std::shared_ptr<RateLimitCounters> counters = states.find<RateLimitCounters>("rate_limit", part.path);
  if (config == nullptr || counters == nullptr || !(counters->config == limits_of(*config))) return {};
  uint64_t key = Key(config->key).of(request);
  int64_t now = request.exchange.now().time_since_epoch().count();
  std::string text;
  for (size_t i = 0; i < counters->counters.size(); ++i) {
    const LimitConfig& limit = counters->config.limits[i];
    Allowance allowance = counters->counters[i]->peek(key, now);
    text += (text.empty() ? "" : "; ") + limit.name + ": ";
    if (allowance.granted)
      text += std::to_string(allowance.requests) + " of " + std::to_string(limit.requests) + " left";
    else
      text += "spent, one more in " + std::to_string(seconds_up(allowance.wait)) + "s";
  }
  return text;
}

constinit const Kind rate_limit_kind =
    kind_of<RateLimit>("rate_limit", "Answers 429 once a client, consumer or other key has spent its requests.");

}  // namespace portloom::policy
