// app/process.cpp
//
// Start in order (configuration, log, workers, admin, ready), serve, end in order (not ready, delay, ports, connections,
// deadline). Signals are turned into messages by a thread that does nothing else.
#include "app/process.h"

#include <csignal>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <iostream>
#include <thread>

#include <malloc.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "admin/status.h"
#include "app/door.h"
#include "app/inspection.h"
#include "app/memory.h"
#include "data/problem.h"

namespace portloom::app {
namespace {

constexpr int exit_ok = 0;
constexpr int exit_configuration = 1;
constexpr int exit_bind = 3;
constexpr int exit_cut = 4;

void say(const std::string& line) {
  std::string text = line + "\n";
  [[maybe_unused]] ssize_t written = ::write(STDERR_FILENO, text.data(), text.size());
}

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

// Changes when one of the files, or a file of one of the folders, does.
std::string fingerprint(const std::vector<std::string>& files) {
  std::string text;
  auto add = [&text](const std::filesystem::path& path) {
    struct stat about{};
    if (::stat(path.c_str(), &about) != 0) return;
    text += path.string() + ' ' + std::to_string(about.st_ino) + ' ' + std::to_string(about.st_size) + ' ' +
            std::to_string(about.st_mtim.tv_sec) + '.' + std::to_string(about.st_mtim.tv_nsec) + '\n';
  };
  for (const std::string& file : files) {
    add(file);
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator(file, ignored)) add(entry.path());
  }
  return text;
}

class Process final : public admin::Control {
 public:
  explicit Process(RunSettings settings) : settings_(std::move(settings)), catalogue_(make_catalogue()) {}
  int run();

  bool ready() override { return state_ == State::ready; }
  std::string not_ready_reason() override { return state_ == State::draining ? "draining" : "starting"; }
  void drain() override {
    if (state_ == State::ready) begin_drain();
  }
  Result<void> reload() override;
  Result<std::string> explain(std::string_view query) override { return explain_query(*blueprint_, query); }
  void write_status(std::string& json) override;
  void write_metrics(std::string& page) override {
    metrics_->render(page);
    memory_.write_metrics(page);
    if (log_) log_->write_metrics(page);
  }

 private:
  enum class State { starting, ready, draining, over };

  // With what its files hold; says what is wrong.
  std::pair<config::Loaded, Materials> load_configuration();
  Result<void> start_workers();
  Result<void> start_admin();
  Result<void> open_admin_door(const io::Address& address, std::unique_ptr<pipeline::Service> service, std::string name);
  void announce();
  void begin_drain();
  static Task<void> end(Process* self);
  static Task<void> watch_files(Process* self);
  static Task<void> rotate_ticket_keys(Process* self);
  static Task<void> watch_memory(Process* self);
  void use_limits(const config::Limits& limits);
  void watch_signals();
  void on_signal(int signal);

  RunSettings settings_;
  config::Catalogue catalogue_;
  policy::States states_;
  std::shared_ptr<const Blueprint> blueprint_;
  std::vector<std::string> watched_;  // files whose change is a reload
  std::string loaded_files_;          // their fingerprint when the process started
  std::shared_ptr<const io::TicketKeys> ticket_keys_;
  server::Admission admission_{{}};
  MemoryWatch memory_;
  std::unique_ptr<telemetry::Metrics> metrics_;
  std::unique_ptr<telemetry::LogWriter> log_;
  std::unique_ptr<io::Loop> loop_;
  std::vector<io::Address> binds_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::vector<std::unique_ptr<ServiceDoor>> doors_;  // the admin API, the probes
  State state_ = State::starting;
  int exit_status_ = exit_ok;
  WallTime loaded_at_{};
  Instant started_ = SteadyClock::now();
  bool last_reload_ok_ = true;
  Scope scope_;
};

WallTime wall_now() { return std::chrono::time_point_cast<Duration>(std::chrono::system_clock::now()); }

std::pair<config::Loaded, Materials> Process::load_configuration() {
  config::Loaded loaded = settings_.inline_text.empty() ? config::load(settings_.files, catalogue_)
                                                        : config::load_text("command line", settings_.inline_text, catalogue_);
  Materials materials = load_materials(loaded);
  watched_ = settings_.files;
  watched_.insert(watched_.end(), loaded.watched.begin(), loaded.watched.end());
  watched_.insert(watched_.end(), materials.files.begin(), materials.files.end());
  if (loaded_files_.empty()) loaded_files_ = fingerprint(watched_);
  if (!loaded.problems.empty()) std::cerr << data::render(loaded.problems) << std::flush;
  return {std::move(loaded), std::move(materials)};
}

int Process::run() {
  auto [loaded, materials] = load_configuration();
  if (!loaded) return exit_configuration;
  Result<std::shared_ptr<const Blueprint>> blueprint = draw(std::move(loaded), std::move(materials));
  if (!blueprint) {
    say("portloom: " + blueprint.error().detail);
    return exit_configuration;
  }
  blueprint_ = std::move(*blueprint);
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
  Result<void> started = start_workers();
  if (started) started = start_admin();
  if (!started) {
    say("portloom: " + started.error().detail);
    doors_.clear();
    workers_.clear();
    return started.error().code == Code::invalid ? exit_configuration : exit_bind;
  }
  watch_signals();
  if (!settings_.files.empty()) scope_.spawn(watch_files, this);
  scope_.spawn(rotate_ticket_keys, this);
  scope_.spawn(watch_memory, this);
  state_ = State::ready;
  announce();
  if (settings_.on_ready) {
    std::vector<io::Address> open = binds_;
    for (const auto& door : doors_) open.push_back(door->address());
    settings_.on_ready(open);
  }
  while (state_ != State::over) loop_->turn(1s);
  doors_.clear();
  for (auto& worker : workers_) worker->stop();
  if (log_) log_->stop();
  scope_.cancel();
  Agenda::make_current(nullptr);
  return exit_status_;
}

Result<void> Process::start_workers() {
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
  auto labels = metrics_->describe(blueprint_->snapshot->listeners, blueprint_->route_names, blueprint_->service_names);
  binds_ = blueprint_->binds;
  // Workers share a port (SO_REUSEPORT), which would also let a second process in: asked for alone it shows whether it is free.
  for (const io::Address& bind : binds_) {
    if (bind.is_unix() || bind.port() == 0) continue;
    io::Address bound;
    Result<int> probe = io::open_listening(bind, false, bound);
    if (!probe) return std::unexpected(std::move(probe.error()));
    ::close(*probe);
  }
  for (size_t i = 0; i < count; ++i) {
    Worker::Settings settings;
    settings.engine = settings_.engine;
    settings.index = i;
    settings.shared_ports = count > 1;
    settings.log = log_.get();
    settings.metrics = metrics_.get();
    settings.admission = &admission_;
    settings.ticket_keys = ticket_keys_;
    settings.tell = [this](std::string line) { loop_->mailbox().post([line = std::move(line)] { say(line); }); };  // writing may block
    workers_.push_back(std::make_unique<Worker>(settings));
    if (Result<void> started = workers_.back()->start(blueprint_, binds_, states_, labels); !started) return started;
  }
  return {};
}

Result<void> Process::open_admin_door(const io::Address& address, std::unique_ptr<pipeline::Service> service, std::string name) {
  Result<std::unique_ptr<ServiceDoor>> door = ServiceDoor::open(address, std::move(service), std::move(name));
  if (!door) return std::unexpected(std::move(door.error()));
  doors_.push_back(std::move(*door));
  return {};
}

Result<void> Process::start_admin() {
  const std::optional<config::Admin>& admin = blueprint_->loaded.document->admin;
  if (!admin) return {};
  auto bind = [](const data::Address& address) {
    return io::Address::parse(address.host.empty() && !address.is_unix() ? ":" + std::to_string(address.port) : address.text());
  };
  std::optional<io::Address> address = bind(admin->address);
  if (!address) return failure(Code::invalid, Side::gateway, "admin.address: " + admin->address.text() + " is not an address");
  if (Result<void> opened = open_admin_door(*address, std::make_unique<admin::AdminService>(*this), "admin"); !opened) return opened;
  if (!admin->probes) return {};
  std::optional<io::Address> probes = bind(admin->probes->bind());
  if (!probes) return failure(Code::invalid, Side::gateway, "admin.probes: not an address");
  return open_admin_door(*probes, std::make_unique<admin::ProbesService>(*this), "probes");
}

void Process::announce() {
  std::string line = "ready listeners=";
  for (size_t i = 0; i < binds_.size(); ++i) line += (i == 0 ? "" : ",") + blueprint_->snapshot->listeners[i] + "=" + binds_[i].text();
  for (const auto& door : doors_) line += " " + door->name() + "=" + door->address().text();
  line += " engine=" + std::string(workers_.front()->engine()) + " workers=" + std::to_string(workers_.size());
  say(line);
  notify_service_manager("READY=1");
}

Result<void> Process::reload() {
  auto [loaded, materials] = load_configuration();
  auto refuse = [this](std::string why) {
    last_reload_ok_ = false;
    metrics_->config_refused();
    say("portloom: the configuration was not loaded, the old one stays in force: " + why);
    return failure(Code::invalid, Side::gateway, std::move(why));
  };
  if (!loaded) return refuse(data::render(loaded.problems));
  Result<std::shared_ptr<const Blueprint>> drawn = draw(std::move(loaded), std::move(materials));
  if (!drawn) return refuse(drawn.error().detail);
  if ((*drawn)->snapshot->listeners != blueprint_->snapshot->listeners || (*drawn)->binds != blueprint_->binds)
    return refuse("listeners have changed; that needs a restart in this version");
  blueprint_ = std::move(*drawn);
  auto labels = metrics_->describe(blueprint_->snapshot->listeners, blueprint_->route_names, blueprint_->service_names);
  use_limits(blueprint_->loaded.document->limits);
  states_.forget_unused();  // what the reload before this one left behind
  for (auto& worker : workers_) worker->adopt(blueprint_, states_, labels);
  metrics_->config_loaded(blueprint_->snapshot->hash, loaded_at_ = wall_now());
  last_reload_ok_ = true;
  say("configuration loaded hash=" + blueprint_->snapshot->hash);
  return {};
}

void Process::write_status(std::string& json) {
  admin::Status status;
  status.version = PORTLOOM_VERSION;
  status.state = ready() ? "ready" : not_ready_reason();
  status.uptime = SteadyClock::now() - started_;
  status.config_hash = blueprint_->snapshot->hash;
  status.config_loaded = loaded_at_;
  status.last_reload_ok = last_reload_ok_;
  status.config_files = settings_.files;
  status.engine = workers_.front()->engine();
  status.workers = workers_.size();
  for (size_t i = 0; i < binds_.size(); ++i) status.listeners.push_back({blueprint_->snapshot->listeners[i], binds_[i].text()});
  std::vector<const pipeline::StatusSource*> sources;
  sources.push_back(&memory_);
  if (log_) sources.push_back(log_.get());
  admin::write_status(json, status, sources);
}

void Process::begin_drain() {
  state_ = State::draining;
  notify_service_manager("STOPPING=1");
  scope_.spawn(end, this);
}

Task<void> Process::end(Process* self) {
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
  if (uint64_t left = self->admission_.connections(); left > 0) {
    say("portloom: the drain's deadline has passed; " + std::to_string(left) + " connections are cut");
    self->exit_status_ = exit_cut;
  }
  self->state_ = State::over;
}

// A file that changed is loaded like SIGHUP. Asked for once a second by size and time: works on every file system, and a
// replaced file or a folder's new one is seen like an edited one.
Task<void> Process::watch_files(Process* self) {
  std::string seen = self->loaded_files_;  // of the start: what changed before the first look is seen too
  while (true) {
    co_await sleep_for(1s);
    if (fingerprint(self->watched_) == seen || self->state_ != State::ready) continue;
    std::string before = fingerprint(self->watched_);
    std::vector<std::string> watched = self->watched_;
    [[maybe_unused]] Result<void> outcome = self->reload();  // it has said what is wrong
    // What changed while it was read is read again: a certificate is often replaced a moment before its key.
    seen = watched == self->watched_ ? std::move(before) : fingerprint(self->watched_);
  }
}

// A stolen key opens what was sealed with it; after three hours none of those sessions can be resumed.
Task<void> Process::rotate_ticket_keys(Process* self) {
  while (true) {
    co_await sleep_for(1h);
    std::shared_ptr<const io::TicketKeys> next = self->ticket_keys_->rotated();
    if (next == nullptr) continue;
    self->ticket_keys_ = std::move(next);
    for (auto& worker : self->workers_) worker->use(self->ticket_keys_);
  }
}

void Process::use_limits(const config::Limits& limits) {
  admission_.use({.connections = limits.connections, .per_address = limits.connections_per_address.value_or(0)});
  std::optional<uint64_t> written;
  if (limits.memory) written = limits.memory->bytes;
  memory_.use(written, memory_facts(), machine_memory());
}

Task<void> Process::watch_memory(Process* self) {
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

void Process::on_signal(int signal) {
  if (signal == SIGUSR1 && log_) return log_->reopen();
  if (signal == SIGHUP) {
    [[maybe_unused]] Result<void> outcome = reload();  // it has said what is wrong
    return;
  }
  if (signal != SIGTERM && signal != SIGINT) return;
  if (state_ == State::ready) return begin_drain();
  exit_status_ = admission_.connections() > 0 ? exit_cut : exit_ok;  // the second one ends at once
  state_ = State::over;
}

void Process::watch_signals() {
  std::thread([this] {
    sigset_t set = handled_signals();
    while (true) {
      int signal = 0;
      if (::sigwait(&set, &signal) != 0) return;
      loop_->mailbox().post([this, signal] { on_signal(signal); });
    }
  }).detach();
}

}  // namespace

int run_gateway(RunSettings settings) {
  // Lives until the process ends: the thread that waits for signals refers to it.
  auto* process = new Process(std::move(settings));
  return process->run();
}

}  // namespace portloom::app
