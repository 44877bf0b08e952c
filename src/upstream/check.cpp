// upstream/check.cpp
//
// A check makes a connection of its own, as a client would that comes for the first time. Its answer is never passed on.
#include "upstream/check.h"

#include <algorithm>

#include "async/race.h"
#include "base/text.h"
#include "http/client_connection.h"
#include "upstream/dial.h"
#include "upstream/http2_pool.h"

namespace portloom::upstream {

namespace {

constexpr size_t grpc_answer_max = 4096;

// A PROXY header that speaks for nobody: the connection is our own (LOCAL).
std::string header_for_nobody(const CheckSettings& settings) {
  if (!settings.proxy_header) return {};
  if (*settings.proxy_header == io::ProxyVersion::v1) return "PROXY UNKNOWN\r\n";
  return std::string("\r\n\r\n\0\r\nQUIT\n\x20\0\0\0", 16);
}

std::string says(const Error& error) { return error.detail.empty() ? std::string(name_of(error.code)) : error.detail; }

std::string of_status(uint16_t status) { return status >= 200 && status <= 299 ? std::string() : "it answered " + std::to_string(status); }

// HealthCheckRequest{service = 1} in a frame of its own.
std::string grpc_question(std::string_view service) {
  std::string message;
  if (!service.empty()) message.append(1, '\x0a').append(1, static_cast<char>(service.size())).append(service);
  std::string framed(5, '\0');
  framed[4] = static_cast<char>(message.size());
  return framed + message;
}

// The enum at field 1 of a HealthCheckResponse; 0 is UNKNOWN. Nothing: it is none.
std::optional<uint64_t> serving_status(std::string_view framed) {
  if (framed.size() < 5 || framed[0] != 0 || static_cast<unsigned char>(framed[4]) != framed.size() - 5) return std::nullopt;
  std::string_view message = framed.substr(5);
  if (message.empty()) return 0;
  if (message.size() != 2 || message[0] != '\x08') return std::nullopt;
  return static_cast<unsigned char>(message[1]);
}

// What is wrong with the answer of grpc.health.v1; empty: nothing.
Task<std::string> of_grpc(http::Response& answer) {
  if (answer.status != 200) co_return of_status(answer.status);
  std::string framed;
  while (true) {
    Result<Bytes> piece = co_await answer.body.read();
    if (!piece) co_return says(piece.error());
    if (piece->empty()) break;
    framed.append(piece->view());
    if (framed.size() > grpc_answer_max) co_return "its answer is too long";
  }
  const http::Headers* trailers = answer.body.trailers();
  std::string_view status = answer.headers.find(http::Name::grpc_status).value_or("");
  if (trailers != nullptr && status.empty()) status = trailers->find(http::Name::grpc_status).value_or("");
  if (status != "0") co_return "gRPC status " + std::string(status.empty() ? "missing" : status);
  std::optional<uint64_t> serving = serving_status(framed);
  if (!serving) co_return "its answer is no HealthCheckResponse";
  constexpr std::array names = {"UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"};
  if (*serving == 1) co_return std::string();
  co_return std::string("it says ") + (*serving < names.size() ? names[*serving] : "something unknown");
}

http::Request question_of(const CheckSettings& settings, const Instance& instance) {
  bool grpc = settings.kind() == config::CheckKind::grpc;
  http::Request request(grpc ? "POST" : "GET", grpc ? "/grpc.health.v1.Health/Check" : settings.rules.path);
  std::string own = instance.host.empty() ? std::string("localhost") : instance.host;
  request.headers.add(http::Name::host, settings.rules.host.empty() ? own : settings.rules.host);
  request.headers.add(http::Name::user_agent, "portloom-health");
  if (!grpc) return request;
  request.headers.add(http::Name::content_type, "application/grpc");
  request.te_trailers = true;
  request.body = http::Body(Bytes::copy(grpc_question(settings.rules.grpc_service)));
  return request;
}

Task<std::string> ask_http1(const CheckSettings& settings, const Dialer& dialer, http::Request& request, Instant deadline) {
  Result<io::Socket> socket = co_await dialer.dial(deadline, header_for_nobody(settings));
  if (!socket) co_return says(socket.error());
  http::ClientSettings client{.heads = settings.heads, .single_use = true};
  http::ClientConnection connection(std::move(*socket), client);
  Result<http::Response> answer = co_await connection.exchange(request, {}, deadline);
  co_return answer ? of_status(answer->status) : says(answer.error());
}

Task<std::string> ask_http2(const CheckSettings& settings, const Dialer& dialer, http::Request& request, Instant deadline) {
  Http2Pool::Settings made{.connect_timeout = settings.rules.timeout, .connections_max = 1, .client = {.heads = settings.heads}};
  Http2Pool pool(dialer, made);
  Result<http::Http2ClientConnection*> connection = co_await pool.wait();
  if (!connection) co_return says(connection.error());
  Result<http::Response> answer = co_await (*connection)->exchange(request, deadline);
  if (!answer) co_return says(answer.error());
  if (settings.kind() != config::CheckKind::grpc) co_return of_status(answer->status);
  co_return co_await of_grpc(*answer);
}

Task<std::string> attempt(const CheckSettings& settings, const Instance& instance, Instant deadline) {
  io::Address address = settings.rules.port ? instance.address.with_port(*settings.rules.port) : instance.address;
  bool http2 = settings.kind() == config::CheckKind::grpc || settings.protocol != config::Protocol::http1;
  Dialer dialer(Target(address, instance.host), settings.tls, http2 && settings.tls ? "h2" : "");
  if (settings.kind() == config::CheckKind::tcp) {
    Result<io::Socket> socket = co_await dialer.dial(deadline, header_for_nobody(settings));
    co_return socket ? std::string() : says(socket.error());
  }
  http::Request request = question_of(settings, instance);
  if (http2) co_return co_await ask_http2(settings, dialer, request, deadline);
  co_return co_await ask_http1(settings, dialer, request, deadline);
}

}  // namespace

config::CheckKind CheckSettings::kind() const {
  if (rules.kind) return *rules.kind;
  bool grpc = protocol == config::Protocol::grpc && rules.path == config::HealthCheck().path;
  return grpc ? config::CheckKind::grpc : config::CheckKind::http;
}

Task<std::string> check(const CheckSettings& settings, const Instance& instance) {
  Instant deadline = Agenda::current().now() + settings.rules.timeout;
  Task<std::string> asking = attempt(settings, instance, deadline);
  std::optional<std::string> wrong = co_await before(deadline, asking);
  co_return wrong ? std::move(*wrong) : "no answer in " + format_duration(settings.rules.timeout);
}

void Checks::put_in_force(std::map<std::string, Service> chosen) {
  for (auto& [name, service] : chosen) {
    std::unique_ptr<Entry>& entry = entries_[name];
    bool same = entry != nullptr && entry->service.facts == service.facts && entry->service.published == service.published &&
                entry->service.health == service.health;
    if (same) continue;
    entry = std::make_unique<Entry>();
    entry->service = std::move(service);
    if (started_) follow(*entry);
  }
  std::erase_if(entries_, [&](const auto& entry) { return !chosen.contains(entry.first); });
}

void Checks::start() {
  started_ = true;
  scope_.spawn(watch, this);
}

void Checks::stop() {
  scope_.cancel();
  entries_.clear();
}

size_t Checks::running() const {
  size_t sum = 0;
  for (const auto& [name, entry] : entries_) sum += entry->running.size();
  return sum;
}

Task<void> Checks::watch(Checks* self) {
  while (true) {
    for (auto& [name, entry] : self->entries_) self->follow(*entry);
    co_await sleep_for(watch_every);
  }
}

// Instances that stay go on being checked.
void Checks::follow(Entry& entry) {
  if (entry.version == entry.service.published->version()) return;
  entry.version = entry.service.published->version();
  std::shared_ptr<const Instances> instances = entry.service.published->get();
  std::map<std::string, std::unique_ptr<Running>> before = std::exchange(entry.running, {});
  for (const Instance& instance : instances != nullptr ? *instances : Instances()) {
    std::string key = key_of(instance);
    auto known = before.find(key);
    if (known != before.end()) {
      entry.running[key] = std::move(known->second);
      before.erase(known);
      continue;
    }
    auto made = std::make_unique<Running>(entry.service.settings, instance, entry.service.health, random_.next());
    made->scope.spawn(run, made.get());
    entry.running[key] = std::move(made);
  }
}

Task<void> Checks::run(Running* self) {
  const config::HealthCheck& rules = self->settings.rules;
  auto part_of = [self](Duration whole) {
    return Duration(static_cast<int64_t>(self->random.below(static_cast<uint64_t>(whole.count()))));
  };
  co_await sleep_for(part_of(std::min<Duration>(rules.every / 10, 1s)));  // not all at once
  uint32_t well = 0;
  uint32_t ill = 0;
  bool first = true;
  while (true) {
    std::string wrong = co_await check(self->settings, self->instance);
    well = wrong.empty() ? well + 1 : 0;
    ill = wrong.empty() ? 0 : ill + 1;
    if (ill > 0 && (first || ill >= rules.failures)) self->seat.checked(false, std::move(wrong));
    if (well > 0 && (first || well >= rules.successes)) self->seat.checked(true, {});
    first = false;
    co_await sleep_for(rules.every * 9 / 10 + part_of(rules.every / 5));
  }
}

}  // namespace portloom::upstream
