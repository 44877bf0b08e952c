// app/reload.cpp
//
// Build aside, check, swap whole. Everything that can fail comes first: reading, ports, doors, the log's file. Then each worker
// gets its new plan; nothing of the old one is pulled from under those who use it.
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <iostream>

#include "admin/services.h"
#include "app/gateway.h"
#include "data/problem.h"

namespace portloom::app {
namespace {

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

io::Address door_address(const data::Address& written) {
  std::string text = written.host.empty() && !written.is_unix() ? ":" + std::to_string(written.port) : written.text();
  return io::Address::parse(text).value_or(io::Address{});
}

}  // namespace

std::pair<config::Loaded, Materials> Gateway::load_configuration() {
  std::vector<std::string> watched = watched_;
  std::string before = fingerprint(watched_);
  config::Loaded loaded = settings_.inline_text.empty() ? config::load(settings_.files, catalogue_, config::Purpose::run)
                                                        : config::load_text("command line", settings_.inline_text, catalogue_);
  Materials materials = load_materials(loaded, blueprint_ ? &blueprint_->materials : nullptr);
  watched_ = settings_.files;
  watched_.insert(watched_.end(), loaded.watched.begin(), loaded.watched.end());
  watched_.insert(watched_.end(), materials.files.begin(), materials.files.end());
  // What changed while it was read is read again: a certificate is often replaced a moment before its key.
  seen_ = watched == watched_ ? std::move(before) : fingerprint(watched_);
  if (!loaded.problems.empty()) std::cerr << data::render(loaded.problems) << std::flush;
  return {std::move(loaded), std::move(materials)};
}

// Nothing was changed. `said`: what is wrong has been shown already.
std::unexpected<Error> Gateway::refuse_configuration(Error why, bool said) {
  reload_error_ = why.detail;
  metrics_->config_refused();
  say("portloom: the configuration was not loaded, the old one stays in force" + (said ? std::string() : ": " + why.detail));
  return std::unexpected(std::move(why));
}

// A port that is open stays with whoever wants it next; the others are opened on every worker, and nobody is accepted there yet.
Result<void> Gateway::open_ports(const Blueprint& next, Ports& ports) {
  const std::vector<io::Address> none;
  const std::vector<io::Address>& configured = binds_.empty() ? none : blueprint_->binds;
  ports.binds = next.binds;
  ports.from.assign(next.binds.size(), Ports::fresh);
  for (size_t i = 0; i < next.binds.size(); ++i) {
    for (size_t old = 0; old < configured.size() && ports.from[i] == Ports::fresh; ++old) {
      bool chosen = !configured[old].is_unix() && configured[old].port() == 0;  // by the system: told apart by name alone
      bool same_name = next.snapshot->listeners[i] == blueprint_->snapshot->listeners[old];
      if (next.binds[i] == configured[old] && (!chosen || same_name)) ports.from[i] = static_cast<int>(old);
    }
    if (ports.from[i] != Ports::fresh) ports.binds[i] = binds_[static_cast<size_t>(ports.from[i])];
  }
  // Workers share a port (SO_REUSEPORT), which would also let a second process in: asked for alone it shows whether it is free.
  for (size_t i = 0; i < ports.binds.size(); ++i) {
    const io::Address& bind = ports.binds[i];
    auto ours = [&](const io::Address& open) { return !open.is_unix() && open.port() == bind.port(); };
    if (ports.from[i] != Ports::fresh || bind.is_unix() || bind.port() == 0 || std::any_of(binds_.begin(), binds_.end(), ours)) continue;
    io::Address bound;
    Result<int> probe = io::open_listening(bind, false, bound);
    if (!probe) return std::unexpected(std::move(probe.error()));
    ::close(*probe);
  }
  for (auto& worker : workers_) {
    Result<void> opened = worker->prepare(ports);
    if (opened) continue;
    for (auto& one : workers_) one->forget_prepared();
    return opened;
  }
  return {};
}

// The admin API and the probes. One whose address is unchanged is null in `doors`: the open one serves on.
Result<void> Gateway::open_doors(const config::Document& next, std::vector<std::unique_ptr<ServiceDoor>>& doors) {
  std::vector<std::unique_ptr<ServiceDoor>> opened;
  if (next.admin) {
    auto open = [&](std::string name, const io::Address& address, std::unique_ptr<pipeline::Service> service) -> Result<void> {
      for (const auto& door : doors_)
        if (door->name() == name && door->configured() == address) {
          opened.push_back(nullptr);
          return {};
        }
      Result<std::unique_ptr<ServiceDoor>> door = ServiceDoor::open(address, std::move(service), std::move(name));
      if (!door) return std::unexpected(std::move(door.error()));
      opened.push_back(std::move(*door));
      return {};
    };
    Result<void> done = open("admin", door_address(next.admin->address), std::make_unique<admin::AdminService>(*this));
    if (done && next.admin->probes)
      done = open("probes", door_address(next.admin->probes->bind()), std::make_unique<admin::ProbesService>(*this));
    if (!done) return done;
  }
  doors = std::move(opened);
  return {};
}

Result<void> Gateway::direct_log(const config::Telemetry& next) {
  const std::string& to = next.access_log.to;
  if (to == blueprint_->loaded.document->telemetry.access_log.to) return {};
  if (log_) return log_->redirect(to);
  Result<std::unique_ptr<telemetry::LogWriter>> log = telemetry::LogWriter::open(to, workers_.size());
  if (!log) return std::unexpected(std::move(log.error()));
  log_ = std::move(*log);
  return {};
}

Result<std::shared_ptr<upstream::Resolver>> Gateway::resolver_for(const config::Dns& dns) const {
  if (resolver_ != nullptr && dns.servers == blueprint_->loaded.document->discovery.dns.servers) return resolver_;
  std::vector<std::string> servers;
  for (const data::Address& server : dns.servers) servers.push_back(server.text());
  Result<std::unique_ptr<upstream::Resolver>> made = upstream::Resolver::make(servers);
  if (!made) return std::unexpected(std::move(made.error()));
  return std::shared_ptr<upstream::Resolver>(std::move(*made));
}

void Gateway::use_endpoints(std::shared_ptr<upstream::Resolver> resolver) {
  std::shared_ptr<upstream::Resolver> before = std::exchange(resolver_, std::move(resolver));
  directory_.use(*resolver_, {.keep_stale = blueprint_->loaded.document->discovery.dns.keep_stale});  // it lets go of `before`
  directory_.put_in_force(blueprint_->endpoints, blueprint_->health);
  breakers_.put_in_force(blueprint_->circuits);
  healths_.put_in_force(blueprint_->health);
  checks_.put_in_force(blueprint_->checks);
  for (const std::string& warning : blueprint_->warnings) say(warning);
}

Result<void> Gateway::reload() {
  Instant begun = SteadyClock::now();
  if (state_ != State::ready) return failure(Code::draining, Side::gateway, "the process is " + not_ready_reason());
  auto [loaded, materials] = load_configuration();
  if (!loaded) return refuse_configuration({Code::invalid, Side::gateway, Progress::nothing, data::render(loaded.problems)}, true);
  Result<std::shared_ptr<upstream::Resolver>> resolver = resolver_for(loaded.document->discovery.dns);
  if (!resolver) return refuse_configuration(std::move(resolver.error()), false);
  Result<std::shared_ptr<const Blueprint>> drawn =
      draw(std::move(loaded), std::move(materials), {directory_, **resolver, breakers_, healths_});
  if (!drawn) return refuse_configuration(std::move(drawn.error()), false);
  const config::Document& next = *(*drawn)->loaded.document;
  Ports ports;
  if (Result<void> opened = open_ports(**drawn, ports); !opened) return refuse_configuration(std::move(opened.error()), false);
  std::vector<std::unique_ptr<ServiceDoor>> doors;
  Result<void> directed = open_doors(next, doors);
  if (directed) directed = discovery_.prepare(next, (*drawn)->materials);
  if (directed) directed = direct_log(next.telemetry);
  if (!directed) {
    for (auto& worker : workers_) worker->forget_prepared();
    discovery_.forget_prepared();
    return refuse_configuration(std::move(directed.error()), false);
  }

  // From here on nothing fails.
  Instant built = SteadyClock::now();
  uint32_t routes_before = blueprint_->loaded.document->telemetry.metrics.routes;
  if (next.telemetry.metrics.routes != routes_before)
    say("portloom: telemetry.metrics.routes takes effect with a restart; " + std::to_string(routes_before) + " stays");
  std::vector<io::Address> before = std::exchange(binds_, ports.binds);
  blueprint_ = std::move(*drawn);
  use_endpoints(std::move(*resolver));
  discovery_.take(resolver_);
  std::shared_ptr<const telemetry::Labels> labels = describe();
  use_limits(next.limits);
  states_.forget_unused();  // what the reload before this one left behind
  for (auto& worker : workers_) worker->adopt({blueprint_, ports, labels, log_.get()}, states_);
  std::vector<std::string_view> names = {"admin", "probes"};
  for (std::unique_ptr<ServiceDoor>& door : doors_) {
    bool stays = false;
    for (size_t i = 0; i < doors.size() && !stays; ++i) {
      if (doors[i] != nullptr || names[i] != door->name()) continue;
      doors[i] = std::move(door);
      stays = true;
    }
    if (stays) continue;
    door->retire();
    leaving_doors_.push_back(std::move(door));
  }
  doors_ = std::move(doors);
  metrics_->config_loaded(blueprint_->snapshot->hash, loaded_at_ = wall_now());
  reload_error_.clear();
  auto rounded = [](Duration taken) { return format_duration(std::chrono::floor<std::chrono::microseconds>(taken)); };
  say("configuration loaded hash=" + blueprint_->snapshot->hash + " built=" + rounded(built - begun) +
      " swapped=" + rounded(SteadyClock::now() - built));
  if (binds_ != before) announce();
  return {};
}

// A door that a reload has closed goes when its last connection has: it may be the one through which the reload was asked for.
Task<void> Gateway::sweep_doors(Gateway* self) {
  while (true) {
    co_await sleep_for(100ms);
    std::erase_if(self->leaving_doors_, [](const auto& door) { return door->open_connections() == 0; });
  }
}

// A file that changed is loaded like SIGHUP. Asked for once a second by size and time: works on every file system, and a
// replaced file or a folder's new one is seen like an edited one.
Task<void> Gateway::watch_files(Gateway* self) {
  while (true) {
    co_await sleep_for(1s);
    if (self->state_ != State::ready || fingerprint(self->watched_) == self->seen_) continue;
    [[maybe_unused]] Result<void> outcome = self->reload();  // it has said what is wrong
  }
}

}  // namespace portloom::app
