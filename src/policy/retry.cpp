// policy/retry.cpp
//
// Calls again when an attempt failed in a way that another may not: nobody there, the connection broke, 503. Only what is
// safe to send twice (RFC 9110 §9.2.2), carries an Idempotency-Key or was never sent; within the deadline, and within a
// budget, so that retries never multiply the load on a service in trouble. The budget belongs to one place on one worker, and is
// kept over reloads: an instance that dies just after one takes many requests with it at once.
// Several gateways behind each other do not multiply: one that has tried in vain says so to the one that asked it (attempts_field), which
// then passes the answer on; and what is sent again says that too (attempt_field), so that nobody further in repeats it once more.
#include <algorithm>
#include <array>
#include <memory>
#include <optional>

#include "async/agenda.h"
#include "base/random.h"
#include "base/text.h"
#include "pipeline/exchange.h"
#include "policy/kind.h"
#include "policy/refusal.h"
#include "policy/replay.h"

namespace portloom::policy {

using pipeline::Next;
using pipeline::Request;
using pipeline::Response;

namespace {

enum class Cause : uint8_t { refused, reset, unavailable, timeout, gateway_error, status };
constexpr size_t causes_count = 6;
std::vector<data::Choice> choices_of(Cause) {
  return {{"refused", Cause::refused},
          {"reset", Cause::reset},
          {"unavailable", Cause::unavailable},
          {"timeout", Cause::timeout},
          {"gateway_error", Cause::gateway_error}};
}

// Of a request that is not the first attempt: which one it is.
constexpr std::string_view attempt_field = "Portloom-Attempt";
// Of an answer of which another attempt would have been made, could it be: how many were. Between gateways alone.
constexpr std::string_view attempts_field = "Portloom-Attempts";

// Does another gateway ask us? Each adds itself to Via (RFC 9110 §7.6.3), and so have we.
bool is_from_gateway(const Request& request) {
  int gateways = 0;
  request.headers.for_each(http::Name::via, [&](std::string_view value) {
    for (size_t at = value.find("portloom"); at != value.npos; at = value.find("portloom", at + 1)) ++gateways;
  });
  return gateways > 1;
}

std::optional<Cause> cause_of(const Error& fault) {
  if (fault.side != Side::upstream) return std::nullopt;
  switch (fault.code) {
    case Code::refused:
    case Code::connect_timeout: return Cause::refused;  // no connection came about
    case Code::reset:
    case Code::closed: return Cause::reset;
    case Code::upstream_timeout: return Cause::timeout;
    default: return std::nullopt;
  }
}

// Over ten seconds at most a share of the requests; 100 whatever the traffic: an instance that dies in the first moment of a
// load takes with it what was under way there.
class Budget {
 public:
  explicit Budget(double share) : config(share) {}
  void count(Instant now) {
    turn(now);
    ++requests_;
    ++seconds_[at_].requests;
  }
  bool spend(Instant now) {
    turn(now);
    if (retries_ >= std::max(floor, config * requests_)) return false;
    ++retries_;
    ++seconds_[at_].retries;
    return true;
  }
  const double config;  // the share

 private:
  static constexpr double floor = 100;
  struct Second {
    double requests = 0;
    double retries = 0;
  };
  void turn(Instant now) {
    if (now - begun_ < 1s) return;
    int64_t passed = (now - begun_) / 1s;
    begun_ += passed * 1s;
    for (int64_t i = std::min<int64_t>(passed, static_cast<int64_t>(seconds_.size())); i > 0; --i) {
      at_ = (at_ + 1) % seconds_.size();
      requests_ -= seconds_[at_].requests;
      retries_ -= seconds_[at_].retries;
      seconds_[at_] = {};
    }
  }
  Instant begun_{};  // of the second that runs
  std::array<Second, 10> seconds_{};
  size_t at_ = 0;
  double requests_ = 0;  // of all
  double retries_ = 0;
};

}  // namespace

struct Retry final : pipeline::Policy {
  struct Config {
    uint32_t attempts = 2;
    std::vector<Cause> causes{Cause::refused, Cause::reset};
    std::vector<uint32_t> statuses;
    std::optional<Duration> attempt_timeout;
    Duration wait = 25ms;
    Duration wait_max = 250ms;
    data::Size replay{64 * 1024};
    data::Percent budget{0.2};
    void visit(this auto& self, auto& field) {
      using namespace data::rules;
      field("attempts", self.attempts, at_least(1), at_most(5), "How often a request is sent at most; counts the first.");
      field("causes", self.causes, at_least(1),
            "What is tried again: refused (no connection came about), reset (it broke before an answer), timeout (no answer in time), "
            "unavailable (the service says 503), gateway_error (it says 502, 503 or 504).");
      field("statuses", self.statuses, at_most(16), "Statuses of the service, from 400 to 599, that are tried again too.");
      field("attempt_timeout", self.attempt_timeout, at_least(Duration(1ms)),
            "How long one attempt may take until its answer begins. Without it: what the deadline of the whole leaves.");
      field("wait", self.wait, at_least(Duration(1ms)), at_most(Duration(60s)),
            "Before the second attempt at most; it is random from 0 on. Doubles for each later one.");
      field("wait_max", self.wait_max, at_least(Duration(1ms)), at_most(Duration(60s)),
            "Where the doubling ends. A service that says Retry-After is not asked earlier; if that is longer, its answer is the answer.");
      field("replay", self.replay, at_most(data::Size{1024 * 1024}), "How much of a request's body is kept to be sent again.");
      field("budget", self.budget, at_most(data::Percent{1}),
            "Retries per request, over all requests of the last 10 s on one worker; 100 in that time are always allowed.");
    }
    void check(data::Checker& checker) const {
      for (uint32_t status : statuses)
        if (status < 400 || status > 599) checker.error("statuses", std::to_string(status) + " is no status of a failure (400 to 599)");
      if (wait > wait_max) checker.error("wait", "this is longer than `wait_max`, " + format_duration(wait_max));
    }
  };

  // `budget` null: one of its own.
  explicit Retry(Config config, std::string place = {}, std::shared_ptr<Budget> budget = nullptr)
      : config_(std::move(config)),
        attempt_timeout_(config_.attempt_timeout ? timeout_after(*config_.attempt_timeout, std::move(place)) : nullptr),
        budget_(budget != nullptr ? std::move(budget) : std::make_shared<Budget>(config_.budget.fraction)) {
    for (Cause cause : config_.causes) causes_[static_cast<size_t>(cause)] = true;
  }
  Retry(const Config& config, const data::Part& part, const Building& building)
      : Retry(config, building.config, kept(building.worker, building.place.empty() ? part.path : building.place, config)) {}
  static std::shared_ptr<Budget> kept(States* worker, std::string_view place, const Config& config) {
    return worker == nullptr ? nullptr : worker->keep<Budget>("retry", place, config.budget.fraction);
  }
  std::string_view kind() const override { return "retry"; }

  [[clang::coro_wrapper]] Task<Response> call(Request& request, Next next) override {
    budget_->count(request.exchange.now());
    if (config_.attempts >= 2 && !request.upgrade) return repeat(request, next);
    return once(request, next);
  }

 private:
  Task<Response> repeat(Request& request, Next next) {
    Again body(request, config_.replay.bytes);
    std::optional<Response> response;
    for (uint32_t attempt = 1;; ++attempt) {
      response.emplace(co_await once(request, next));
      std::optional<Cause> cause = wanted(*response);
      if (!cause) break;
      bool tried_further_in = response->headers.find(attempts_field).has_value();
      if (is_from_gateway(request))
        response->headers.set(attempts_field, std::to_string(attempt));
      else
        response->headers.remove(attempts_field);
      bool again_further_out = attempt == 1 && request.headers.find(attempt_field).has_value();
      if (attempt == config_.attempts || !request.repeatable || tried_further_in || again_further_out) break;
      if (!(is_repeatable(request) || sent_nothing(*response)) || !body.is_there(request, *response)) break;
      std::optional<Duration> wait = wait_before(attempt + 1, *cause, *response);
      Instant now = request.exchange.now();
      if (!wait || *wait > config_.wait_max || now + *wait >= request.deadline || !budget_->spend(now)) break;
      response.reset();  // with its body goes its connection
      Refusal::forget(request.exchange.record);
      request.call.answered = false;
      if (*wait > Duration{}) co_await sleep_until(now + *wait);
      body.give(request);
      tell_attempt(request, attempt + 1);
    }
    co_return std::move(*response);
  }
  [[clang::coro_wrapper]] Task<Response> once(Request& request, Next next) {
    if (attempt_timeout_ != nullptr) return attempt_timeout_->call(request, next);
    return next(request);
  }

  // gRPC has a field of its own for it (gRFC A6).
  static void tell_attempt(Request& request, uint32_t attempt) {
    request.headers.set(attempt_field, std::to_string(attempt));
    if (request.exchange.grpc) request.headers.set("grpc-previous-rpc-attempts", std::to_string(attempt - 1));
  }

  // The request's body, for as many attempts as there will be.
  class Again {
   public:
    Again(Request& request, size_t bytes_max) {
      streams_ = !request.body.in_memory();
      if (!streams_ && request.body.bytes().size() <= bytes_max) {
        whole_ = request.body.bytes();
        kept_ = true;
      } else if (streams_ && is_repeatable(request) && bytes_max > 0 && request.body.length().value_or(0) <= bytes_max) {
        length_ = request.body.length();
        tape_ = std::make_shared<Tape>(std::move(request.body), request.exchange.hold_up_to(request.body.length().value_or(bytes_max)));
        give(request);
      }
    }
    bool is_there(const Request& request, const Response& response) const {
      if (tape_ != nullptr) return !tape_->lost;
      // A streaming body that the attempt has not taken is still there, and unread since nothing was sent.
      return kept_ || (streams_ && !request.body.in_memory() && sent_nothing(response));
    }
    void give(Request& request) const {
      if (kept_) request.body = http::Body(whole_);
      if (tape_ != nullptr) request.body = http::Body(std::make_unique<Replay>(tape_), length_);
    }

   private:
    bool streams_ = false;
    bool kept_ = false;
    Bytes whole_;
    std::shared_ptr<Tape> tape_;
    std::optional<uint64_t> length_;
  };

  static bool sent_nothing(const Response& response) { return response.fault && response.fault->progress == Progress::nothing; }
  // Idempotency-Key: the client has the service's word that a second one does no harm.
  static bool is_repeatable(const Request& request) {
    return http::is_safe(request.method()) || request.headers.contains(http::Name::idempotency_key);
  }

  bool has(Cause cause) const { return causes_[static_cast<size_t>(cause)]; }
  // Why this is to be tried again; empty when it is not.
  std::optional<Cause> wanted(const Response& response) const {
    if (response.fault) {
      std::optional<Cause> cause = cause_of(*response.fault);
      return cause && has(*cause) ? cause : std::nullopt;
    }
    uint16_t status = response.status;
    if (std::optional<std::string_view> grpc = response.headers.find(http::Name::grpc_status); grpc && trim(*grpc) != "0")
      return cause_of_grpc(trim(*grpc));
    if (status == 503 && has(Cause::unavailable)) return Cause::unavailable;
    if ((status == 502 || status == 503 || status == 504) && has(Cause::gateway_error)) return Cause::gateway_error;
    if (std::find(config_.statuses.begin(), config_.statuses.end(), status) != config_.statuses.end()) return Cause::status;
    return std::nullopt;
  }

  // A gRPC service that fails before it has a message says it in the head ("Trailers-Only"): UNAVAILABLE and DEADLINE_EXCEEDED.
  std::optional<Cause> cause_of_grpc(std::string_view status) const {
    if (status == "14" && has(Cause::unavailable)) return Cause::unavailable;
    if ((status == "14" || status == "4") && has(Cause::gateway_error)) return Cause::gateway_error;
    return std::nullopt;
  }

  // At once when the first found nobody there: another endpoint is asked. Else a random while ("full jitter"), so that many who
  // failed together do not come back together; not before Retry-After (RFC 9110 §10.2.3). Empty: not within a sensible time.
  std::optional<Duration> wait_before(uint32_t attempt, Cause cause, const Response& response) {
    if (cause == Cause::refused && attempt == 2) return Duration{};
    Duration most = std::min(config_.wait_max, config_.wait * (1 << (attempt - 2)));
    Duration wait(random_.below(static_cast<uint64_t>(most.count())));
    if (std::optional<std::string_view> pushback = response.headers.find("grpc-retry-pushback-ms")) {  // gRFC A6: exactly then
      std::optional<uint64_t> milliseconds = parse_number(trim(*pushback));
      if (!milliseconds || *milliseconds > 3'600'000) return std::nullopt;  // below 0: not at all
      return Duration(1ms) * static_cast<int64_t>(*milliseconds);
    }
    std::optional<std::string_view> after = response.headers.find(http::Name::retry_after);
    if (!after || response.fault) return wait;
    std::optional<uint64_t> seconds = parse_number(trim(*after));
    if (!seconds || *seconds > 3600) return std::nullopt;  // a date is whole seconds away too
    return std::max(wait, Duration(1s) * static_cast<int64_t>(*seconds));
  }

  Config config_;
  std::unique_ptr<pipeline::Policy> attempt_timeout_;  // null: none
  std::array<bool, causes_count> causes_{};
  std::shared_ptr<Budget> budget_;
  Random random_{random_seed()};
};

std::unique_ptr<pipeline::Policy> usual_retry(States* worker, std::string_view place) {
  Retry::Config config;
  return std::make_unique<Retry>(config, std::string(), Retry::kept(worker, place, config));
}

constinit const Kind retry_kind = kind_of<Retry>("retry", "Sends a request again when that is safe and likely to help.");

}  // namespace portloom::policy
