// policy/authorize.cpp
//
// Who of the known callers may pass: consumers by name, groups of them. Stands behind `authenticate`, which finds out who
// calls; a caller whom nobody knows gets 401 (showing credentials may help), one who may not gets 403 (it does not).
#include <algorithm>
#include <string>
#include <vector>

#include "policy/authorize.h"
#include "policy/kind.h"
#include "policy/refusal.h"

namespace portloom::policy {

using pipeline::Next;
using pipeline::Request;
using pipeline::Response;

namespace {
bool holds(const std::vector<std::string>& list, std::string_view text) { return std::find(list.begin(), list.end(), text) != list.end(); }
}  // namespace

struct Authorize final : pipeline::Policy {
  using Config = AuthorizeConfig;

  Authorize(const Config& config, const data::Part&, const Building& building)
      : consumers_(config.consumers), groups_(config.groups), refusal_("authorize", building.config) {}
  std::string_view kind() const override { return "authorize"; }

  [[clang::coro_wrapper]] Task<Response> call(Request& request, Next next) override {
    const pipeline::Identity& caller = request.exchange.identity;
    if (caller.consumer.empty()) return ready(ask_who(request));
    if (!may_pass(caller)) return ready(refusal_.answer(request, Code::forbidden));
    return next(request);
  }

 private:
  bool may_pass(const pipeline::Identity& caller) const {
    if (holds(consumers_, caller.consumer)) return true;
    return std::any_of(caller.groups.begin(), caller.groups.end(), [this](const std::string& group) { return holds(groups_, group); });
  }
  Response ask_who(Request& request) const {
    Response response = refusal_.answer(request, Code::unauthenticated);
    response.headers.set(http::Name::www_authenticate, challenge);
    return response;
  }

  std::vector<std::string> consumers_;
  std::vector<std::string> groups_;
  Refusal refusal_;
};

constinit const Kind authorize_kind = kind_of<Authorize>("authorize", "Answers 403 to callers who are not among those named.");

}  // namespace portloom::policy
