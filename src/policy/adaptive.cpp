// policy/adaptive.cpp
//
// `concurrency` of a service: the policy of that name, with a limit that follows what the service can bear (gradient.h). One limit and one
// count for all workers.
#include <memory>

#include "io/permits.h"
#include "pipeline/exchange.h"
#include "policy/build.h"
#include "policy/gradient.h"
#include "policy/refusal.h"
#include "policy/waiting.h"

namespace portloom::policy {

using pipeline::Next;
using pipeline::Request;
using pipeline::Response;

namespace {

struct Adaptive final : pipeline::Policy {
  Adaptive(const config::Concurrency& config, const Building& building)
      : state_(building.states.keep<State>("adaptive", building.place, config)),
        line_(std::shared_ptr<io::Permits>(state_, &state_->permits)),
        refusal_("concurrency", building.config, "concurrency adaptive") {}
  std::string_view kind() const override { return "concurrency"; }

  Task<Response> call(Request& request, Next next) override {
    if (!line_.try_enter()) {
      bool entered = co_await wait_in_line(&line_, &request, state_->config.queue > 0 ? state_->config.wait : Duration{});
      if (!entered) co_return refusal_.answer(request, Code::overloaded, Side::gateway);
    }
    auto permit = std::make_unique<Permit>(*this, request.exchange.now());
    Response response = co_await next(request);
    permit->answered(!response.fault && response.status < 500);
    response.body.hold(std::move(permit));
    co_return response;
  }

 private:
  // Of one service, for all workers.
  struct State {
    explicit State(const config::Concurrency& from) : config(from), permits(from.begins(), from.queue), gradient(from) {}
    const config::Concurrency config;
    io::Permits permits;
    Gradient gradient;
  };
  // One request's place, until its answer has ended or was dropped. The exchange pins the plan, and that the policy.
  class Permit final : public http::Guard {
   public:
    Permit(Adaptive& of, Instant begun) : of_(of), begun_(begun) {}
    ~Permit() override {
      if (!told_) answered(false);
      of_.line_.leave();
    }
    void answered(bool well) {
      told_ = true;
      State& state = *of_.state_;
      state.permits.resize(state.gradient.learn(begun_, Agenda::current().now(), well, state.permits.out()));
    }

   private:
    Adaptive& of_;
    Instant begun_;
    bool told_ = false;
  };
  std::shared_ptr<State> state_;
  io::Permits::Line line_;
  Refusal refusal_;
};

}  // namespace

std::unique_ptr<pipeline::Policy> adaptive_concurrency(const config::Concurrency& config, const Building& building) {
  return std::make_unique<Adaptive>(config, building);
}

}  // namespace portloom::policy
