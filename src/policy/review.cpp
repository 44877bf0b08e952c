// policy/review.cpp
//
// Walks every way that a request can take: a listener's policies, a route's, then those of the service.
#include "policy/review.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "config/destination.h"
#include "data/expression.h"
#include "data/walk.h"

namespace portloom::policy {
namespace {

using config::Part;
using data::Operand;

constexpr Duration usual_timeout = 15s;  // default_route_policies

bool is_of_caller(const Operand& operand) { return operand.root == Operand::Root::consumer || operand.root == Operand::Root::tenant; }

class Review {
 public:
  Review(const config::Document& document, data::Problems& problems) : document_(document), problems_(problems) {
    for (const auto& [name, service] : document.services) services_.emplace(name, document.expand(service.policies));
  }

  void run() {
    for (const config::ResolvedRoute& route : document_.resolved) look_at(route);
    for (const auto& [name, listener] : document_.listeners) {
      if (listener.to.empty()) continue;
      std::vector<Part> policies = document_.expand(listener.policies);
      callers(policies, {}, listener.to);
    }
    for (const auto& [path, asks] : asking_)
      if (!answered_.contains(path))
        warn(asks.part, "nobody finds out who calls: " + asks.what + " is never there", "write authenticate before it");
  }

 private:
  // Once per place and kind of advice, which its hint tells apart.
  void warn(const Part& part, std::string message, std::string hint) {
    if (said_.emplace(part.path, hint).second) problems_.warning(part.at, part.path, std::move(message), std::move(hint));
  }
  std::string place(const Part& part) const { return problems_.sources().place(part.at); }

  void look_at(const config::ResolvedRoute& route) {
    callers(route.listener_policies, route.policies, route.to);
    preflights(route);
    std::vector<const Part*> outer;
    for (const std::vector<Part>* level : {&route.listener_policies, &route.policies})
      for (const Part& part : *level) outer.push_back(&part);
    timeouts(outer, nullptr);
    if (const auto* one = route.to.as<config::ServiceDestination>()) return behind(outer, one->service);
    if (const auto* split = route.to.as<config::SplitDestination>())
      for (const config::SplitSide& side : split->split) behind(outer, side.service);
  }

  // Who calls is known only behind `authenticate`. A route that skips it may count a stranger by the address: a value of the caller is
  // missed only where no way has it.
  void callers(const std::vector<Part>& listener, const std::vector<Part>& route, const Part& to) {
    const Part* known = nullptr;
    for (const std::vector<Part>* level : {&listener, &route}) {
      for (const Part& part : *level) {
        if (part.kind == "authenticate") {
          known = &part;
        } else if (part.kind == "cors" && known != nullptr) {
          warn(part, "a preflight carries no credentials: the `authenticate` at " + place(*known) + " refuses it before `cors` is asked",
               "write cors before it");
        } else {
          caller(part, known != nullptr);
        }
      }
    }
    caller(to, known != nullptr);
  }

  void caller(const Part& part, bool known) {
    if (known) {
      answered_.insert(part.path);
      return;
    }
    if (part.kind == "authorize")
      return warn(part, "nobody finds out who calls: `authorize` refuses every request", "write authenticate before it");
    if (part.empty()) return;
    data::walk_texts(*part.shape, part.config.get(), part.path,
                     [&](const data::Field& field, std::string_view text, std::string_view path) {
                       if (field.shape().kind == data::Shape::Kind::list) return;  // the others may be there
                       if (part.kind == "headers" && path.substr(part.path.size()).starts_with(".response"))
                         return;  // filled in on the way back
                       std::optional<data::Expression> asks = caller_in(field, text);
                       if (asks) asking_.emplace(part.path, Asking{part, in_words(asks->alternatives.front())});
                     });
  }

  // An expression that only the caller can fill.
  static std::optional<data::Expression> caller_in(const data::Field& field, std::string_view text) {
    auto only = [](const data::Expression& expression) { return std::ranges::all_of(expression.alternatives, is_of_caller); };
    if (field.text == data::Text::expression) {
      std::expected<data::Expression, data::TextFault> made = data::Expression::parse(text);
      if (made && only(*made)) return *made;
    } else if (field.text == data::Text::computes) {
      std::expected<data::Template, data::TextFault> made = data::Template::parse(text);
      for (size_t i = 0; made && i < made->pieces.size(); ++i)
        if (made->pieces[i].expression && only(*made->pieces[i].expression)) return made->pieces[i].expression;
    }
    return std::nullopt;
  }

  // A preflight is an OPTIONS request to the same path.
  void preflights(const config::ResolvedRoute& route) {
    const std::vector<std::string>& methods = route.match.method;
    if (methods.empty() || std::find(methods.begin(), methods.end(), "OPTIONS") != methods.end()) return;
    for (const Part& part : route.policies)
      if (part.kind == "cors")
        warn(part, "no preflight comes here: the route takes no OPTIONS", "write cors at the listener, or OPTIONS among the methods");
  }

  // Of timeouts one inside the other the shorter one ends the request; a longer one inside never does.
  void timeouts(const std::vector<const Part*>& outer, const std::vector<Part>* inner) {
    const Part* shortest = nullptr;
    bool usual = true;
    auto look = [&](const Part& part, bool said) {
      const Duration* length = data::find_value<Duration>(part, "first_byte");
      if (part.kind != "timeout" || length == nullptr) return;
      const Duration* bound = shortest == nullptr ? nullptr : data::find_value<Duration>(*shortest, "first_byte");
      if (said && bound != nullptr && *length > *bound)
        warn(part,
             "this timeout of " + format_duration(*length) + " never ends anything: the one of " + format_duration(*bound) + " at " +
                 place(*shortest) + " ends first",
             "the outer one is the longer one");
      if (bound == nullptr || *length < *bound) shortest = &part;
    };
    for (const Part* part : outer) {
      look(*part, inner == nullptr);
      if (part->kind == "timeout") usual = false;
    }
    if (inner == nullptr) return;
    for (const Part& part : *inner) {
      look(part, true);
      const Duration* length = data::find_value<Duration>(part, "first_byte");
      if (usual && part.kind == "timeout" && length != nullptr && *length > usual_timeout)
        warn(part, "this timeout of " + format_duration(*length) + " never ends anything: a route has one of 15s unless it says otherwise",
             "write the longer timeout at the route");
    }
  }

  void behind(const std::vector<const Part*>& outer, const std::string& service) {
    const std::vector<Part>& policies = services_.at(service);
    timeouts(outer, &policies);
    const Part* first = nullptr;
    for (const Part* part : outer)
      if (part->kind == "retry" && attempts_of(*part) > 1) first = part;
    if (first == nullptr) return;
    bool written = std::any_of(policies.begin(), policies.end(), [](const Part& part) { return part.kind == "retry"; });
    uint32_t inner = written ? 1 : 2;  // default_service_policies
    std::string where = "the service's usual one";
    for (const Part& part : policies) {
      if (part.kind != "retry") continue;
      inner *= attempts_of(part);
      where = "the one at " + place(part);
    }
    if (inner > 1)
      warn(*first,
           "retries on two levels: with " + where + " a request is sent up to " + std::to_string(attempts_of(*first) * inner) + " times",
           "write retry at the service alone");
  }

  static uint32_t attempts_of(const Part& part) {
    const auto* attempts = data::find_value<uint32_t>(part, "attempts");
    return attempts == nullptr ? 2 : *attempts;
  }

  const config::Document& document_;
  data::Problems& problems_;
  std::map<std::string, std::vector<Part>> services_;  // their policies, chains written out
  std::set<std::pair<std::string, std::string>> said_;
  struct Asking {
    Part part;
    std::string what;
  };
  std::map<std::string, Asking> asking_;  // by path: parts that want the caller on a way without `authenticate`
  std::set<std::string> answered_;        // those that have it on another
};

}  // namespace

void review_order(const config::Document& document, data::Problems& problems) { Review(document, problems).run(); }

}  // namespace portloom::policy
