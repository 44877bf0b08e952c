// admin/services.cpp
//
// One table: path, verb, what is done. No answer is ever cached, none is taken for another type.
#include "admin/services.h"

#include "http/form.h"
#include "pipeline/problem.h"

namespace portloom::admin {
namespace {

using pipeline::Request;
using pipeline::Response;

constexpr std::string_view plain = "text/plain; charset=utf-8";

Response page(uint16_t status, std::string_view type, std::string_view text) {
  Response response(status);
  response.headers.add(http::Name::content_type, type);
  response.headers.add(http::Name::cache_control, "no-store");
  response.headers.add("X-Content-Type-Options", "nosniff");
  response.body = http::Body(Bytes::copy(text));
  return response;
}

Response answer_health(Control&, const Request&) { return page(200, plain, "ok\n"); }

Response answer_ready(Control& control, const Request&) {
  if (control.ready()) return page(200, plain, "ok\n");
  return page(503, plain, control.not_ready_reason() + "\n");
}

Response answer_metrics(Control& control, const Request&) {
  std::string text;
  control.write_metrics(text);
  return page(200, "text/plain; version=0.0.4; charset=utf-8", text);
}

// The value of a query parameter; empty: it is not there.
std::string parameter(const Request& request, std::string_view wanted) {
  std::string found;
  http::for_each_parameter(request.query(), [&](std::string_view name, std::string_view value) {
    if (name == wanted) found = http::form_decode(value);
    return true;
  });
  return found;
}

Response answer_status(Control& control, const Request& request) {
  std::string format = parameter(request, "format");
  if (format == "text") {
    std::string text;
    control.write_status_text(text);
    return page(200, plain, text);
  }
  if (!format.empty() && format != "json") return pipeline::deny(Code::bad_request, Side::client, "say format=json or format=text");
  std::string json;
  control.write_status(json);
  json += '\n';
  return page(200, "application/json", json);
}

Response begin_drain(Control& control, const Request&) {
  control.drain();
  return page(202, plain, "draining\n");
}

Response load_again(Control& control, const Request&) {
  Result<void> loaded = control.reload();
  if (loaded) return page(200, plain, "reloaded\n");
  return pipeline::fault_response(422, std::move(loaded.error()));
}

Response answer_explain(Control& control, const Request& request) {
  Result<std::string> said = control.explain(request.query());
  if (!said) return pipeline::deny(std::move(said.error()));
  return page(200, said->starts_with('{') ? "application/json" : plain, *said);
}

constexpr std::string_view breakers = "/breakers/";  // and a service's name

Response hold_breaker(Control& control, const Request& request) {
  std::string state = parameter(request, "state");
  Result<void> done = control.hold_breaker(request.path().substr(breakers.size()), state);
  if (!done) return pipeline::deny(std::move(done.error()));
  return page(200, plain, state + "\n");
}

struct Entry {
  std::string_view path;  // one that ends in a slash: whatever is below it
  bool changes;           // POST; else GET
  bool probe;             // also on the probes' door
  Response (*answer)(Control&, const Request&);
};
constexpr Entry entries[] = {
    {"/healthz", false, true, answer_health}, {"/readyz", false, true, answer_ready},     {"/metrics", false, true, answer_metrics},
    {"/status", false, false, answer_status}, {"/explain", false, false, answer_explain}, {"/drain", true, false, begin_drain},
    {"/reload", true, false, load_again},     {breakers, true, false, hold_breaker},
};

bool is_for(const Entry& entry, std::string_view path) {
  return entry.path.ends_with('/') ? path.starts_with(entry.path) : path == entry.path;
}

Response answer(Control& control, const Request& request, bool probes_only) {
  for (const Entry& entry : entries) {
    if (!is_for(entry, request.path()) || (probes_only && !entry.probe)) continue;
    http::Method method = request.method();
    bool allowed = entry.changes ? method == http::Method::POST : method == http::Method::GET || method == http::Method::HEAD;
    if (!allowed) {
      Response response = pipeline::deny(Code::method_not_allowed, Side::client);
      response.headers.add(http::Name::allow, entry.changes ? "POST" : "GET, HEAD");
      return response;
    }
    // A page in somebody's browser can send a POST here without being asked (CSRF); it cannot leave out Origin (Fetch standard).
    if (entry.changes && request.headers.contains(http::Name::origin))
      return pipeline::deny(Code::forbidden, Side::client, "a request from a web page is not taken");
    return entry.answer(control, request);
  }
  return pipeline::deny(Code::not_found, Side::client, "no such page");
}

}  // namespace

Task<Response> ProbesService::call(Request& request) { return ready(answer(control_, request, true)); }
Task<Response> AdminService::call(Request& request) { return ready(answer(control_, request, false)); }

}  // namespace portloom::admin
