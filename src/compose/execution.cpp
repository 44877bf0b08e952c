// compose/execution.cpp
//
// What happens to one call, from its inputs to its result or to what stands in for it.
#include "compose/execution.h"

#include <algorithm>
#include <limits>

#include "async/race.h"
#include "base/text.h"
#include "data/json_members.h"
#include "http/writer.h"
#include "pipeline/exchange.h"
#include "pipeline/problem.h"

namespace portloom::compose {

using pipeline::Fork;
using pipeline::Input;
using pipeline::Request;
using pipeline::Response;
using Verdict = pipeline::Record::Verdict;

namespace {

// So much before the request's own deadline calls are given up: an answer that says what is missing beats none.
constexpr Duration margin = 10ms;

Failure unreachable(const Error& error) {
  bool late = error.code == Code::upstream_timeout || error.code == Code::connect_timeout || error.code == Code::request_timeout;
  Failure::Kind kind = error.code == Code::breaker_open ? Failure::Kind::breaker_open : Failure::Kind::unreachable;
  return {late ? Failure::Kind::timeout : kind, error.code, 0, error.detail, error.side};
}
Failure late() { return {Failure::Kind::timeout, Code::upstream_timeout, 0, "no answer in time"}; }
Failure input(std::string detail) { return {Failure::Kind::input, Code::missing_input, 0, std::move(detail)}; }

// What the service has to do with it.
Verdict verdict_of(const std::optional<Failure>& failure) {
  if (!failure) return Verdict::delivered;
  bool excused = failure->kind == Failure::Kind::input || failure->side != Side::upstream ||
                 (failure->kind == Failure::Kind::status && failure->status < 500);
  return excused ? Verdict::excused : Verdict::failed;
}

// Is one of these directives there?
bool says(std::string_view field, std::string_view directive) {
  while (!field.empty()) {
    std::string_view one = trim(field.substr(0, field.find(',')));
    field.remove_prefix(std::min(field.size(), field.find(',') == std::string_view::npos ? field.size() : field.find(',') + 1));
    if (equals_ignoring_case(one.substr(0, one.find('=')), directive)) return true;
  }
  return false;
}

// Of an object only what is picked, or all but what is left out; else as it is.
Bytes trimmed(const Call& call, Bytes json, data::JsonSpan value) {
  std::string_view text = value.in(json.view());
  if ((call.pick.empty() && call.omit.empty()) || data::kind_of_json(text) != data::JsonKind::object) return json;
  http::Writer made(text.size() + 2);
  char before = '{';
  data::each_json_member(text, [&](std::string_view name, std::string_view member) {
    const std::vector<std::string>& listed = call.pick.empty() ? call.omit : call.pick;
    bool is_listed = std::ranges::any_of(listed, [&](const std::string& one) { return data::json_string_is(name, one); });
    if (is_listed == call.pick.empty()) return;
    made.text({&before, 1});
    made.text(member);
    before = ',';
  });
  made.text(before == '{' ? "{}" : "}");
  return made.finish();
}

}  // namespace

std::string_view name_of(Failure::Kind kind) {
  switch (kind) {
    case Failure::Kind::timeout: return "timeout";
    case Failure::Kind::unreachable: return "unreachable";
    case Failure::Kind::breaker_open: return "breaker_open";
    case Failure::Kind::status: return "status";
    case Failure::Kind::not_json: return "not_json";
    case Failure::Kind::too_large: return "too_large";
    case Failure::Kind::input: return "input";
  }
  return {};
}

Execution::Execution(Composition& composition, Request& request, const Asked& asked)
    : composition_(composition),
      request_(request),
      asked_(asked),
      around_(request.results),
      deadline_(request.deadline),
      outcomes_(composition.calls().size()) {
  if (deadline_ != never) deadline_ -= std::min(margin, (deadline_ - request.exchange.now()) / 2);
  if (composition.written().timeout) deadline_ = std::min(deadline_, request.exchange.now() + *composition.written().timeout);
}

void Execution::start_ready(Group<size_t>& running) {
  const std::vector<Call>& calls = composition_.calls();
  for (size_t i = 0; i < calls.size(); ++i) {
    Outcome& outcome = outcomes_[i];
    if (outcome.state != State::waiting || !calls[i].wanted) continue;
    if (!std::ranges::all_of(calls[i].needs, [&](size_t need) { return settled(need); })) continue;
    outcome.state = State::running;
    CHECK(running.add(&Execution::settle, this, i));
  }
}

Task<size_t> Execution::settle(Execution* self, size_t index) {
  const Call& call = self->composition_.calls()[index];
  Outcome& outcome = self->outcomes_[index];
  Instant begun = self->request_.exchange.now();
  if (call.when) {
    Knowing knowing(*self);
    std::optional<Input> said = pipeline::find_input(*call.when, knowing.request);
    if (!said || said->is_false()) {
      outcome.state = State::left_out;
      co_return index;
    }
  }
  outcome.failure = co_await self->attempt(index, call.target);
  if (outcome.failure)
    co_await self->stand_in(index);
  else
    outcome.state = State::good;
  outcome.elapsed = self->request_.exchange.now() - begun;
  co_return index;
}

Task<void> Execution::stand_in(size_t index) {
  const Call& call = composition_.calls()[index];
  Outcome& outcome = outcomes_[index];
  Instant now = request_.exchange.now();
  for (const Fallback& fallback : call.fallback) {
    bool done = false;
    if (fallback.omit) {
      outcome.state = State::left_out;
      outcome.stand_in = "omit";
      co_return;
    }
    if (fallback.value) {
      std::string json;
      {
        Knowing knowing(*this);
        fallback.value->fill(json, knowing.request);
      }
      done = !take(index, Bytes::copy(json));
      outcome.stand_in = "value";
    } else if (fallback.stale) {
      std::optional<StaleStore::Kept> kept = call.kept->find(outcome.question, *fallback.stale, now);
      done = !outcome.question.empty() && kept && !take(index, Bytes::copy(*kept->answer));
      if (done) outcome.age = std::max(Duration{0}, now - kept->at);  // another worker's clock may have been read later
      outcome.stand_in = "stale";
    } else if (now < deadline_) {
      std::optional<Failure> failure = co_await attempt(index, *fallback.target);
      done = !failure.has_value();
      outcome.stand_in = "service";
    }
    if (!done) continue;
    outcome.state = State::stood_in;
    co_return;
  }
  outcome.stand_in = {};
  outcome.state = State::lost;
}

// A value that comes from a call and is not there: a query without it could ask for everything.
std::optional<Failure> Execution::missing_input(size_t index) const {
  for (const config::CompositionOrder::Reference& reference : composition_.calls()[index].must_be_there) {
    if (outcomes_[reference.call].state == State::good || find(reference.operand)) continue;
    return input(data::in_words(reference.operand) + " is missing");
  }
  return std::nullopt;
}

Task<std::optional<Failure>> Execution::attempt(size_t index, const Target& target) {
  const Call& call = composition_.calls()[index];
  Instant now = request_.exchange.now();
  Instant deadline = std::min(deadline_, now + call.timeout);
  if (now >= deadline) co_return late();
  if (std::optional<Failure> missing = missing_input(index)) co_return missing;
  Fork fork(request_, target.method);
  fork.request.results = this;
  std::string json;
  if (target.rewrite) {
    if (std::optional<Response> refused = target.rewrite->change(fork.request)) co_return input(refused->fault->detail);
    if (target.body) {
      target.body->fill(json, fork.request);
      fork.request.body = http::Body(Bytes::copy(json));
      if (!fork.request.headers.contains(http::Name::content_type)) fork.request.headers.add(http::Name::content_type, "application/json");
    }
    fork.request.results = nullptr;
  }
  fork.request.deadline = deadline;
  Outcome& outcome = outcomes_[index];
  pipeline::Record::Call& line = fork.request.call;
  if (&target == &call.target) {
    line.part = call.name;
    line.part_of = composition_.name();
  }
  if (call.kept && &target == &call.target) outcome.question = question_of(fork.request, json);
  Task<std::optional<Failure>> asking = ask(index, target, fork);
  std::optional<std::optional<Failure>> failure = co_await before(deadline, asking);
  line.verdict = failure ? verdict_of(*failure) : Verdict::failed;
  if (line.degraded) request_.call.degraded = true;
  if (!failure) co_return late();
  if (!*failure && call.kept && &target == &call.target && !outcome.never_kept)
    call.kept->keep(outcome.question, outcome.json, request_.exchange.now());
  co_return std::move(*failure);
}

Task<std::optional<Failure>> Execution::ask(size_t index, const Target& target, Fork& fork) {
  Response response = co_await target.service->call(fork.request);
  if (response.fault && !target.rewrite) outcomes_[index].blamed = request_.exchange.record.failed_service;
  if (response.fault) co_return unreachable(*response.fault);
  if (response.status < 200 || response.status > 299)
    co_return Failure{Failure::Kind::status, Code::upstream_protocol, response.status, "it answered " + std::to_string(response.status)};
  std::optional<Failure> failure = co_await read(index, response);
  if (failure) co_return failure;
  keep_pieces(response, outcomes_[index]);
  co_return std::nullopt;
}

Task<std::optional<Failure>> Execution::read(size_t index, Response& response) {
  if (response.status == 204) co_return take(index, Bytes::literal("null"));
  size_t bytes_max = composition_.calls()[index].bytes_max;
  auto too_large = [&] {
    return Failure{Failure::Kind::too_large, Code::upstream_protocol, response.status, "its answer is larger than its limit"};
  };
  auto too_much = [&] {
    return Failure{Failure::Kind::too_large, Code::upstream_protocol, response.status,
                   "with the other answers it is more than limits.buffered"};
  };
  uint64_t announced = response.body.length().value_or(0);
  if (announced > bytes_max) co_return too_large();
  outcomes_[index].held.reset();  // what a failed attempt had
  pipeline::Held held(request_.exchange);
  if (!held.grow_to(announced)) co_return too_much();
  Bytes whole;
  std::optional<http::Writer> gathered;
  while (true) {
    Result<Bytes> piece = co_await response.body.read();
    if (!piece) {
      Failure failure = unreachable(piece.error());
      failure.status = response.status;
      co_return failure;
    }
    if (piece->empty()) break;
    if (gathered) {
      gathered->text(piece->view());
    } else if (whole.empty()) {
      whole = std::move(*piece);
    } else {
      gathered.emplace(std::max<size_t>(response.body.length().value_or(0), 2 * (whole.size() + piece->size())));
      gathered->text(whole.view());
      gathered->text(piece->view());
    }
    size_t so_far = gathered ? gathered->size() : whole.size();
    if (so_far > bytes_max) co_return too_large();
    if (!held.grow_to(so_far)) co_return too_much();
  }
  if (gathered) whole = gathered->finish();
  std::optional<Failure> failure = take(index, std::move(whole));
  if (failure) {
    failure->status = response.status;
  } else {
    held.shrink_to(outcomes_[index].json.size());
    outcomes_[index].held = std::move(held);
  }
  co_return failure;
}

// The result, if it is JSON.
std::optional<Failure> Execution::take(size_t index, Bytes json) {
  const Call& call = composition_.calls()[index];
  Outcome& outcome = outcomes_[index];
  constexpr std::string_view mark = "\xef\xbb\xbf";
  if (json.view().starts_with(mark)) json.remove_prefix(mark.size());  // in the middle of a text it would be none
  if (json.view().starts_with(mark))
    return Failure{Failure::Kind::not_json, Code::upstream_protocol, 0, "its answer is not JSON: two marks"};
  data::JsonLimits limits{.bytes = std::numeric_limits<uint32_t>::max()};  // the bound was looked at while it came
  outcome.found.assign(call.selection.size(), {});
  bool whole = call.pick.empty() && call.omit.empty();
  auto sliced = [&](std::string_view text, bool search) {
    return search && call.referred_to ? data::slice(text, limits, call.selection, outcome.found) : data::slice(text, limits);
  };
  std::expected<data::JsonSpan, data::JsonFault> value = sliced(json.view(), whole);
  if (!value)
    return Failure{Failure::Kind::not_json, Code::upstream_protocol, 0,
                   "its answer is not JSON: " + std::string(value.error().message) + " at byte " + std::to_string(value.error().at)};
  if (!whole) {
    json = trimmed(call, std::move(json), *value);
    if (call.referred_to) value = sliced(json.view(), true);
  }
  outcome.json = std::move(json);
  return std::nullopt;
}

void Execution::keep_pieces(const Response& response, Outcome& outcome) const {
  response.headers.for_each(http::Name::set_cookie, [&](std::string_view value) { outcome.cookies.emplace_back(value); });
  response.headers.for_each(http::Name::cache_control, [&](std::string_view value) {
    outcome.never_kept = outcome.never_kept || says(value, "no-store");
    outcome.private_answer = outcome.private_answer || says(value, "no-store") || says(value, "private");
  });
}

// What makes one answer another's: all that is asked, and who asks.
std::string Execution::question_of(const Request& asked, std::string_view body) {
  std::string question;
  auto add = [&](std::string_view text) { question.append(std::to_string(text.size())).append(1, ':').append(text); };
  add(asked.method_text());
  add(asked.host());
  add(asked.path_and_query());
  add(body);
  add(asked.exchange.identity.consumer);
  add(asked.exchange.identity.tenant);
  for (http::Headers::Field field : asked.headers) {
    using http::Name;
    static constexpr http::NameSet of_the_moment{Name::via,
                                                 Name::forwarded,
                                                 Name::x_forwarded_for,
                                                 Name::x_forwarded_host,
                                                 Name::x_forwarded_proto,
                                                 Name::x_forwarded_port,
                                                 Name::x_request_id,
                                                 Name::traceparent,
                                                 Name::tracestate,
                                                 Name::user_agent,
                                                 Name::max_forwards,
                                                 Name::cache_control,
                                                 Name::pragma,
                                                 Name::x_real_ip};
    if (of_the_moment.contains(field.id)) continue;
    add(field.name);
    add(field.value);
  }
  return question;
}

std::optional<Input> Execution::find(const data::Operand& operand) const {
  if (operand.root == data::Operand::Root::body) {
    if (around_ != nullptr) return around_->find(operand);
    return composition_.of_body() ? asked_.find(*composition_.of_body(), operand.path) : std::nullopt;
  }
  const std::vector<Call>& calls = composition_.calls();
  for (size_t i = 0; i < calls.size(); ++i) {
    if (calls[i].name != operand.name) continue;
    uint32_t node = calls[i].selection.find(operand.path);
    if (!has_value(i) || node == data::JsonSelection::none || !outcomes_[i].found[node].there()) return std::nullopt;
    std::string_view value = outcomes_[i].found[node].in(outcomes_[i].json.view());
    if (data::kind_of_json(value) == data::JsonKind::null) return std::nullopt;
    return Input{value, Input::Encoding::json};
  }
  return std::nullopt;
}

}  // namespace portloom::compose
