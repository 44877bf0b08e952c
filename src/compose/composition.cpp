// compose/composition.cpp
//
// From what is written to what runs; and the loop of one answer: start what is ready, wait for the next that has finished.
#include "compose/composition.h"

#include <algorithm>

#include "async/group.h"
#include "base/check.h"
#include "compose/execution.h"
#include "data/json.h"
#include "data/print.h"

namespace portloom::compose {

namespace {

Target target_of(const config::CallTarget& written, pipeline::Service* service) {
  CHECK(service != nullptr);  // a checked document names only what is there
  Target target;
  target.service = service;
  target.method = written.method;
  if (written.service.empty()) return target;
  config::Rewrite changes = written;
  if (!changes.query) changes.query.emplace();  // the client's query is not the call's
  target.rewrite = std::make_unique<pipeline::Rewrite>(changes, *service);
  if (written.body.written) target.body.emplace(written.body.value);
  return target;
}

// What its answers are answers to. Whatever else it says, how it stands in for them above all, may change.
StaleStore::Config asked_by(const config::Call& call) {
  config::Call asked = call;
  asked.fallback.clear();
  asked.timeout.reset();
  return {data::format_value(data::shape_of<config::Call>(), &asked)};
}

}  // namespace

Composition::Composition(const config::Composition& written, const std::string& path, std::string name, Duration call_timeout,
                         const FindService& service, const FindService& composition, const FindKept& kept)
    : written_(written), name_(std::move(name)) {
  config::CompositionOrder order = config::order_of(written, path);
  calls_.resize(written.calls.size());
  for (size_t i = 0; i < calls_.size(); ++i) {
    const auto& [call_name, from] = written.calls[i];
    Call& call = calls_[i];
    call.name = call_name;
    data::append_json_string(call.key, call_name);
    call.key += ':';
    call.service = from.service.empty() ? from.composition : from.service;
    call.target = target_of(from, from.service.empty() ? composition(from.composition) : service(from.service));
    if (!from.when.empty()) call.when = *data::Expression::parse(from.when);
    if (const auto* inner = dynamic_cast<const Composition*>(call.target.service))
      body_paths_.insert(body_paths_.end(), inner->body_paths_.begin(), inner->body_paths_.end());
    call.timeout = from.timeout.value_or(call_timeout);
    call.bytes_max = from.limit.bytes;
    call.pick = from.pick;
    call.omit = from.omit;
    call.wanted = order.wanted[i];
    for (const config::Fallback& other : from.fallback) {
      Fallback& fallback = call.fallback.emplace_back();
      if (other.value.written) fallback.value.emplace(other.value.value);
      if (!other.service.empty()) fallback.target = target_of(other, service(other.service));
      fallback.stale = other.stale;
      fallback.omit = other.omit;
      if (other.stale && call.kept == nullptr) call.kept = kept(path + ".calls." + call_name, asked_by(from));
    }
  }
  for (size_t i = 0; i <= calls_.size(); ++i) {
    for (config::CompositionOrder::Reference& reference : order.references[i]) {
      calls_[reference.call].selection.add(reference.operand.path);
      calls_[reference.call].referred_to = true;
      if (i == calls_.size()) continue;
      std::vector<size_t>& needs = calls_[i].needs;
      if (std::ranges::find(needs, reference.call) == needs.end()) needs.push_back(reference.call);
      // What only a fallback or a condition wants may be missing.
      bool of_target = reference.path.find(".fallback[") == std::string::npos && !reference.path.ends_with(".when");
      if (reference.alone && of_target) calls_[i].must_be_there.push_back(std::move(reference));
    }
  }
  if (written.body.written) body_.emplace(written.body.value);
  body_paths_.insert(body_paths_.end(), order.of_body.begin(), order.of_body.end());
  for (const auto& steps : body_paths_) (of_body_ ? *of_body_ : of_body_.emplace()).add(steps);
}

Task<pipeline::Response> Composition::call(pipeline::Request& request) {
  request.call.ran = name_;
  Asked asked;
  if (of_body_ && request.results == nullptr) {  // inside another it was read already
    std::optional<pipeline::Response> refused = co_await asked.read(request, *of_body_);
    if (refused) co_return std::move(*refused);
  }
  Execution execution(*this, request, asked);
  Group<size_t> running(calls_.size());  // behind the execution: its calls are dropped before what they point to
  execution.start_ready(running);
  while (std::optional<size_t> settled = co_await running.next()) {
    if (execution.is_lost(*settled)) co_return execution.refusal(*settled);
    execution.start_ready(running);
  }
  co_return execution.answer();
}

}  // namespace portloom::compose
