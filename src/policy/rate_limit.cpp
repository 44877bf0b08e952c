// policy/rate_limit.cpp
//
// Answers 429 once a key has spent its allowance (GCRA, ITU-T I.371: one instant per key). Counters are process-wide and
// exact: a client's one connection lives on one worker, so per-worker shares would cheat it. Every answer says what is
// left (draft-ietf-httpapi-ratelimit-headers). A frameless policy: it looks, and passes on or answers.
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <optional>
#include <string>

#include "base/random.h"
#include "base/text.h"
#include "io/shared.h"
#include "pipeline/exchange.h"
#include "policy/kind.h"

namespace portloom::policy {

using pipeline::Next;
using pipeline::Request;
using pipeline::Response;

namespace {

constexpr size_t keys_max = 65'536;  // beyond, the key that has spent least is forgotten

bool is_key(std::string_view text) {
  if (text.starts_with("headers.")) return data::is_header_name(text.substr(8));
  return text == "client.address" || text == "consumer";
}

// Without it a client could choose whose counter it shares.
uint64_t process_seed() {
  static const uint64_t seed = random_seed();
  return seed;
}

uint64_t seconds_up(int64_t nanoseconds) { return static_cast<uint64_t>((nanoseconds + 999'999'999) / 1'000'000'000); }

// What is left of a key's allowance after a request.
struct Allowance {
  bool granted;
  uint64_t requests;  // that may follow at once
  int64_t wait;       // nanoseconds until there is one more (nothing left), or until all is there again
};

}  // namespace

struct RateLimitConfig {
  std::string name;
  uint32_t requests = 0;
  Duration per{};
  std::string key = "client.address";

  bool operator==(const RateLimitConfig&) const = default;
  void visit(this auto& self, auto& field) {
    using namespace data::rules;
    field("name", self.name, at_most(64), "What clients and logs call it; `skip` takes it too.");
    field("requests", self.requests, required, at_least(1), "How many requests a key may make per period, all at once if it likes.");
    field("per", self.per, required, at_least(Duration(1ms)), at_most(Duration(24h) * 366),
          "The period; an allowance flows back evenly over it.");
    field("key", self.key, valid(is_key, "client.address, consumer or headers.NAME (other expressions are not in this version)"),
          "What a request is counted by. Where it is missing: the client's address.");
    field.later("store", "on_unavailable", "dry_run");
  }
  void check(data::Checker& checker) const {
    if (!name.empty() && !config::is_name(name)) checker.error("name", "expected a name of letters, digits, _ - and .");
  }
};

// The counters of one place where a limit is written, for all workers.
class RateLimitCounters {
 public:
  explicit RateLimitCounters(const RateLimitConfig& from)
      : config(from), limit_(from.requests), interval_((from.per.count() + from.requests - 1) / from.requests), spent_(keys_max) {}

  Allowance spend(uint64_t key, Instant instant) {
    int64_t now = instant.time_since_epoch().count();
    return spent_.with(key, now, [this, now](Spent& spent, bool) {
      int64_t until = std::max(spent.until, now);
      bool granted = until - now <= (limit_ - 1) * interval_;  // exactly limit_ at one instant, never more than the rate after it
      if (granted) spent.until = until += interval_;
      int64_t used = until - now;
      int64_t left = (limit_ * interval_ - used) / interval_;
      return Allowance{granted, static_cast<uint64_t>(left), left > 0 ? used : used - (limit_ - 1) * interval_};
    });
  }

  const RateLimitConfig config;

 private:
  struct Spent {
    int64_t until = 0;  // when the whole allowance is there again ("theoretical arrival time")
    bool stale(int64_t now) const { return until <= now; }
    int64_t age() const { return until; }
  };
  int64_t limit_;
  int64_t interval_;  // one request per; rounded up, so that the rate is never exceeded
  io::Striped<Spent> spent_;
};

struct RateLimit final : pipeline::Policy {
  using Config = RateLimitConfig;

  RateLimit(const Config& config, const data::Part& part, const Building& building)
      : name_(config.name.empty() ? part.kind : config.name),
        header_(config.key.starts_with("headers.") ? config.key.substr(8) : std::string()),
        by_consumer_(config.key == "consumer"),
        counters_(building.states.keep<RateLimitCounters>("rate_limit", building.place.empty() ? part.path : building.place, config)),
        limit_(name_ + ": " + std::to_string(config.requests) + " per " + format_duration(config.per)),
        policy_item_('"' + name_ + "\";q=" + std::to_string(config.requests)) {
    if (config.per % 1s == Duration{}) policy_item_ += ";w=" + std::to_string(config.per / 1s);  // whole seconds or nothing
  }
  std::string_view kind() const override { return "rate_limit"; }

  [[clang::coro_wrapper]] Task<Response> call(Request& request, Next next) override {
    Allowance allowance = counters_->spend(key_of(request), request.exchange.now());
    say(allowance, request.exchange.reply_headers);  // leaves with whatever answer this becomes
    if (!allowance.granted) return ready(refuse(request, allowance));
    return next(request);
  }

 private:
  uint64_t key_of(const Request& request) const {
    std::string_view key;
    if (by_consumer_) key = request.exchange.identity.consumer;
    if (!header_.empty()) key = request.headers.find(header_).value_or(std::string_view{});
    uint64_t seed = process_seed();
    if (!key.empty()) return XXH3_64bits_withSeed(key.data(), key.size(), seed);
    key = request.exchange.client;
    return XXH3_64bits_withSeed(key.data(), key.size(), ~seed);  // a consumer named like an address is not that address
  }

  Response refuse(Request& request, const Allowance& allowance) const {
    Response response = pipeline::fault_response(429, Error{Code::rate_limited, Side::client, Progress::nothing, {}});
    response.headers.set(http::Name::retry_after, std::to_string(std::max<uint64_t>(1, seconds_up(allowance.wait))));
    request.exchange.record.limit = limit_;
    request.exchange.record.policy = kind();
    return response;
  }

  // Two structured lists (RFC 9651), to which every limit on the way appends its item.
  void say(const Allowance& allowance, http::Headers& headers) const {
    std::string item = '"' + name_ + "\";r=";
    append_number(item, allowance.requests);
    item += ";t=";
    append_number(item, std::max<uint64_t>(1, seconds_up(allowance.wait)));
    append(headers, "RateLimit-Policy", policy_item_);
    append(headers, "RateLimit", item);
  }
  static void append(http::Headers& headers, std::string_view name, std::string_view item) {
    std::optional<std::string_view> before = headers.find(name);
    if (!before) return headers.add(name, item);
    headers.set(name, std::string(*before) + ", " + std::string(item));
  }

  std::string name_;
  std::string header_;
  bool by_consumer_;
  std::shared_ptr<RateLimitCounters> counters_;
  std::string limit_;        // for the record
  std::string policy_item_;  // "flood";q=300;w=60
};

constinit const Kind rate_limit_kind =
    kind_of<RateLimit>("rate_limit", "Answers 429 once a client, consumer or other key has spent its requests.");

}  // namespace portloom::policy
