// app/dependencies.cpp
//
// A call without a fallback is required; one whose fallbacks all ask a service fails when they fail too; all others are never missed for
// an answer, only for a complete one. A kept answer (`stale`) counts as one that is there.
#include "app/dependencies.h"

#include <algorithm>
#include <set>

namespace portloom::app {
namespace {

using telemetry::Dependencies;

Dependencies::Call call_of(const std::string& name, const config::Call& written) {
  Dependencies::Call call{
      .name = name, .service = written.service, .composition = written.composition, .required = written.fallback.empty()};
  bool may_fail = std::ranges::all_of(written.fallback, [](const config::Fallback& one) { return !one.service.empty(); });
  if (may_fail)
    for (const config::Fallback& one : written.fallback) call.stand_ins.push_back(one.service);
  return call;
}

class Reader {
 public:
  explicit Reader(const config::Document& document) : document_(document) {}

  Dependencies read() {
    for (const auto& [name, composition] : document_.compositions) add(name, composition);
    for (const config::ResolvedRoute& route : document_.resolved) add(route);
    return std::move(made_);
  }

 private:
  // Those that it asks first: they hold each other in no circle.
  void add(const std::string& name, const config::Composition& composition) {
    if (!known_.insert(name).second) return;
    Dependencies::Composition made{.name = name, .calls = {}};
    for (const auto& [call_name, call] : composition.calls) {
      if (!call.composition.empty()) add(call.composition, *document_.compositions.find(call.composition));
      made.calls.push_back(call_of(call_name, call));
    }
    made_.compositions.push_back(std::move(made));
  }

  void add(const config::ResolvedRoute& route) {
    Dependencies::Route made{.name = route.name, .latency = route.latency, .composition = {}, .sides = {}};
    if (const auto* service = route.to.as<config::ServiceDestination>()) {
      made.sides.push_back({service->service});
    } else if (const auto* several = route.to.as<config::SplitDestination>()) {
      for (const config::SplitSide& side : several->split) made.sides.push_back({side.service, side.share.fraction});
    } else if (const auto* composed = route.to.as<config::CompositionDestination>()) {
      made.composition = composed->name.empty() ? route.to.path : composed->name;
      if (composed->name.empty()) add(made.composition, *composed);
    }
    made_.routes.push_back(std::move(made));
  }

  const config::Document& document_;
  Dependencies made_;
  std::set<std::string, std::less<>> known_;
};

}  // namespace

Dependencies dependencies_of(const config::Document& document) { return Reader(document).read(); }

}  // namespace portloom::app
