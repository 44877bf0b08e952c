// config/calls.cpp
//
// The order of calls is worked out in composition.cpp; here it is looked at, and what it cannot be is said with its place.
#include "config/calls.h"

#include <algorithm>
#include <set>
#include <utility>

#include "data/expression.h"
#include "data/walk.h"

namespace portloom::config {
namespace {

std::string quoted(std::string_view text) { return "\"" + std::string(text) + "\""; }

// Something in the chain that stands in whatever happens.
bool always_stands_in(const Call& call) {
  return std::ranges::any_of(call.fallback, [](const Fallback& other) { return other.value.written || other.omit; });
}

void check_names(const Composition& composition, const std::string& path, const Captures& captures, const data::Origins& origins,
                 data::Problems& problems) {
  for (const auto& [name, call] : composition.calls)
    if (captures.some.contains(name))
      problems.error(origins.nearest(path), path, "a call and a part of the path are both named " + quoted(name),
                     "give one of the two another name");
}

class Nesting {
 public:
  Nesting(const Document& document, const data::Origins& origins, data::Problems& problems)
      : document_(document), origins_(origins), problems_(problems) {}

  void run(const Composition& composition, const std::string& name, const std::string& path) {
    names_ = {name};
    look(composition, path);
    if (calls_ > Composition::calls_in_all_max)
      error(path, "with those that it asks, this composition makes more than " + std::to_string(Composition::calls_in_all_max) + " calls");
  }

 private:
  void error(const std::string& path, std::string message) { problems_.error(origins_.nearest(path), path, std::move(message)); }

  void look(const Composition& composition, const std::string& at) {
    for (const auto& [name, call] : composition.calls) {
      if (++calls_ > Composition::calls_in_all_max) return;  // bounds this walk too
      if (call.limit.bytes > std::max(document_.limits.buffered.bytes, Call{}.limit.bytes))
        problems_.warning(origins_.nearest(at + ".calls." + name + ".limit"), at + ".calls." + name + ".limit",
                          "an answer as large as this is never taken: limits.buffered is " + data::format_size(document_.limits.buffered),
                          "raise limits.buffered");
      const Composition* inner = call.composition.empty() ? nullptr : document_.compositions.find(call.composition);
      if (inner == nullptr) continue;
      std::string path = at + ".calls." + name + ".composition";
      if (std::ranges::find(names_, call.composition) != names_.end()) {
        if (call.composition == names_.front() && names_.size() == 1)
          error(path, "a composition in itself");
        else if (call.composition == names_.front())
          error(path, "the compositions hold each other");
        continue;
      }
      if (names_.size() == Composition::depth_max) {
        error(path, "compositions in each other, more than " + std::to_string(Composition::depth_max) + " deep");
        continue;
      }
      names_.push_back(call.composition);
      look(*inner, "compositions." + call.composition);
      names_.pop_back();
    }
  }

  const Document& document_;
  const data::Origins& origins_;
  data::Problems& problems_;
  std::vector<std::string> names_;
  size_t calls_ = 0;
};

}  // namespace

void check_calls(const Composition& composition, const std::string& path, const Captures& captures, const data::Origins& origins,
                 data::Problems& problems) {
  CompositionOrder order = order_of(composition, path);
  for (size_t i = 0; i < composition.calls.size(); ++i) {
    const auto& [name, call] = composition.calls[i];
    std::string at = path + ".calls." + name;
    auto error = [&](std::string message) { problems.error(origins.nearest(at), at, std::move(message)); };
    auto warning = [&](const std::string& key, std::string message, std::string hint = {}) {
      problems.warning(origins.nearest(key), key, std::move(message), std::move(hint));
    };
    if (composition.answer.has(name)) error("no call can be named " + quoted(name) + ": a member of a degraded answer is");
    if (is_root(name)) error("no call can be named " + quoted(name) + ": {" + name + ".…} is a part of the request");
    if (!order.wanted[i]) warning(at, "nothing in `body` needs this call: it is never made");
    if (!call.fallback.empty() && !always_stands_in(call))
      warning(at + ".fallback", "this chain can run out: then the call is as one that is required, and the whole answer fails",
              "end it with {value: …} or {omit: true}");
    if (call.timeout && composition.timeout && *call.timeout > *composition.timeout)
      warning(at + ".timeout", "this timeout of " + format_duration(*call.timeout) + " never ends anything: the composition's of " +
                                   format_duration(*composition.timeout) + " ends first");
    std::string circle = circle_at(composition, order, i);
    if (circle.empty()) continue;
    for (const CompositionOrder::Reference& reference : order.references[i]) {
      if (order.stage[reference.call] != CompositionOrder::cyclic) continue;
      data::Position place = problems.sources().inside(origins.nearest(reference.path), reference.text, reference.at);
      problems.error(place, reference.path, "the calls wait for each other: " + circle);
      break;
    }
  }
  check_names(composition, path, captures, origins, problems);
}

void check_arrival(const Document& document, const std::string& name, const std::string& path, const Captures& captures,
                   const data::Origins& origins, data::Problems& problems) {
  check_names(*document.compositions.find(name), path, captures, origins, problems);
  std::vector<std::string> reached{name};
  std::set<std::string> missing;
  for (size_t i = 0; i < reached.size(); ++i) {
    const Composition* composition = document.compositions.find(reached[i]);
    if (composition == nullptr) continue;
    for (const auto& [call_name, call] : composition->calls)
      if (!call.composition.empty() && std::ranges::find(reached, call.composition) == reached.end()) reached.push_back(call.composition);
    auto look = [&](const data::Expression& expression) {
      const data::Operand& operand = expression.alternatives.front();
      if (expression.alternatives.size() > 1 || operand.root != data::Operand::Root::parameter) return;
      if (composition->calls.find(operand.name) == nullptr && !captures.some.contains(operand.name)) missing.insert(operand.name);
    };
    data::walk_texts(data::shape_of<Composition>(), composition, reached[i],
                     [&](const data::Field& field, std::string_view text, std::string_view) { data::each_expression(field, text, look); });
  }
  for (const std::string& one : missing)
    problems.warning(origins.nearest(path), path, "the composition needs {" + one + "}, which no path that leads here has");
}

void check_nesting(const Document& document, const Composition& composition, const std::string& name, const std::string& path,
                   const data::Origins& origins, data::Problems& problems) {
  Nesting(document, origins, problems).run(composition, name, path);
}

}  // namespace portloom::config
