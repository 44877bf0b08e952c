// app/routes.cpp
//
// A written match becomes one Pattern per host and path; a destination becomes the Service of its kind.
#include "app/routes.h"

#include <algorithm>

#include "base/check.h"
#include "base/random.h"
#include "base/text.h"
#include "compose/composition.h"
#include "pipeline/fixed_answer.h"
#include "pipeline/redirect.h"
#include "pipeline/rewrite.h"
#include "pipeline/split.h"

namespace portloom::app {
namespace {

uint16_t method_bits(const std::vector<std::string>& methods) {
  uint16_t bits = 0;
  for (const std::string& method : methods) bits |= static_cast<uint16_t>(1u << static_cast<unsigned>(http::method_of(method)));
  return bits;
}

std::vector<pipeline::Condition> conditions_of(const config::Named<std::string>& written) {
  std::vector<pipeline::Condition> conditions;
  for (const auto& [name, value] : written) conditions.push_back({name, value, value == config::Match::any_value});
  return conditions;
}

}  // namespace

std::vector<pipeline::Pattern> patterns_of(const config::ResolvedRoute& route, uint32_t index, uint16_t listener) {
  using Form = pipeline::Pattern::Form;
  const config::Match& match = route.match;
  std::vector<pipeline::Pattern> patterns;
  pipeline::Pattern pattern;
  pattern.route = index;
  pattern.listener = listener;
  pattern.methods = method_bits(match.method);
  pattern.headers = conditions_of(match.headers);
  pattern.query = conditions_of(match.query);
  auto add = [&](Form form, const std::string& path) {
    pattern.form = form;
    pattern.path = path;
    patterns.push_back(pattern);
  };
  std::vector<std::string> hosts = match.host.empty() ? std::vector<std::string>{"*"} : match.host;
  for (const std::string& host : hosts) {
    pattern.host = host == "*" ? "" : host;
    std::transform(pattern.host.begin(), pattern.host.end(), pattern.host.begin(), to_lower);
    for (const std::string& path : match.path) add(Form::exact, path);
    for (const std::string& path : match.path_prefix) add(Form::prefix, path);
    for (const std::string& path : match.path_regex) add(Form::regex, path);
    if (!match.has_path()) add(Form::prefix, "/");
  }
  return patterns;
}

uint16_t listener_index(const std::vector<std::string>& names, const std::string& name) {
  auto found = std::find(names.begin(), names.end(), name);
  return found == names.end() ? uint16_t{0} : static_cast<uint16_t>(found - names.begin());
}

Result<std::shared_ptr<const pipeline::RouteTable>> compile_routes(const config::Loaded& loaded,
                                                                   const std::vector<std::string>& listeners) {
  std::vector<pipeline::Route> routes;
  std::vector<pipeline::Pattern> patterns;
  routes.reserve(loaded.document->resolved.size());  // the table keeps them
  for (const config::ResolvedRoute& route : loaded.document->resolved) {
    auto index = static_cast<uint32_t>(routes.size());
    routes.push_back({.index = index,
                      .name = route.name,
                      .methods = method_bits(route.match.method),
                      .skip = route.skip,
                      .config = loaded.place(route.at)});
    for (pipeline::Pattern& pattern : patterns_of(route, index, listener_index(listeners, route.listener)))
      patterns.push_back(std::move(pattern));
  }
  return pipeline::RouteTable::compile(std::move(routes), std::move(patterns));
}

std::unique_ptr<compose::Composition> make_composition(const config::Composition& written, const std::string& path, std::string name,
                                                       pipeline::Plan& plan, policy::States& states) {
  auto composition = [&plan](std::string_view other) {
    auto found = plan.compositions.find(other);
    return found == plan.compositions.end() ? nullptr : found->second;
  };
  return std::make_unique<compose::Composition>(
      written, path, std::move(name), plan.snapshot().document->defaults.call.timeout,
      [&plan](std::string_view service) { return plan.service(service); }, composition,
      [&states](const std::string& place, const compose::StaleStore::Config& asked) {
        return states.keep<compose::StaleStore>("stale", place, asked);
      });
}

pipeline::Service& make_destination(const data::Part& to, pipeline::Plan& plan, policy::States& states) {
  auto own = [&](std::unique_ptr<pipeline::Service> made) -> pipeline::Service& {
    plan.owned_services.push_back(std::move(made));
    return *plan.owned_services.back();
  };
  auto service = [&](const std::string& name, const config::Rewrite& changes) -> pipeline::Service& {
    pipeline::Service* chain = plan.service(name);
    CHECK(chain != nullptr);
    return changes.empty() ? *chain : own(std::make_unique<pipeline::Rewrite>(changes, *chain));
  };
  if (const auto* one = to.as<config::ServiceDestination>()) return service(one->service, *one);
  if (const auto* several = to.as<config::SplitDestination>()) {
    std::vector<pipeline::Split::Side> sides;
    for (const config::SplitSide& side : several->split) sides.push_back({&service(side.service, side), side.service, side.share.fraction});
    std::vector<data::Expression> by;
    for (const std::string& text : several->by) by.push_back(*data::Expression::parse(text));
    return own(std::make_unique<pipeline::Split>(sides, std::move(by), random_seed()));
  }
  if (const auto* composed = to.as<config::CompositionDestination>()) {
    if (composed->name.empty()) return own(make_composition(*composed, to.path, to.path, plan, states));
    auto found = plan.compositions.find(composed->name);
    CHECK(found != plan.compositions.end());
    return *found->second;
  }
  if (const auto* redirect = to.as<config::RedirectDestination>()) return own(std::make_unique<pipeline::Redirect>(*redirect));
  const auto* answer = to.as<config::ResponseDestination>();
  CHECK(answer != nullptr);
  return own(std::make_unique<pipeline::FixedAnswer>(*answer));
}

}  // namespace portloom::app
