// config/composition.cpp
//
// What a composition can check by itself, and the order of its calls: nothing is written about order, all of it follows from references.
#include "config/composition.h"

#include <algorithm>

#include "base/text.h"
#include "data/walk.h"

namespace portloom::config {
namespace {

class Ordering {
 public:
  Ordering(const Composition& composition, const std::string& path) : composition_(composition), path_(path) {}

  CompositionOrder run() {
    size_t count = composition_.calls.size();
    made_.references.resize(count + 1);
    for (size_t i = 0; i < count; ++i)
      look(data::shape_of<Call>(), &composition_.calls[i].second, path_ + ".calls." + composition_.calls[i].first, i);
    body();
    stages(count);
    made_.wanted.assign(count, !composition_.body.written);
    for (const CompositionOrder::Reference& reference : made_.references[count]) want(reference.call);
    return std::move(made_);
  }

 private:
  void look(const data::Shape& shape, const void* object, const std::string& path, size_t of) {
    data::walk_texts(shape, object, path,
                     [&](const data::Field& field, std::string_view text, std::string_view at) { add(field, text, at, of); });
  }
  void body() {
    const data::Field& field = *data::shape_of<Composition>().find("body");
    std::string path = path_ + ".body";
    data::walk_values(composition_.body.value, path, [&](const data::Value& text, std::string_view at) {
      if (composition_.body.written) add(field, text.text, at, composition_.calls.size());
    });
  }
  void add(const data::Field& field, std::string_view text, std::string_view path, size_t of) {
    data::each_expression(field, text, [&](const data::Expression& expression) {
      for (const data::Operand& operand : expression.alternatives) {
        if (operand.root == data::Operand::Root::body) made_.of_body.push_back(operand.path);
        if (operand.root != data::Operand::Root::call && operand.root != data::Operand::Root::parameter) continue;
        for (size_t call = 0; call < composition_.calls.size(); ++call)
          if (composition_.calls[call].first == operand.name)
            made_.references[of].push_back(
                {call, std::string(text), std::string(path), operand.at, expression.alternatives.size() == 1, operand});
      }
    });
  }

  // Each round settles the calls whose inputs are settled.
  void stages(size_t count) {
    made_.stage.assign(count, CompositionOrder::cyclic);
    bool moved = true;
    for (size_t round = 0; moved; ++round) {
      moved = false;
      std::vector<size_t> ready;
      for (size_t i = 0; i < count; ++i) {
        auto settled = [&](const CompositionOrder::Reference& reference) {
          return made_.stage[reference.call] != CompositionOrder::cyclic;
        };
        if (made_.stage[i] == CompositionOrder::cyclic && std::ranges::all_of(made_.references[i], settled)) ready.push_back(i);
      }
      for (size_t i : ready) made_.stage[i] = round;
      moved = !ready.empty();
    }
  }

  void want(size_t call) {
    if (made_.wanted[call]) return;
    made_.wanted[call] = true;
    for (const CompositionOrder::Reference& reference : made_.references[call]) want(reference.call);
  }

  const Composition& composition_;
  const std::string& path_;
  CompositionOrder made_;
};

}  // namespace

bool is_root(std::string_view name) {
  for (std::string_view root : {"body", "query", "headers", "cookies", "claims", "consumer", "tenant", "client", "step", "saga"})
    if (name == root) return true;
  return false;
}

bool is_call_name(std::string_view text) {
  return !text.empty() && text.size() <= 64 &&
         std::ranges::all_of(text, [](char c) { return is_alpha(c) || is_digit(c) || c == '_' || c == '-'; });
}

bool is_call_method(std::string_view text) { return is_method(text) && text != "HEAD" && text != "CONNECT" && text != "TRACE"; }

void CallTarget::check_target(data::Checker& checker) const {
  if (service.empty()) return;
  if (path.empty()) checker.error("", "a call to a service needs its `path`");
  check_rewrite(checker);
  if (body.written && method == "GET") checker.error("body", "a GET has no body", "write method: POST");
}

void Fallback::check(data::Checker& checker) const {
  int forms = int{value.written} + int{!service.empty()} + int{stale.has_value()} + int{omit};
  if (forms != 1) checker.error("", "a fallback is one of `value`, `service`, `stale` and `omit: true`");
  if (service.empty() && (!path.empty() || query || !host.empty() || !headers.empty() || body.written))
    checker.error("", "`path`, `query`, `host`, `headers` and `body` belong to a `service`");
  check_target(checker);
}

void Call::check(data::Checker& checker) const {
  if (service.empty() == composition.empty()) checker.error("", "a call asks one `service` or one `composition`");
  if (!composition.empty() && (!path.empty() || query || !host.empty() || !headers.empty() || body.written))
    checker.error("", "a composition takes the request as it is: no `path`, `query`, `host`, `headers` or `body`");
  if (!pick.empty() && !omit.empty()) checker.error("omit", "`pick` says it all: only those members");
  check_target(checker);
  for (size_t i = 0; i + 1 < fallback.size(); ++i)
    if (fallback[i].value.written || fallback[i].omit) {
      checker.warning("fallback", "nothing behind a `value` or `omit` is ever tried");
      break;
    }
}

void AnswerNames::check(data::Checker& checker) const {
  if (degraded == failed_services) checker.error("failed_services", "two members cannot have the name \"" + degraded + "\"");
}

void Composition::check(data::Checker& checker) const {
  if (calls.empty()) checker.error("calls", "\"calls\" is missing");
  for (const auto& [name, call] : calls)
    for (const auto& [other, ignored] : calls)
      if (&other < &name && other == name) checker.error("calls", "two calls are named \"" + name + "\"");
  if (!body.written) return;
  if (!body.value.is_map()) return checker.error("body", "the answer is an object: write a map");
  for (const data::Value::Entry& entry : body.value.map)
    if (answer.has(entry.key)) checker.error("body", "\"" + entry.key + "\" is a member of a degraded answer");
}

void CompositionDestination::check(data::Checker& checker) const {
  if (name.empty()) return Composition::check(checker);
  if (!calls.empty() || timeout || body.written || answer != AnswerNames{})
    checker.error("name", "a destination names a composition or is one", "take out `name`, or everything else");
}

size_t CompositionOrder::stages() const {
  size_t last = 0;
  for (size_t one : stage) last = one == cyclic ? last : std::max(last, one + 1);
  return last;
}

std::string circle_at(const Composition& composition, const CompositionOrder& order, size_t call) {
  std::string text;
  std::vector<bool> seen(composition.calls.size());
  size_t now = call;
  while (!seen[now] && order.stage[now] == CompositionOrder::cyclic) {
    if (now < call) return {};
    seen[now] = true;
    size_t next = now;
    for (const CompositionOrder::Reference& reference : order.references[now])
      if (order.stage[reference.call] == CompositionOrder::cyclic) next = reference.call;
    text +=
        (text.empty() ? "" : ", ") + composition.calls[now].first + " needs " + (next == now ? "itself" : composition.calls[next].first);
    now = next;
  }
  return now == call ? text : std::string();  // else it only waits for a circle
}

CompositionOrder order_of(const Composition& composition, const std::string& path) { return Ordering(composition, path).run(); }

}  // namespace portloom::config
