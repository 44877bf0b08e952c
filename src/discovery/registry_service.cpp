// discovery/registry_service.cpp
//
// One function per verb. Whoever writes shows the token and, for an instance that is there, its lease.
#include "discovery/registry_service.h"

#include "base/text.h"
#include "http/form.h"
#include "pipeline/exchange.h"
#include "pipeline/problem.h"

namespace portloom::discovery {

using pipeline::Request;
using pipeline::Response;

namespace {

constexpr size_t body_max = 16 * 1024;
constexpr std::string_view lease_field = "Lease";

Response json_page(uint16_t status, std::string_view text) {
  Response response(status);
  response.headers.add(http::Name::content_type, "application/json");
  response.headers.add(http::Name::cache_control, "no-store");
  response.body = http::Body(Bytes::copy(text));
  return response;
}

Response bad(std::string detail) { return pipeline::deny(Code::bad_request, Side::client, std::move(detail)); }

Response answer_of(const Registry::Refused& refused) {
  switch (refused.why) {
    case Registry::Refusal::invalid: return bad(refused.detail);
    case Registry::Refusal::unknown: return pipeline::deny(Code::not_found, Side::client, refused.detail);
    case Registry::Refusal::not_yours: return pipeline::deny(Code::forbidden, Side::client, refused.detail);
    case Registry::Refusal::taken: return pipeline::fault_response(409, {Code::forbidden, Side::client, Progress::nothing, refused.detail});
    case Registry::Refusal::full: break;
  }
  return pipeline::deny(Code::overloaded, Side::gateway, refused.detail);
}

Response only(std::string_view methods) {
  Response response = pipeline::deny(Code::method_not_allowed, Side::client);
  response.headers.add(http::Name::allow, methods);
  return response;
}

// What a watcher asks for: `version=N` and `wait=30s`. Absent version: 0; absent wait: none.
struct Asked {
  uint64_t version = 0;
  Duration wait{0};
  std::string fault;
};

Asked asked_of(std::string_view query) {
  Asked asked;
  if (std::optional<std::string_view> text = http::find_parameter(query, "version")) {
    std::optional<uint64_t> version = parse_number(*text);
    if (!version) asked.fault = "version: expected a number, as an answer before said it";
    asked.version = version.value_or(0);
  }
  if (std::optional<std::string_view> text = http::find_parameter(query, "wait")) {
    std::optional<Duration> wait = parse_duration(*text);
    if (!wait || *wait > RegistryService::wait_max)
      asked.fault = "wait: expected a duration with its unit, " + format_duration(RegistryService::wait_max) + " at most";
    asked.wait = wait.value_or(Duration{0});
  }
  return asked;
}

Response too_many_watchers() { return pipeline::deny(Code::overloaded, Side::gateway, "too many wait for changes already"); }

// A body of an event stream: what has changed since, then what changes. Pulled: a slow reader gets the latest, not every step.
class Events final : public http::BodySource {
 public:
  Events(LocalRegistry& registry, std::unique_ptr<LocalRegistry::Watch> watch, std::string service, uint64_t version)
      : registry_(registry), watch_(std::move(watch)), service_(std::move(service)), version_(version) {}
  Task<Result<Bytes>> read() override {
    while (true) {
      watch_->changed.reset();
      std::string text = next();
      if (!text.empty()) co_return Bytes::copy(text);
      bool changed = co_await watch_->changed.wait_until(Agenda::current().now() + RegistryService::comment_every);
      if (!changed) co_return Bytes::literal(":\n\n");
    }
  }

 private:
  std::string next() {
    std::string text;
    Registry& state = registry_.state();
    if (version_ != 0 && !state.knows(version_)) {
      text = "event: reset\ndata: {}\n\n";
      version_ = 0;
    }
    auto add = [&](const Registry::Service& service) {
      if (text.size() > RegistryService::page_bytes) return false;
      version_ = service.version;
      if (!service_.empty() && service.name != service_) return true;
      text += "id: " + std::to_string(service.version) + "\nevent: service\ndata: {" + registry_.text_of(service) + "}\n\n";
      return true;
    };
    if (service_.empty()) {
      state.each_since(version_, add);
    } else if (const Registry::Service* one = state.find(service_); one != nullptr && one->version > version_) {
      add(*one);
    }
    return text;
  }

  LocalRegistry& registry_;
  std::unique_ptr<LocalRegistry::Watch> watch_;
  std::string service_;
  uint64_t version_;
};

}  // namespace

// /v1/services, /v1/services/NAME, /v1/services/NAME/ID, /v1/services/NAME/ID/heartbeat or drain, /v1/changes.
struct RegistryService::Place {
  std::string_view service, id, verb;
  bool changes = false;
  bool good = false;

  explicit Place(std::string_view path) {
    if (path == "/v1/changes") {
      changes = good = true;
      return;
    }
    if (path == "/v1/services") good = true;
    if (!path.starts_with("/v1/services/")) return;
    path.remove_prefix(13);
    for (std::string_view* part : {&service, &id, &verb}) {
      *part = path.substr(0, path.find('/'));
      if (part->empty()) return;
      path.remove_prefix(part->size());
      good = path.empty();
      if (good) return;
      path.remove_prefix(1);
    }
  }
};

Task<Response> RegistryService::call(Request& request) {
  Place place(request.path());
  if (!place.good) co_return pipeline::deny(Code::not_found, Side::client, "no such page");
  http::Method method = request.method();
  bool reads = method == http::Method::GET || method == http::Method::HEAD;
  if (!reads) {
    // A page in somebody's browser can send this without being asked (CSRF); it cannot leave out Origin (Fetch standard).
    if (request.headers.contains(http::Name::origin))
      co_return pipeline::deny(Code::forbidden, Side::client, "a request from a web page is not taken");
    std::string_view shown = request.headers.find(http::Name::authorization).value_or(std::string_view());
    if (!registry_.token().empty() && !same_secret(shown, "Bearer " + registry_.token())) {
      Response refused = pipeline::deny(Code::unauthenticated, Side::client, "writing takes the registry's token");
      refused.headers.add("WWW-Authenticate", "Bearer");
      co_return refused;
    }
    if (method == http::Method::PUT && !place.id.empty() && place.verb.empty()) co_return co_await enter(request, place.service, place.id);
    co_return answer_now(request, place);
  }
  if (!place.verb.empty()) co_return only("POST");
  if (place.changes) co_return co_await changes(request);
  if (place.service.empty()) co_return summary();
  if (place.id.empty()) co_return co_await list(request, place.service);
  co_return one(place);
}

Response RegistryService::one(const Place& place) const {
  const Registry::Service* service = registry_.state().find(place.service);
  if (service != nullptr) {
    if (auto entry = service->entries.find(place.id); entry != service->entries.end()) {
      std::string text;
      data::JsonWriter json(text);
      write_instance(json, entry->second.instance);
      return json_page(200, text + "\n");
    }
  }
  return pipeline::deny(Code::not_found, Side::client, "no such instance");
}

Response RegistryService::answer_now(Request& request, const Place& place) {
  std::string_view lease = request.headers.find(lease_field).value_or(std::string_view());
  Instant now = request.exchange.now();
  Registry& state = registry_.state();
  bool removes = request.method() == http::Method::DELETE && place.verb.empty();
  bool posts = request.method() == http::Method::POST;
  if (place.id.empty()) return only("GET, HEAD");
  if (place.verb.empty() && !removes) return only("GET, HEAD, PUT, DELETE");
  if (!place.verb.empty() && place.verb != "heartbeat" && place.verb != "drain")
    return pipeline::deny(Code::not_found, Side::client, "no such page");
  if (!place.verb.empty() && !posts) return only("POST");
  if (place.verb == "heartbeat") {
    Registry::Outcome<Duration> ttl = state.beat(place.service, place.id, lease, now);
    if (!ttl) return answer_of(ttl.error());
    return Response(204);
  }
  Registry::Outcome<void> done =
      removes ? state.leave(place.service, place.id, lease, now) : state.drain(place.service, place.id, lease, now);
  registry_.stir();
  if (!done) return answer_of(done.error());
  return Response(204);
}

Task<Response> RegistryService::enter(Request& request, std::string_view service, std::string_view id) {
  std::string text;
  while (true) {
    Result<Bytes> piece = co_await request.body.read();
    if (!piece) co_return pipeline::deny(std::move(piece.error()));
    if (piece->empty()) break;
    text += piece->view();
    if (text.size() > body_max) co_return pipeline::deny(Code::body_too_large, Side::client, "a registration has 16 KiB at most");
  }
  std::expected<Registration, std::string> read = read_registration(text);
  if (!read) co_return bad(std::move(read.error()));
  Instance instance = std::move(read->instance);
  if (!instance.id.empty() && instance.id != id) co_return bad("\"id\" is not the path's");
  instance.id = id;
  if (!read->has_address) {
    if (request.exchange.peer.address.is_unix()) co_return bad("\"address\" is missing");
    instance.address = request.exchange.peer.address.with_port(instance.address.port());
  }
  std::string_view shown = request.headers.find(lease_field).value_or(std::string_view());
  Registry::Outcome<Registry::Lease> lease =
      registry_.state().enter(service, std::move(instance), read->ttl, shown, request.exchange.now());
  registry_.stir();
  if (!lease) co_return answer_of(lease.error());
  std::string answer;
  data::JsonWriter json(answer);
  json.begin_object().member("service", service).member("id", id).member("lease", lease->token);
  json.member("ttl", format_duration(lease->ttl)).end_object();
  co_return json_page(lease->fresh ? 201 : 200, answer + "\n");
}

// Every service with how many there are; the instances are at its own page.
Response RegistryService::summary() const {
  std::string text;
  data::JsonWriter json(text);
  json.begin_object().member("version", registry_.state().version()).key("services").begin_object();
  registry_.state().each_since(0, [&json](const Registry::Service& service) {
    if (service.entries.empty()) return true;
    size_t draining = 0;
    for (const auto& [id, entry] : service.entries) draining += entry.instance.draining ? 1 : 0;
    json.key(service.name).begin_object().member("instances", service.entries.size()).member("draining", draining);
    json.member("version", service.version).end_object();
    return true;
  });
  json.end_object().end_object();
  return json_page(200, text + "\n");
}

Task<Response> RegistryService::list(Request& request, std::string_view name) {
  if (request.headers.find(http::Name::accept) == "text/event-stream") co_return stream(request, name);
  Asked asked = asked_of(request.query());
  if (!asked.fault.empty()) co_return bad(std::move(asked.fault));
  Registry& state = registry_.state();
  auto version = [&state, name] {
    const Registry::Service* service = state.find(name);
    return service == nullptr ? 0 : service->version;
  };
  if (asked.wait > Duration{} && version() == asked.version) {
    std::unique_ptr<LocalRegistry::Watch> watch = registry_.watch(name);
    if (watch == nullptr) co_return too_many_watchers();
    Instant end = request.exchange.now() + asked.wait;
    while (version() == asked.version) {
      bool changed = co_await watch->changed.wait_until(end);
      if (!changed) break;
      watch->changed.reset();
    }
  }
  const Registry::Service* service = state.find(name);
  std::string text = "{\"service\":";
  data::append_json_string(text, name);
  text += ",\"version\":" + std::to_string(version()) + ",\"instances\":";
  if (service == nullptr) {
    text += "[]";
  } else {
    const std::string& known = registry_.text_of(*service);
    text.append(known, known.find(':') + 1);
  }
  co_return json_page(200, text + "}\n");
}

// {"version":N,"more":false,"settling":false,"reset":true,"services":{...}}: what was told after the version that the watcher has.
Task<Response> RegistryService::changes(Request& request) {
  if (request.headers.find(http::Name::accept) == "text/event-stream") co_return stream(request, {});
  Asked asked = asked_of(request.query());
  if (!asked.fault.empty()) co_return bad(std::move(asked.fault));
  Registry& state = registry_.state();
  if (asked.wait > Duration{} && state.version() == asked.version) {
    std::unique_ptr<LocalRegistry::Watch> watch = registry_.watch({});
    if (watch == nullptr) co_return too_many_watchers();
    co_await watch->changed.wait_until(request.exchange.now() + asked.wait);
  }
  bool reset = !state.knows(asked.version);
  uint64_t version = reset ? 0 : asked.version;
  bool more = false;
  std::string services;
  state.each_since(version, [&](const Registry::Service& service) {
    if (services.size() > page_bytes) {
      more = true;
      return false;
    }
    if (!services.empty()) services += ',';
    services += registry_.text_of(service);
    version = service.version;
    return true;
  });
  if (!more) version = state.version();
  std::string text = "{\"version\":" + std::to_string(version) + ",\"more\":" + (more ? "true" : "false") +
                     ",\"settling\":" + (registry_.settling(request.exchange.now()) ? "true" : "false") +
                     ",\"reset\":" + (reset ? "true" : "false") + ",\"services\":{" + services + "}}\n";
  co_return json_page(200, text);
}

Response RegistryService::stream(const Request& request, std::string_view service) {
  std::unique_ptr<LocalRegistry::Watch> watch = registry_.watch(service);
  if (watch == nullptr) return too_many_watchers();
  uint64_t version = parse_number(request.headers.find("Last-Event-ID").value_or(std::string_view())).value_or(0);
  Response response(200);
  response.headers.add(http::Name::content_type, "text/event-stream");
  response.headers.add(http::Name::cache_control, "no-store");
  response.body = http::Body(std::make_unique<Events>(registry_, std::move(watch), std::string(service), version), std::nullopt);
  return response;
}

}  // namespace portloom::discovery
