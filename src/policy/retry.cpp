// policy/retry.cpp
//
// Calls again when an attempt failed in a way that another may not: nobody there, the connection broke, 503. Only what is
// safe to send twice (RFC 9110 §9.2.2) or was never sent; within the deadline, and within a budget, so that retries never
// multiply the load on a service in trouble. The budget belongs to one place on one worker.
#include <algorithm>
#include <array>
#include <optional>

#include "async/agenda.h"
#include "base/random.h"
#include "pipeline/exchange.h"
#include "policy/kind.h"

namespace portloom::policy {

using pipeline::Next;
using pipeline::Request;
using pipeline::Response;

namespace {

constexpr size_t replay_bytes_max = 64 * 1024;  // a longer body in memory is let go with the first attempt
constexpr Duration wait_least = 5ms;
constexpr Duration wait_most = 25ms;  // before the second attempt; doubles for each later one

enum class Cause : uint8_t { refused, reset, unavailable };
std::vector<data::Choice> choices_of(Cause) {
  return {{"refused", Cause::refused},
          {"reset", Cause::reset},
          {"unavailable", Cause::unavailable},
          data::Choice("timeout"),
          data::Choice("gateway_error")};
}

std::optional<Cause> cause_of(const Response& response) {
  if (!response.fault) return response.status == 503 ? std::optional(Cause::unavailable) : std::nullopt;
  if (response.fault->side != Side::upstream) return std::nullopt;
  switch (response.fault->code) {
    case Code::refused:
    case Code::connect_timeout: return Cause::refused;  // no connection came about
    case Code::reset:
    case Code::closed: return Cause::reset;
    default: return std::nullopt;
  }
}

// In each second: at most a share of its requests, and 10 whatever the traffic.
class Budget {
 public:
  explicit Budget(double share) : share_(share) {}
  void count(Instant now) {
    turn(now);
    ++requests_;
  }
  bool spend(Instant now) {
    turn(now);
    if (retries_ >= std::max(floor, share_ * requests_)) return false;
    ++retries_;
    return true;
  }

 private:
  static constexpr double floor = 10;
  void turn(Instant now) {
    if (now - second_ < 1s) return;
    second_ = now;
    requests_ = retries_ = 0;
  }
  double share_;
  Instant second_{};
  double requests_ = 0;
  double retries_ = 0;
};

}  // namespace

struct Retry final : pipeline::Policy {
  struct Config {
    uint32_t attempts = 2;
    std::vector<Cause> causes{Cause::refused, Cause::reset};
    data::Percent budget{0.2};
    void visit(this auto& self, auto& field) {
      using namespace data::rules;
      field("attempts", self.attempts, at_least(1), at_most(5), "How often a request is sent at most; counts the first.");
      field("causes", self.causes, at_least(1),
            "What is tried again: refused (no connection came about), reset (it broke before an answer), unavailable (503).");
      field("budget", self.budget, at_most(data::Percent{1}),
            "Retries per request, over all requests of a second; 10 in a second are always allowed.");
    }
  };

  explicit Retry(const Config& config) : attempts_(config.attempts), budget_(config.budget.fraction) {
    for (Cause cause : config.causes) causes_[static_cast<size_t>(cause)] = true;
  }
  Retry(const Config& config, const data::Part&, const Building&) : Retry(config) {}
  std::string_view kind() const override { return "retry"; }

  [[clang::coro_wrapper]] Task<Response> call(Request& request, Next next) override {
    budget_.count(request.exchange.now());
    if (attempts_ < 2 || request.upgrade) return next(request);
    return repeat(request, next);
  }

 private:
  Task<Response> repeat(Request& request, Next next) {
    bool whole = request.body.in_memory();
    bool kept = whole && request.body.bytes().size() <= replay_bytes_max;
    Bytes body;
    if (kept) body = request.body.bytes();
    std::optional<Response> response;
    for (uint32_t attempt = 1;; ++attempt) {
      response.emplace(co_await next(request));
      std::optional<Cause> cause = cause_of(*response);
      // A streaming body that the attempt has not taken is still there, and unread since nothing was sent.
      bool has_body = kept || (!whole && !request.body.in_memory() && sent_nothing(*response));
      if (attempt == attempts_ || !cause || !has_body || !may_repeat(request, *response, *cause)) break;
      Instant again = request.exchange.now() + wait_before(attempt + 1, *cause);
      if (again >= request.deadline || !budget_.spend(request.exchange.now())) break;
      response.reset();  // with its body goes its connection
      if (again > request.exchange.now()) co_await sleep_until(again);
      if (kept) request.body = http::Body(body);
    }
    co_return std::move(*response);
  }

  static bool sent_nothing(const Response& response) { return response.fault && response.fault->progress == Progress::nothing; }
  bool may_repeat(const Request& request, const Response& response, Cause cause) const {
    return causes_[static_cast<size_t>(cause)] && (http::is_safe(request.method()) || sent_nothing(response));
  }

  // At once when the first found nobody there: another endpoint is asked. Else a random while, so that many who failed together
  // do not come back together.
  Duration wait_before(uint32_t attempt, Cause cause) {
    if (cause == Cause::refused && attempt == 2) return {};
    Duration most = wait_most * (1 << (attempt - 2));
    return wait_least + Duration(random_.below(static_cast<uint64_t>((most - wait_least).count())));
  }

  uint32_t attempts_;
  std::array<bool, 3> causes_{};
  Budget budget_;
  Random random_{random_seed()};
};

std::unique_ptr<pipeline::Policy> usual_retry() { return std::make_unique<Retry>(Retry::Config{}); }

constinit const Kind retry_kind = kind_of<Retry>("retry", "Sends a request again when that is safe and likely to help.");

}  // namespace portloom::policy
