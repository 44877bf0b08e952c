// compose/execution.h
//
// Execution: one request's run through a composition: what has become of each call, and what may start next. Lives in the frame of
// Composition::call; finds the results for whoever fills a text.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "async/group.h"
#include "compose/asked.h"
#include "compose/composition.h"
#include "pipeline/fork.h"
#include "pipeline/inputs.h"

namespace portloom::compose {

// Why a call failed.
struct Failure {
  enum class Kind : uint8_t { timeout, unreachable, breaker_open, status, not_json, too_large, input };
  Kind kind = Kind::timeout;
  Code code = Code::upstream_timeout;
  uint16_t status = 0;  // that the service answered with; 0: it did not
  std::string detail;   // for people
  Side side = Side::upstream;
};
std::string_view name_of(Failure::Kind kind);  // "timeout", "not_json": as `failures` says it

class Execution final : public pipeline::Results {
 public:
  enum class State : uint8_t { waiting, running, good, stood_in, left_out, lost };
  struct Outcome {
    State state = State::waiting;
    Bytes json;                          // of good and stood_in
    std::optional<pipeline::Held> held;  // what of it counts against the request
    std::vector<data::JsonSpan> found;   // by node of the call's selection
    std::optional<Failure> failure;      // of everything but good; a call that `when` left out has none
    std::string_view stand_in;           // which kind of fallback
    std::optional<Duration> age;         // of a stale answer
    std::vector<std::string> cookies;    // Set-Cookie of a good one
    bool private_answer = false;         // the service says no-store or private
    bool never_kept = false;             // it says no-store
    std::string question;                // what a kept answer is found by; empty: none is kept
    std::string_view blamed;             // the service that failed, where a composition was asked
    Duration elapsed{0};
  };

  // All three outlive it.
  Execution(Composition& composition, pipeline::Request& request, const Asked& asked);
  Execution(const Execution&) = delete;

  // Starts every call whose inputs are settled. Calls that nobody wants are never started.
  void start_ready(Group<size_t>& running);
  bool is_lost(size_t call) const { return outcomes_[call].state == State::lost; }
  // 502 or 504 for a required call.
  pipeline::Response refusal(size_t call);
  // The composed answer, once every call is settled.
  pipeline::Response answer();

  std::optional<pipeline::Input> find(const data::Operand& operand) const override;

 private:
  static Task<size_t> settle(Execution* self, size_t index);
  Task<void> stand_in(size_t index);
  // Nothing: the outcome has its result.
  Task<std::optional<Failure>> attempt(size_t index, const Target& target);
  Task<std::optional<Failure>> ask(size_t index, const Target& target, pipeline::Fork& fork);
  Task<std::optional<Failure>> read(size_t index, pipeline::Response& response);
  std::optional<Failure> take(size_t index, Bytes json);
  std::optional<Failure> missing_input(size_t index) const;
  void keep_pieces(const pipeline::Response& response, Outcome& outcome) const;
  static std::string question_of(const pipeline::Request& asked, std::string_view body);
  bool has_value(size_t call) const { return outcomes_[call].state == State::good || outcomes_[call].state == State::stood_in; }
  bool settled(size_t call) const { return outcomes_[call].state > State::running; }

  // answer.cpp
  bool is_degraded() const;
  void note(bool lost_call);
  std::string failures() const;
  void add_fields(pipeline::Response& response, bool degraded) const;
  std::vector<Bytes> pieces(bool degraded) const;

  // While texts are filled, which takes no time, the request knows the results.
  class Knowing {
   public:
    explicit Knowing(const Execution& execution) : request(execution.request_), before_(request.results) { request.results = &execution; }
    Knowing(const Knowing&) = delete;
    ~Knowing() { request.results = before_; }
    pipeline::Request& request;

   private:
    const pipeline::Results* before_;
  };

  Composition& composition_;
  pipeline::Request& request_;
  const Asked& asked_;
  const pipeline::Results* around_;  // of the composition that asks this one; null: none does
  Instant deadline_;
  std::vector<Outcome> outcomes_;
};

}  // namespace portloom::compose
