// compose/outline.cpp
//
// Texts are filled piece by piece: what a call will give stays as it is written, what the request has is put in.
#include "compose/outline.h"

#include <algorithm>

#include "data/expression.h"
#include "pipeline/inputs.h"

namespace portloom::compose {
namespace {

using pipeline::Place;

// Long values are cut: they are there to be recognised.
std::string shortened(std::string text) {
  constexpr size_t shown_max = 80;
  if (text.size() <= shown_max) return text;
  size_t size = shown_max;
  while (size > 0 && (static_cast<unsigned char>(text[size]) & 0xc0) == 0x80) --size;
  return text.substr(0, size) + " …";
}

void add_once(std::vector<std::string>& names, const std::string& name) {
  if (!name.empty() && std::ranges::find(names, name) == names.end()) names.push_back(name);
}

class Outlining {
 public:
  Outlining(const config::Loaded& loaded, const config::Composition& written, const pipeline::Request* asked)
      : loaded_(loaded), written_(written), asked_(asked) {}

  Outline run(std::string name, const std::string& path) const {
    Outline made;
    made.name = std::move(name);
    made.place = place(path);
    if (written_.timeout) made.timeout = format_duration(*written_.timeout);
    config::CompositionOrder order = config::order_of(written_, path);
    for (size_t i = 0; i < written_.calls.size(); ++i) {
      made.calls.push_back(call(i, order, path));
      made.stages = std::max(made.stages, made.calls.back().stage);
      if (!order.wanted[i]) continue;
      add_once(made.services, written_.calls[i].second.service);
      for (const config::Fallback& other : written_.calls[i].second.fallback) add_once(made.services, other.service);
    }
    return made;
  }

 private:
  std::string place(const std::string& path) const { return loaded_.place(loaded_.origins->nearest(path)); }

  Outline::Call call(size_t index, const config::CompositionOrder& order, const std::string& path) const {
    const auto& [name, from] = written_.calls[index];
    Outline::Call made;
    made.name = name;
    made.place = place(path + ".calls." + name);
    made.service = from.service;
    made.composition = from.composition;
    made.timeout = format_duration(from.timeout.value_or(loaded_.document->defaults.call.timeout));
    made.when = from.when;
    for (const config::CompositionOrder::Reference& reference : order.references[index])
      add_once(made.waits_for, written_.calls[reference.call].first);
    if (order.wanted[index]) made.stage = order.stage[index] + 1;
    if (!from.service.empty()) made.request = request(from, made.note);
    if (std::string reason = left_out(from); !reason.empty()) made.note = std::move(reason);
    for (const config::Fallback& other : from.fallback) {
      made.fallback.push_back(alternative(other));
      if (other.value.written || other.omit) made.may_fail = false;
    }
    return made;
  }

  std::string alternative(const config::Fallback& other) const {
    std::string ignored;
    if (other.omit) return "omit";
    if (other.stale) return "stale " + format_duration(*other.stale);
    if (other.value.written) return shortened("value " + data::format_anything(other.value.value));
    return "service " + other.service + " " + request(other, ignored);
  }

  std::string request(const config::CallTarget& target, std::string& note) const {
    std::string text = target.method + " ";
    if (std::optional<std::string> path = filled(target.path, Place::path, &note))
      text += *path;
    else
      text += target.path;
    char mark = '?';
    if (!target.query) return text;
    for (const auto& [name, value] : *target.query) {
      std::optional<std::string> one = filled(value, Place::query, nullptr);
      if (!one) continue;  // as the service would not see it either
      text.append(1, mark).append(name).append("=").append(*one);
      mark = '&';
    }
    return text;
  }

  // What no request line says: a call's result, or the body.
  bool is_open(const data::Operand& operand) const {
    if (operand.root == data::Operand::Root::call || operand.root == data::Operand::Root::body) return true;
    return operand.root == data::Operand::Root::parameter && written_.calls.find(operand.name) != nullptr;
  }
  bool is_known(const data::Expression& expression) const {
    return asked_ != nullptr && std::ranges::none_of(expression.alternatives, [&](const data::Operand& one) { return is_open(one); });
  }

  // Nothing: a value is missing, and `note` says which.
  std::optional<std::string> filled(const std::string& text, Place place, std::string* note) const {
    std::expected<data::Template, data::TextFault> made = data::Template::parse(text);
    if (asked_ == nullptr || !made) return text;
    std::string all;
    for (data::Template::Piece& piece : made->pieces) {
      if (!piece.expression) {
        all += piece.text;
        continue;
      }
      if (!is_known(*piece.expression)) {
        all += "{" + data::text_of(*piece.expression) + "}";
        continue;
      }
      data::Template alone;
      alone.pieces.push_back(std::move(piece));
      http::Writer to(256);
      pipeline::Filling filling = pipeline::fill(alone, place, *asked_, to);
      if (!filling) {
        if (note != nullptr) *note = "fails: " + pipeline::refuse(filling).fault->detail;
        return std::nullopt;
      }
      all += to.view();
    }
    return all;
  }

  // Why the call is not made for this request; empty: it is, or nobody knows yet.
  std::string left_out(const config::Call& from) const {
    std::expected<data::Expression, data::TextFault> when = data::Expression::parse(from.when);
    if (from.when.empty() || !when || !is_known(*when)) return {};
    std::optional<pipeline::Input> said = pipeline::find_input(*when, *asked_);
    return said && !said->is_false() ? "" : "left out: " + from.when + " is not there, false or empty";
  }

  const config::Loaded& loaded_;
  const config::Composition& written_;
  const pipeline::Request* asked_;
};

// Behind what is there: each composition that it asks, once.
std::vector<Outline> with_inner(const config::Loaded& loaded, std::vector<Outline> all, const pipeline::Request* asked) {
  std::vector<std::string> names{all.front().name};
  for (size_t i = 0; i < all.size(); ++i) {
    std::vector<std::string> met;
    for (const Outline::Call& call : all[i].calls) add_once(met, call.composition);
    for (const std::string& name : met) {
      if (std::ranges::find(names, name) != names.end()) continue;
      names.push_back(name);
      all.push_back(Outlining(loaded, *loaded.document->compositions.find(name), asked).run(name, "compositions." + name));
    }
  }
  return all;
}

}  // namespace

std::vector<Outline> outlines_of(const config::Loaded& loaded, const config::CompositionDestination& to, const std::string& path,
                                 const pipeline::Request* asked) {
  if (!to.name.empty()) return outlines_of(loaded, to.name, asked);
  return with_inner(loaded, {Outlining(loaded, to, asked).run({}, path)}, asked);
}

std::vector<Outline> outlines_of(const config::Loaded& loaded, const std::string& name, const pipeline::Request* asked) {
  const config::Composition& written = *loaded.document->compositions.find(name);
  return with_inner(loaded, {Outlining(loaded, written, asked).run(name, "compositions." + name)}, asked);
}

}  // namespace portloom::compose
