// upstream/breaker.cpp
//
// A request is followed from where it is let through to the head of its answer, or to where it is dropped without one.
#include "upstream/breaker.h"

#include <algorithm>

#include "data/json.h"
#include "pipeline/exchange.h"
#include "pipeline/problem.h"
#include "upstream/sign.h"

namespace portloom::upstream {

using pipeline::Next;
using pipeline::Request;
using pipeline::Response;
using Outcome = Circuit::Outcome;

Outcome Breaker::outcome_of(const Response& response, Duration took, const config::Breaker& rules) {
  Outcome answered = rules.slow && took >= *rules.slow ? Outcome::slow : Outcome::good;
  switch (sign_of(response)) {
    case Sign::nothing: return Outcome::nothing;
    case Sign::good: return answered;
    case Sign::pushed_back: return rules.count_429 ? Outcome::failed : response.fault ? Outcome::nothing : answered;
    case Sign::failed:
    case Sign::gateway_error: return Outcome::failed;
  }
  return Outcome::nothing;
}

// One request that was let through.
class Breaker::Watch {
 public:
  Watch(Breaker& breaker, Request& request, const Circuit::Ticket& ticket)
      : breaker_(breaker), request_(request), ticket_(ticket), begun_(request.exchange.now()) {}
  Watch(const Watch&) = delete;
  ~Watch() {
    if (!done_) leave(given_up(), request_.exchange.now());
  }
  void answered(const Response& response) {
    Instant now = request_.exchange.now();
    leave(outcome_of(response, now - begun_, breaker_.circuit_.rules()), now);
  }

 private:
  Outcome given_up() const {
    Instant now = request_.exchange.now();
    if (sign_of_silence(request_, now) != Sign::nothing) return Outcome::failed;
    if (now < request_.deadline) return Outcome::nothing;
    const config::Breaker& rules = breaker_.circuit_.rules();
    return rules.slow && now - begun_ >= *rules.slow ? Outcome::slow : Outcome::nothing;
  }
  void leave(Outcome outcome, Instant now) {
    done_ = true;
    breaker_.circuit_.leave(*breaker_.seat_, ticket_, outcome, now);
    // What came of this attempt is told, and not that another one met an open breaker.
    if (outcome != Outcome::good && (ticket_.way == Circuit::Ticket::Way::probe || !breaker_.circuit_.is_closed()))
      request_.repeatable = false;
  }

  Breaker& breaker_;
  Request& request_;
  Circuit::Ticket ticket_;
  Instant begun_;
  bool done_ = false;
};

Task<Response> Breaker::call(Request& request, Next next) {
  Circuit::Entry entry = circuit_.enter(*seat_, request.exchange.now());
  if (!entry.admitted) return ready(refuse(request, entry.wait));
  return watched(request, next, entry.ticket);
}

Task<Response> Breaker::watched(Request& request, Next next, Circuit::Ticket ticket) {
  Watch watch(*this, request, ticket);
  Response response = co_await next(request);
  watch.answered(response);
  co_return response;
}

Response Breaker::refuse(Request& request, Duration wait) const {
  pipeline::Record& record = request.exchange.record;
  request.call.service = service_;
  request.repeatable = false;
  record.policy = "breaker";
  record.config = config_;
  Response response = pipeline::deny(Code::breaker_open, Side::upstream,
                                     "the breaker of " + service_ + " is open: " + in_words(circuit_.reason(), circuit_.rules()));
  auto seconds = std::max<int64_t>(1, (wait - 1ms + 1s - Duration(1)) / 1s);  // the circuit's word has milliseconds, rounded up
  response.headers.set(http::Name::retry_after, std::to_string(seconds));
  return response;
}

// ---- all of them

std::shared_ptr<Circuit> Breakers::keep(const std::string& service, const config::Breaker& rules) {
  auto written = in_force_.find(service);
  if (written != in_force_.end() && written->second->rules() == rules) return written->second;
  std::weak_ptr<Circuit>& known = known_[service];
  std::shared_ptr<Circuit> circuit = known.lock();
  if (circuit == nullptr || !(circuit->rules() == rules)) known = circuit = std::make_shared<Circuit>(rules);
  return circuit;
}

void Breakers::put_in_force(CircuitsByService chosen) {
  in_force_ = std::move(chosen);
  std::erase_if(known_, [](const auto& entry) { return entry.second.expired(); });
  std::erase_if(seen_, [this](const auto& entry) {
    return std::ranges::none_of(in_force_, [&](const auto& one) { return one.second.get() == entry.first; });
  });
}

void Breakers::start(std::function<void(std::string)> tell) {
  tell_ = std::move(tell);
  scope_.spawn(watch, this);
}

Task<void> Breakers::watch(Breakers* self) {
  while (true) {
    self->look(Agenda::current().now());
    co_await sleep_for(watch_every);
  }
}

void Breakers::look(Instant now) {
  for (const auto& [service, circuit] : in_force_) {
    circuit->look(now);
    uint64_t& seen = seen_[circuit.get()];
    uint64_t before = seen;
    std::vector<Circuit::Transition> news = circuit->news(seen);
    if (seen - before > news.size())
      tell_("portloom: breaker of " + service + ": " + std::to_string(seen - before - news.size()) + " changes went by");
    for (const Circuit::Transition& one : news) {
      std::string line = "portloom: breaker of " + service + " is " + std::string(name_of(one.to)) + ": ";
      line += in_words(one.reason, circuit->rules());
      if (one.open_for > Duration{}) line += "; for " + format_duration(one.open_for);
      tell_(std::move(line));
    }
  }
}

Result<void> Breakers::hold(std::string_view service, Circuit::Hold what, Instant now) {
  auto circuit = in_force_.find(service);
  if (circuit != in_force_.end()) {
    circuit->second->hold(what, now);
    return {};
  }
  std::string names;
  for (const auto& [name, ignored] : in_force_) names += (names.empty() ? "" : ", ") + name;
  return failure(Code::not_found, Side::client, "there is no breaker of that name" + (names.empty() ? "" : "; there are: " + names));
}

void Breakers::write_status(std::string& text) const {
  Instant now = Agenda::current().now();
  data::JsonWriter json(text);
  json.begin_object();
  for (const auto& [service, circuit] : in_force_) {
    Circuit::View view = circuit->view(now);
    json.key(service).begin_object().member("state", name_of(view.state));
    json.member("reason", std::string_view(in_words(view.reason, circuit->rules())));
    if (view.held) json.member("held", true);
    if (view.ramping) json.member("ramping", true);
    if (view.since != Instant{}) json.member("for_s", static_cast<uint64_t>((now - view.since) / 1s));
    if (view.until > now) json.member("probes_in_s", static_cast<uint64_t>((view.until - now - 1ms + 1s - Duration(1)) / 1s));
    if (view.state == Circuit::State::closed)
      json.key("window")
          .begin_object()
          .member("requests", view.requests)
          .member("failed", view.failed)
          .member("slow", view.slow)
          .end_object()
          .member("failures_in_a_row", view.failures_in_a_row);
    json.member("opened", view.transitions[static_cast<size_t>(Circuit::State::open)]).member("refused", view.refused).end_object();
  }
  json.end_object();
}

void Breakers::write_metrics(std::string& page) const {
  if (in_force_.empty()) return;
  Instant now = Agenda::current().now();
  auto family = [&page](std::string_view name, std::string_view type, std::string_view help) {
    page.append("# HELP ").append(name).append(" ").append(help).append("\n# TYPE ").append(name).append(" ").append(type).append("\n");
  };
  std::vector<std::pair<std::string, Circuit::View>> views;
  for (const auto& [service, circuit] : in_force_) views.emplace_back("{service=\"" + service + "\"", circuit->view(now));
  family("portloom_breaker_state", "gauge", "Circuit breaker of a service: 0 closed, 1 half-open, 2 open.");
  for (const auto& [labels, view] : views)
    page += "portloom_breaker_state" + labels + ",endpoint=\"\"} " + std::to_string(static_cast<int>(view.state)) + "\n";
  family("portloom_breaker_transitions_total", "counter", "Changes of a circuit breaker, by the state that they led to.");
  for (const auto& [labels, view] : views)
    for (Circuit::State to : {Circuit::State::closed, Circuit::State::half_open, Circuit::State::open})
      page += "portloom_breaker_transitions_total" + labels + ",to=\"" + std::string(name_of(to)) + "\"} " +
              std::to_string(view.transitions[static_cast<size_t>(to)]) + "\n";
  family("portloom_breaker_refused_total", "counter", "Requests that were refused because a circuit breaker was open.");
  for (const auto& [labels, view] : views) page += "portloom_breaker_refused_total" + labels + "} " + std::to_string(view.refused) + "\n";
}

}  // namespace portloom::upstream
