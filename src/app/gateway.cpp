// app/gateway.cpp
//
// Start in order (configuration, log, workers, admin, ready), serve, end in order (not ready, delay, ports, connections,
// deadline). Signals are turned into messages by a thread that does nothing else.
#include "app/gateway.h"

#include <csignal>
#include <cstdio>
#include <cstring>
#include <thread>

#include <malloc.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "app/dependencies.h"

namespace portloom::app {
namespace {

// Where so many instances have a connection, heartbeats come one by one, thousands in a second: those of so long are served with one
// wake-up, which takes about a sixth off what they cost.
constexpr size_t gather_from = 1000;
constexpr Duration gather_heartbeats = 2ms;

// systemd's readiness protocol (sd_notify(3)), where it was asked for.
void notify_service_manager(std::string_view state) {
  const char* path = std::getenv("NOTIFY_SOCKET");
  if (path == nullptr || (path[0] != '/' && path[0] != '@')) return;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  size_t length = std::min(std::strlen(path), sizeof address.sun_path - 1);
  std::memcpy(address.sun_path, path, length);
  if (address.sun_path[0] == '@') address.sun_path[0] = '\0';
  int descriptor = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (descriptor < 0) return;
  ::sendto(descriptor, state.data(), state.size(), MSG_NOSIGNAL, reinterpret_cast<sockaddr*>(&address),
           static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + length));
  ::close(descriptor);
}

void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

sigset_t handled_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (int signal : {SIGTERM, SIGINT, SIGHUP, SIGUSR1}) sigaddset(&set, signal);
  return set;
}

}  // namespace

void say(const std::string& line) {
  std::string text = line + "\n";
  [[maybe_unused]] ssize_t written = ::write(STDERR_FILENO, text.data(), text.size());
}

WallTime wall_now() { return std::chrono::time_point_cast<Duration>(std::chrono::system_clock::now()); }

int Gateway::run() {
  auto [loaded, materials] = load_configuration();
  if (!loaded) return exit_configuration;
  Result<std::shared_ptr<upstream::Resolver>> resolver = resolver_for(loaded.document->discovery.dns);
  if (!resolver) {
    say("portloom: " + resolver.error().detail);
    return exit_configuration;
  }
  Result<std::shared_ptr<const Blueprint>> blueprint =
      draw(std::move(loaded), std::move(materials), {directory_, **resolver, breakers_, healths_});
  if (!blueprint) {
    say("portloom: " + blueprint.error().detail);
    return exit_configuration;
  }
  blueprint_ = std::move(*blueprint);
  use_endpoints(std::move(*resolver));
  ticket_keys_ = io::TicketKeys::make();
  if (ticket_keys_ == nullptr) {
    say("portloom: the system has no randomness for session tickets");
    return exit_bind;
  }
  sigset_t signals = handled_signals();
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);  // before any thread starts: all inherit it
  std::signal(SIGPIPE, SIG_IGN);
  raise_descriptor_limit();
  Result<std::unique_ptr<io::Loop>> loop = io::make_loop(io::Engine::epoll);  // the control thread has little to do
  if (!loop) {
    say("portloom: " + loop.error().detail);
    return exit_bind;
  }
  loop_ = std::move(*loop);
  Agenda::make_current(loop_.get());
  Result<void> started = discovery_.prepare(*blueprint_->loaded.document, blueprint_->materials);
  if (started) {
    discovery_.take(resolver_);
    Instant until = loop_->now() + Discovery::first_answer_wait;
    while (!discovery_.complete() && loop_->now() < until) loop_->turn(50ms);
    started = start_workers();
  }
  if (started) started = open_doors(*blueprint_->loaded.document, doors_);
  if (!started) {
    say("portloom: " + started.error().detail);
    doors_.clear();
    discovery_.stop();
    workers_.clear();
    return started.error().code == Code::invalid ? exit_configuration : exit_bind;
  }
  watch_signals();
  if (!settings_.files.empty()) scope_.spawn(watch_files, this);
  scope_.spawn(rotate_ticket_keys, this);
  scope_.spawn(watch_memory, this);
  scope_.spawn(watch_availability, this);
  scope_.spawn(sweep_doors, this);
  directory_.start();
  breakers_.start(say);
  healths_.start(say);
  checks_.start();
  state_ = State::ready;
  announce();
  if (settings_.on_ready) {
    std::vector<io::Address> open = binds_;
    for (const auto& door : doors_) open.push_back(door->address());
    settings_.on_ready(open);
  }
  while (state_ != State::over) {
    loop_->turn(1s);
    const ServiceDoor* registry = discovery_.door();
    if (registry != nullptr && registry->open_connections() > gather_from) std::this_thread::sleep_for(gather_heartbeats);
  }
  doors_.clear();
  leaving_doors_.clear();
  discovery_.stop();
  for (auto& worker : workers_) worker->stop();
  if (log_) log_->stop();
  scope_.cancel();
  directory_.stop();
  breakers_.stop();
  healths_.stop();
  checks_.stop();
  Agenda::make_current(nullptr);
  return exit_status_;
}

Result<void> Gateway::start_workers() {
  const config::Document& document = *blueprint_->loaded.document;
  size_t count = settings_.workers != 0 ? settings_.workers : std::max<size_t>(1, std::thread::hardware_concurrency());
  use_limits(document.limits);
  metrics_ = std::make_unique<telemetry::Metrics>(count, document.telemetry.metrics.routes);
  metrics_->config_loaded(blueprint_->snapshot->hash, loaded_at_ = wall_now());
  if (document.telemetry.access_log.to != "none") {
    Result<std::unique_ptr<telemetry::LogWriter>> log = telemetry::LogWriter::open(document.telemetry.access_log.to, count);
    if (!log) return std::unexpected(std::move(log.error()));
    log_ = std::move(*log);
  }
  std::shared_ptr<const telemetry::Labels> labels = describe();
  for (size_t i = 0; i < count; ++i) {
    Worker::Settings settings;
    settings.engine = settings_.engine;
    settings.index = i;
    settings.metrics = metrics_.get();
    settings.admission = &admission_;
    settings.ticket_keys = ticket_keys_;
    settings.tell = [this](std::string line) { loop_->mailbox().post([line = std::move(line)] { say(line); }); };  // writing may block
    workers_.push_back(std::make_unique<Worker>(settings));
    if (Result<void> started = workers_.back()->start(); !started) return started;
  }
  Ports ports;
  if (Result<void> opened = open_ports(*blueprint_, ports); !opened) return opened;
  binds_ = ports.binds;
  for (auto& worker : workers_) worker->adopt({blueprint_, ports, labels, log_.get()}, states_);
  ::malloc_trim(0);  // what it took to read a large configuration, while there is no request that would wait for it
  return {};
}

void Gateway::announce() {
  std::string line = "ready listeners=";
  for (size_t i = 0; i < binds_.size(); ++i) line += (i == 0 ? "" : ",") + blueprint_->snapshot->listeners[i] + "=" + binds_[i].text();
  for (const auto& door : doors_) line += " " + door->name() + "=" + door->address().text();
  if (const ServiceDoor* door = discovery_.door()) line += " " + door->name() + "=" + door->address().text();
  line += " engine=" + std::string(workers_.front()->engine()) + " workers=" + std::to_string(workers_.size());
  say(line);
  notify_service_manager("READY=1");
}

admin::Status Gateway::status() {
  admin::Status status;
  status.version = PORTLOOM_VERSION;
  status.state = ready() ? "ready" : not_ready_reason();
  status.uptime = SteadyClock::now() - started_;
  status.config_hash = blueprint_->snapshot->hash;
  status.config_loaded = loaded_at_;
  status.reload_error = reload_error_;
  status.config_files = settings_.files;
  status.engine = workers_.front()->engine();
  status.workers = workers_.size();
  for (size_t i = 0; i < binds_.size(); ++i) status.listeners.push_back({blueprint_->snapshot->listeners[i], binds_[i].text()});
  return status;
}

std::vector<const pipeline::StatusSource*> Gateway::status_sources() {
  availability_.look(metrics_->delivered(), Agenda::current().now());
  std::vector<const pipeline::StatusSource*> sources;
  sources.push_back(&memory_);
  sources.push_back(&directory_);
  discovery_.add_status(sources);
  sources.push_back(&breakers_);
  if (log_) sources.push_back(log_.get());
  sources.push_back(&availability_);
  return sources;
}

void Gateway::write_status(std::string& json) { admin::write_status(json, status(), status_sources()); }
void Gateway::write_status_text(std::string& text) { admin::write_text(text, status(), status_sources()); }

// Of the blueprint in force.
std::shared_ptr<const telemetry::Labels> Gateway::describe() {
  telemetry::Dependencies dependencies = dependencies_of(*blueprint_->loaded.document);
  auto labels = metrics_->describe(blueprint_->snapshot->listeners, route_names(*blueprint_), blueprint_->service_names, dependencies);
  std::vector<telemetry::Dependencies::Route> counted;  // within the budget of labels
  for (size_t i = 0; i < dependencies.routes.size(); ++i)
    if (labels->routes[i].place != telemetry::Names::other) counted.push_back(std::move(dependencies.routes[i]));
  dependencies.routes = std::move(counted);
  availability_.use(std::move(dependencies));
  return labels;
}

Result<std::string> Gateway::explain(std::string_view query) {
  return explain_query(*blueprint_, states_, query, [this](const std::string& service) {
    Sights by_worker;
    for (auto& worker : workers_) by_worker.push_back(worker->look(service));
    return by_worker;
  });
}

Result<void> Gateway::hold_breaker(std::string_view service, std::string_view state) {
  using Hold = upstream::Circuit::Hold;
  std::optional<Hold> what;
  if (state == "open") what = Hold::open;
  if (state == "closed") what = Hold::closed;
  if (state == "auto") what = Hold::none;
  if (!what) return failure(Code::bad_request, Side::client, "say which: ?state=open, closed or auto");
  return breakers_.hold(service, *what, Agenda::current().now());
}

void Gateway::begin_drain() {
  state_ = State::draining;
  notify_service_manager("STOPPING=1");
  scope_.spawn(end, this);
}

// Of what is open still; it ends with its worker.
void Gateway::report_what_is_cut() {
  uint64_t left = admission_.connections();
  if (left == 0) return;
  exit_status_ = exit_cut;
  std::vector<std::string> requests;
  for (auto& worker : workers_) worker->cut(requests);
  say("portloom: the drain is over before its time: " + std::to_string(left) + " connections are cut, with " +
      std::to_string(requests.size()) + " requests");
  constexpr size_t lines_max = 50;
  for (size_t i = 0; i < std::min(requests.size(), lines_max); ++i) say("portloom: cut: " + requests[i]);
  if (requests.size() > lines_max) say("portloom: cut: and " + std::to_string(requests.size() - lines_max) + " more: see the access log");
}

Task<void> Gateway::end(Gateway* self) {
  const config::Drain& drain = self->blueprint_->loaded.document->drain;
  co_await sleep_for(drain.delay);  // not ready, still accepting: balancers need a moment to notice
  for (auto& worker : self->workers_) worker->drain();
  Instant deadline = Agenda::current().now() + drain.deadline;
  Instant silence_ends = Agenda::current().now() + 1s;
  do {
    if (Agenda::current().now() >= silence_ends) {
      for (auto& worker : self->workers_) worker->end_silent_connections();
      silence_ends = never;
    }
    co_await sleep_for(10ms);  // what was accepted last is counted by then
  } while (self->admission_.connections() > 0 && Agenda::current().now() < deadline);
  self->report_what_is_cut();
  self->state_ = State::over;
}

// A stolen key opens what was sealed with it; after three hours none of those sessions can be resumed.
Task<void> Gateway::rotate_ticket_keys(Gateway* self) {
  while (true) {
    co_await sleep_for(1h);
    std::shared_ptr<const io::TicketKeys> next = self->ticket_keys_->rotated();
    if (next == nullptr) continue;
    self->ticket_keys_ = std::move(next);
    for (auto& worker : self->workers_) worker->use(self->ticket_keys_);
  }
}

void Gateway::use_limits(const config::Limits& limits) {
  admission_.use({.connections = limits.connections, .per_address = limits.connections_per_address.value_or(0)});
  std::optional<uint64_t> written;
  if (limits.memory) written = limits.memory->bytes;
  memory_.use(written, memory_facts(), machine_memory());
}

Task<void> Gateway::watch_memory(Gateway* self) {
  Instant trimmed{};
  while (true) {
    server::Memory before = self->memory_.level();
    server::Memory now = self->memory_.look(memory_facts());
    self->admission_.use(now);
    if (now != server::Memory::plenty) {
      for (auto& worker : self->workers_) worker->relieve();
      if (Agenda::current().now() >= trimmed + 1s) {
        trimmed = Agenda::current().now();
        ::malloc_trim(0);
      }
    }
    if (now > before) say("portloom: memory: " + self->memory_.text() + " is in use: idle connections are closed, new requests get 503");
    if (now == server::Memory::plenty && before != now) say("portloom: memory: " + self->memory_.text() + " is in use: serving again");
    co_await sleep_for(self->memory_.pause());
  }
}

Task<void> Gateway::watch_availability(Gateway* self) {
  while (true) {
    self->availability_.look(self->metrics_->delivered(), Agenda::current().now());
    co_await sleep_for(telemetry::Availability::step);
  }
}

void Gateway::on_signal(int signal) {
  if (signal == SIGUSR1 && log_) return log_->reopen();
  if (signal == SIGHUP) {
    [[maybe_unused]] Result<void> outcome = reload();  // it has said what is wrong
    return;
  }
  if (signal != SIGTERM && signal != SIGINT) return;
  if (state_ == State::ready) return begin_drain();
  report_what_is_cut();  // the second one ends at once
  state_ = State::over;
}

void Gateway::watch_signals() {
  std::thread([this] {
    sigset_t set = handled_signals();
    while (true) {
      int signal = 0;
      if (::sigwait(&set, &signal) != 0) return;
      loop_->mailbox().post([this, signal] { on_signal(signal); });
    }
  }).detach();
}

int run_gateway(RunSettings settings) {
  // Lives until the process ends: the thread that waits for signals refers to it.
  static auto* const gateway = new Gateway(std::move(settings));
  return gateway->run();
}

}  // namespace portloom::app
