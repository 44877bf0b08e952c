// app/worker.cpp
//
// The worker's thread: turn until told to stop, take everything down in order. What it serves comes with adopt().
#include "app/worker.h"

#include "base/pool.h"
#include "base/random.h"

namespace portloom::app {

namespace {
enum : int { starting, started, failed };
}

Result<void> Worker::start() {
  std::atomic<int> state = starting;
  Error error;
  thread_ = std::thread(&Worker::run, this, &state, &error);
  state.wait(starting);
  if (state.load() == started) return {};
  thread_.join();
  return std::unexpected(std::move(error));
}

void Worker::run(std::atomic<int>* state, Error* error) {
  auto tell = [state](int what) {
    state->store(what);
    state->notify_one();
  };
  Result<std::unique_ptr<io::Loop>> loop = io::make_loop(settings_.engine);
  if (!loop) {
    *error = std::move(loop.error());
    return tell(failed);
  }
  loop_ = std::move(*loop);
  engine_ = loop_->engine();
  Agenda::make_current(loop_.get());
  workplace_.notices = &notices_;
  workplace_.admission = settings_.admission;
  workplace_.random = Random(random_seed());
  telemetry::MetricsShard& shard = settings_.metrics->shard(settings_.index);
  workplace_.gauges = &shard;
  sinks_.add(shard);
  workplace_.sink = &sinks_;
  tell(started);
  while (!stopping_.load(std::memory_order_relaxed)) {
    loop_->turn(1s);
    if (!leaving_.empty()) sweep();
  }
  servers_.clear();
  leaving_.clear();
  prepared_.clear();
  if (workplace_.plan != nullptr) delete std::exchange(workplace_.plan, nullptr);
  clusters_.clear();
  Agenda::make_current(nullptr);
}

void Worker::ask(std::function<void()> work) {
  std::atomic<bool> done = false;
  bool posted = loop_->mailbox().post([&] {
    work();
    done.store(true);
    done.notify_one();
  });
  if (posted) done.wait(false);
}

Result<void> Worker::prepare(Ports& ports) {
  Result<void> outcome;
  ask([&] {
    for (size_t i = 0; i < ports.binds.size() && outcome; ++i) {
      io::Address& bind = ports.binds[i];
      if (ports.from[i] != Ports::fresh || (bind.is_unix() && settings_.index > 0)) continue;  // a Unix socket has one owner
      Result<io::Listener> listener = io::listen(bind, true);
      if (!listener) {
        outcome = std::unexpected(std::move(listener.error()));
        break;
      }
      bind = listener->address();
      prepared_.emplace(i, std::move(*listener));
    }
  });
  return outcome;
}

void Worker::forget_prepared() {
  ask([this] { prepared_.clear(); });
}

void Worker::adopt(const Edition& edition, policy::States& states) {
  ask([&] { install(edition, states); });
}

void Worker::install(const Edition& edition, policy::States& states) {
  if (edition.log != nullptr && access_log_ == nullptr) {
    access_log_ = std::make_unique<telemetry::AccessLog>(edition.log->ring(settings_.index), random_seed());
    sinks_.add(*access_log_);
  }
  if (access_log_) access_log_->use(telemetry::LogRules(edition.blueprint->loaded.document->telemetry.access_log));
  std::unique_ptr<pipeline::Plan> plan = build_plan(*edition.blueprint, states, states_, clusters_);
  settings_.metrics->shard(settings_.index).use(edition.labels);
  plan->kept.push_back(edition.blueprint);
  pipeline::Plan* old = workplace_.plan;
  std::unique_ptr<Leaving> leaving;
  if (old != nullptr) {
    for (const auto& server : servers_) old->kept.push_back(server->door());
    leaving = std::make_unique<Leaving>(workplace_, loop_->now() + edition.blueprint->loaded.document->drain.deadline);
    old->retired = true;
  }
  workplace_.plan = plan.release();
  std::vector<std::unique_ptr<server::Server>> rest;
  take_servers(edition, rest);
  if (leaving == nullptr) return;
  for (std::unique_ptr<server::Server>& server : rest) {
    server->leave(leaving->workplace);
    leaving->servers.push_back(std::move(server));
  }
  leaving_.push_back(std::move(leaving));
  sweep();
  clusters_.forget_unused();
  states_.forget_unused();
}

// Each listener gets its port: the server that has it, or a new one. `rest`: those that nobody wants any more.
void Worker::take_servers(const Edition& edition, std::vector<std::unique_ptr<server::Server>>& rest) {
  rest = std::move(servers_);
  servers_.clear();
  const Ports& ports = edition.ports;
  for (uint16_t i = 0; i < ports.binds.size(); ++i) {
    server::Door door = door_of(*edition.blueprint, i, settings_.ticket_keys);
    if (auto port = prepared_.find(i); port != prepared_.end()) {
      servers_.push_back(std::make_unique<server::Server>(workplace_, std::move(door), std::move(port->second)));
      continue;
    }
    for (size_t old = 0; old < rest.size(); ++old) {
      if (ports.from[i] == Ports::fresh || rest[old]->listener() != ports.from[i]) continue;
      servers_.push_back(std::move(rest[old]));
      rest.erase(rest.begin() + static_cast<ptrdiff_t>(old));
      servers_.back()->use(std::move(door));
      break;
    }
  }
  prepared_.clear();
}

// Those of which the last connection has gone, or the time is up.
void Worker::sweep() {
  std::erase_if(leaving_, [this](const std::unique_ptr<Leaving>& one) {
    size_t open = 0;
    for (const auto& server : one->servers) open += server->open_connections();
    if (open == 0) return true;
    if (loop_->now() < one->deadline) return false;
    std::vector<std::string> ignored;  // the access log has them
    for (const auto& server : one->servers) server->cut_requests(ignored);
    return true;
  });
}

template <class Do>
void Worker::for_each_server(Do act) {
  for (auto& server : servers_) act(*server);
  for (auto& one : leaving_)
    for (auto& server : one->servers) act(*server);
}

void Worker::use(std::shared_ptr<const io::TicketKeys> keys) {
  ask([&] {
    settings_.ticket_keys = std::move(keys);
    for (auto& server : servers_) server->use(settings_.ticket_keys);
  });
}

std::vector<upstream::Sight> Worker::look(const std::string& service) {
  std::vector<upstream::Sight> sights;
  ask([&] {
    if (upstream::Cluster* cluster = clusters_.find(service)) sights = cluster->look();
  });
  return sights;
}

void Worker::relieve() {
  if (relieving_.exchange(true)) return;
  loop_->mailbox().post([this] {
    for_each_server([](server::Server& server) { server.close_idle_connections(); });
    pool_trim();
    relieving_.store(false);
  });
}

void Worker::drain() {
  ask([this] {
    for_each_server([](server::Server& server) {
      server.close_port();
      server.retire_connections();
    });
  });
}

void Worker::end_silent_connections() {
  ask([this] { for_each_server([](server::Server& server) { server.retire_connections(true); }); });
}

void Worker::cut(std::vector<std::string>& requests) {
  ask([&] { for_each_server([&](server::Server& server) { server.cut_requests(requests); }); });
}

void Worker::stop() {
  if (!thread_.joinable()) return;
  stopping_.store(true);
  loop_->mailbox().post([] {});
  thread_.join();
}

}  // namespace portloom::app
