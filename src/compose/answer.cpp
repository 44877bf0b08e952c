// compose/answer.cpp
//
// The bytes of the answer (CONTRACT): results under their calls' names in the order written, as they came, and the gateway's own
// members behind them only when something has failed. The same outcomes give the same bytes.
#include <cstdio>
#include <memory>

#include "base/duration.h"
#include "compose/execution.h"
#include "data/json.h"
#include "http/writer.h"
#include "pipeline/exchange.h"

namespace portloom::compose {

using pipeline::Response;

namespace {

constexpr size_t copied_max = size_t{64} * 1024;  // up to here the answer is one block, and one send

// A large answer goes out piece by piece, without a copy.
class Pieces final : public http::BodySource {
 public:
  explicit Pieces(std::vector<Bytes> pieces) : pieces_(std::move(pieces)) {}
  [[clang::coro_wrapper]] Task<Result<Bytes>> read() override {
    while (next_ < pieces_.size() && pieces_[next_].empty()) ++next_;  // an empty one would be the end
    return ready(Result<Bytes>(next_ < pieces_.size() ? std::move(pieces_[next_++]) : Bytes{}));
  }

 private:
  std::vector<Bytes> pieces_;
  size_t next_ = 0;
};

http::Body body_of(std::vector<Bytes> pieces) {
  size_t size = 0;
  for (const Bytes& piece : pieces) size += piece.size();
  if (size > copied_max) return {std::make_unique<Pieces>(std::move(pieces)), size};
  http::Writer whole(size + 1);
  for (const Bytes& piece : pieces) whole.text(piece.view());
  return http::Body(whole.finish());
}

// "12.3"
std::string milliseconds(Duration duration) {
  char text[32];
  int size = std::snprintf(text, sizeof text, "%.1f", static_cast<double>(duration.count()) / 1e6);
  return {text, static_cast<size_t>(size)};
}

int64_t whole_seconds(Duration duration) { return std::chrono::duration_cast<std::chrono::seconds>(duration).count(); }

void append_name(std::string& names, std::string_view name) { names.append(names.empty() ? "" : ",").append(name); }

}  // namespace

bool Execution::is_degraded() const {
  for (const Outcome& outcome : outcomes_)
    if (outcome.failure) return true;
  return false;
}

// What logs, metrics and a problem will say. Of a composition inside another only the logs tell, by both names.
void Execution::note(bool lost_call) {
  pipeline::Record& record = request_.exchange.record;
  bool inner = around_ != nullptr;
  std::string names;
  for (size_t i = 0; i < outcomes_.size(); ++i) {
    if (!outcomes_[i].failure || (lost_call && outcomes_[i].state != State::lost)) continue;
    append_name(names, inner ? composition_.name() + "." + composition_.calls()[i].name : composition_.calls()[i].name);
  }
  if (lost_call && inner) return;  // a call of the outer one has failed, and it says so
  record.degraded = !lost_call;
  if (!lost_call && !record.failed_services.empty()) append_name(names, record.failed_services);
  record.failed_services = std::move(names);
}

Response Execution::refusal(size_t call) {
  const Call& lost = composition_.calls()[call];
  const Failure& failure = *outcomes_[call].failure;
  note(true);
  bool asked = lost.target.rewrite != nullptr && failure.kind != Failure::Kind::input;
  request_.exchange.record.failed_service = asked ? std::string_view(lost.service) : outcomes_[call].blamed;
  bool late = failure.kind == Failure::Kind::timeout;
  Response response = pipeline::fault_response(
      late ? 504 : 502, Error{failure.code, Side::upstream, Progress::head, "the call \"" + lost.name + "\" failed: " + failure.detail});
  response.headers.add(http::Name::cache_control, "no-store");
  return response;
}

std::string Execution::failures() const {
  std::string text;
  data::JsonWriter json(text);
  json.begin_array();
  for (size_t i = 0; i < outcomes_.size(); ++i) {
    const Outcome& outcome = outcomes_[i];
    if (!outcome.failure) continue;
    json.begin_object().member("call", std::string_view(composition_.calls()[i].name));
    json.member("service", std::string_view(composition_.calls()[i].service)).member("reason", name_of(outcome.failure->kind));
    if (outcome.failure->status != 0) json.member("status", outcome.failure->status);
    json.key("elapsed_ms").raw(milliseconds(outcome.elapsed));
    json.member("fallback", outcome.stand_in);
    if (outcome.age) json.member("age", whole_seconds(*outcome.age));
    json.end_object();
  }
  json.end_array();
  return text;
}

void Execution::add_fields(Response& response, bool degraded) const {
  using http::Name;
  response.headers.add(Name::content_type, "application/json");
  bool no_store = degraded;
  std::optional<Duration> oldest;
  std::string timing;
  for (size_t i = 0; i < outcomes_.size(); ++i) {
    const Outcome& outcome = outcomes_[i];
    no_store = no_store || outcome.private_answer || !outcome.cookies.empty();
    for (const std::string& cookie : outcome.cookies) response.headers.add(Name::set_cookie, cookie);
    if (outcome.age) oldest = std::max(oldest.value_or(Duration{}), *outcome.age);
    if (outcome.state == State::waiting || (outcome.state == State::left_out && !outcome.failure)) continue;
    timing += (timing.empty() ? "" : ", ") + composition_.calls()[i].name + ";dur=" + milliseconds(outcome.elapsed);
    if (outcome.failure) timing += ";desc=\"" + std::string(name_of(outcome.failure->kind)) + "\"";
  }
  if (no_store) response.headers.add(Name::cache_control, "no-store");
  if (oldest) response.headers.add(Name::age, std::to_string(whole_seconds(*oldest)));  // RFC 9111 §5.1
  if (composition_.written().answer.server_timing && !timing.empty()) response.headers.add("Server-Timing", timing);
}

std::vector<Bytes> Execution::pieces(bool degraded) const {
  const config::AnswerNames& names = composition_.written().answer;
  const std::vector<Call>& calls = composition_.calls();
  std::vector<Bytes> all;
  bool empty = true;
  if (composition_.body()) {
    Knowing knowing(*this);
    std::string text;
    composition_.body()->fill_open(text, knowing.request);
    empty = text == "{";
    all.push_back(Bytes::copy(text));
  } else {
    all.push_back(Bytes::literal("{"));
    for (size_t i = 0; i < calls.size(); ++i) {
      if (!has_value(i)) continue;
      if (!empty) all.push_back(Bytes::literal(","));
      empty = false;
      all.push_back(Bytes::literal(calls[i].key));  // the plan outlives the answer: the exchange pins it
      all.push_back(outcomes_[i].json);
    }
  }
  std::string end;
  if (degraded) {
    end = empty ? "" : ",";
    data::append_json_string(end, names.degraded);
    end += ":true,";
    data::append_json_string(end, names.failed_services);
    end += ":[";
    bool first = true;
    for (size_t i = 0; i < outcomes_.size(); ++i) {
      if (!outcomes_[i].failure) continue;
      if (!first) end += ',';
      first = false;
      data::append_json_string(end, calls[i].name);
    }
    end += ']';
    if (names.failures) end += ",\"failures\":" + failures();
  }
  all.push_back(Bytes::copy(end + "}"));
  return all;
}

Response Execution::answer() {
  bool degraded = is_degraded();
  if (degraded) note(false);
  if (degraded) request_.call.degraded = true;
  if (around_ == nullptr) request_.exchange.record.failed_service = {};  // a composition inside has failed, and another stood in
  Response response(200);
  add_fields(response, degraded);
  response.body = body_of(pieces(degraded));
  return response;
}

}  // namespace portloom::compose
