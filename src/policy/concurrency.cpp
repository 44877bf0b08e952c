// policy/concurrency.cpp
//
// At most so many requests at once, counted until the last byte of their answers, over all workers together. Who finds the place
// full waits in a short line; who finds that full too, or waits too long, gets 503 at once: the load that a service cannot bear
// is refused while it is still cheap.
#include <memory>

#include "io/permits.h"
#include "pipeline/exchange.h"
#include "policy/kind.h"
#include "policy/refusal.h"
#include "policy/waiting.h"

namespace portloom::policy {

using pipeline::Next;
using pipeline::Request;
using pipeline::Response;

namespace {

// One request's place, until its answer has ended or was dropped. The exchange pins the plan, and that the line.
class Permit final : public http::Guard {
 public:
  explicit Permit(io::Permits::Line& line) : line_(line) {}
  ~Permit() override { line_.leave(); }

 private:
  io::Permits::Line& line_;
};

}  // namespace

struct Concurrency final : pipeline::Policy {
  struct Config {
    uint32_t requests = 0;
    uint32_t queue = 64;
    Duration wait = 50ms;
    bool operator==(const Config&) const = default;
    void visit(this auto& self, auto& field) {
      using namespace data::rules;
      field("requests", self.requests, required, short_form, at_least(1), at_most(1'000'000), "How many may be at work at once.");
      field("queue", self.queue, at_most(100'000), "How many more may wait for a place; 0: none.");
      field("wait", self.wait, at_least(Duration(1ms)), at_most(Duration(10s)), "How long they may wait at most; then 503.");
    }
  };

  Concurrency(const Config& config, const data::Part& part, const Building& building)
      : state_(building.states.keep<State>("concurrency", building.place.empty() ? part.path : building.place, config)),
        line_(std::shared_ptr<io::Permits>(state_, &state_->permits)),
        refusal_("concurrency", building.config, "concurrency " + std::to_string(config.requests)) {}
  std::string_view kind() const override { return "concurrency"; }

  Task<Response> call(Request& request, Next next) override {
    if (!line_.try_enter()) {
      bool entered = co_await wait_in_line(&line_, &request, state_->config.queue > 0 ? state_->config.wait : Duration{});
      if (!entered) co_return refusal_.answer(request, Code::overloaded, Side::gateway);
    }
    auto permit = std::make_unique<Permit>(line_);
    Response response = co_await next(request);
    response.body.hold(std::move(permit));
    co_return response;
  }

 private:
  // Of one place where it is written, for all workers.
  struct State {
    explicit State(const Config& from) : config(from), permits(from.requests, from.queue) {}
    const Config config;
    io::Permits permits;
  };
  std::shared_ptr<State> state_;
  io::Permits::Line line_;
  Refusal refusal_;
};

constinit const Kind concurrency_kind =
    kind_of<Concurrency>("concurrency", "Bounds how many requests are at work at once; the rest wait shortly, then get 503.");

}  // namespace portloom::policy
