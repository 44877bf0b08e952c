// policy/timeout.cpp
//
// Answers 504 when no response head has come in time, and drops what was still at work: that is how the call upstream ends.
// While a request's body is still on its way the time counts from its last piece: a slow upload is not a slow service.
// Sets the request's deadline while it waits, so that whatever lies behind it plans with the same moment.
#include <algorithm>
#include <optional>

#include "async/race.h"
#include "pipeline/exchange.h"
#include "policy/kind.h"
#include "policy/refusal.h"

namespace portloom::policy {

using pipeline::Next;
using pipeline::Request;
using pipeline::Response;

namespace {

// A retry outside calls again with the same request: it must find the deadline that it set itself.
struct DeadlineFor {
  DeadlineFor(Request& of, Instant deadline) : request(of), before(of.deadline) { request.deadline = deadline; }
  DeadlineFor(const DeadlineFor&) = delete;
  ~DeadlineFor() { request.deadline = before; }
  Request& request;
  Instant before;
};

// How far we had got at most: an attempt that was begun may have sent its head.
Progress progress_of(const Request& request) {
  bool begun = request.call.attempts > 0 || !request.exchange.record.subcalls.empty();
  return begun ? Progress::head : Progress::nothing;
}

}  // namespace

struct Timeout final : pipeline::Policy {
  struct Config {
    Duration first_byte{};
    void visit(this auto& self, auto& field) {
      using namespace data::rules;
      field("first_byte", self.first_byte, required, short_form, at_least(Duration(1ms)), "Until the answer's head is there; then 504.");
      field.later("total");
    }
  };

  explicit Timeout(Duration first_byte, std::string config = {})
      : first_byte_(first_byte), refusal_("timeout", std::move(config), "timeout " + format_duration(first_byte)) {}
  Timeout(const Config& config, const data::Part&, const Building& building) : Timeout(config.first_byte, building.config) {}
  std::string_view kind() const override { return "timeout"; }

  [[clang::coro_wrapper]] Task<Response> call(Request& request, Next next) override {
    Instant end = request.exchange.now() + first_byte_;
    if (request.deadline <= end) return next(request);  // somebody further out waits no longer than that anyway
    return within(request, next, end);
  }

 private:
  Task<Response> within(Request& request, Next next, Instant end) {
    DeadlineFor deadline(request, end);
    Task<Response> answering = next(request);
    std::optional<Response> answer = co_await before(end, answering);
    while (!answer && request.upload_progress != Instant{} && request.upload_progress + first_byte_ > request.exchange.now()) {
      end = request.deadline = request.upload_progress + first_byte_;
      answer = co_await before(end, answering);
    }
    bool late = !answer.has_value();
    if (late) {
      answer = pipeline::fault_response(504, Error{Code::upstream_timeout, Side::upstream, progress_of(request), {}});
    } else if (answer->fault && answer->fault->code == Code::upstream_timeout) {
      late = request.exchange.now() >= end;  // the service's own look at the deadline came first
    }
    if (late) refusal_.note(request.exchange.record);
    co_return std::move(*answer);
  }

  Duration first_byte_;
  Refusal refusal_;
};

std::unique_ptr<pipeline::Policy> timeout_after(Duration duration, std::string config) {
  return std::make_unique<Timeout>(duration, std::move(config));
}

constinit const Kind timeout_kind = kind_of<Timeout>("timeout", "Answers 504 when the answer does not begin in time.");

}  // namespace portloom::policy
