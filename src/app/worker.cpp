// app/worker.cpp
//
// The worker's thread: open the ports, turn until told to stop, take everything down in order.
#include "app/worker.h"

#include "base/pool.h"

namespace portloom::app {

namespace {
enum : int { starting, started, failed };
}

Result<void> Worker::start(const std::shared_ptr<const Blueprint>& blueprint, std::vector<io::Address>& binds, policy::States& states,
                           std::shared_ptr<const telemetry::Labels> labels) {
  std::atomic<int> state = starting;
  Error error;
  thread_ = std::thread(&Worker::run, this, blueprint, &binds, &states, std::move(labels), &state, &error);
  state.wait(starting);
  if (state.load() == started) return {};
  thread_.join();
  return std::unexpected(std::move(error));
}

void Worker::run(std::shared_ptr<const Blueprint> blueprint, std::vector<io::Address>* binds, policy::States* states,
                 std::shared_ptr<const telemetry::Labels> labels, std::atomic<int>* state, Error* error) {
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
  Result<void> opened = open(*blueprint, *binds, *states, std::move(labels));
  blueprints_.push_back(std::move(blueprint));
  if (opened) {
    tell(started);
    while (!stopping_.load(std::memory_order_relaxed)) {
      loop_->turn(1s);
      size_t open = 0;
      for (const auto& server : servers_) open += server->open_connections();
      open_connections_.store(open, std::memory_order_relaxed);
    }
  }
  servers_.clear();
  if (workplace_.plan != nullptr) delete std::exchange(workplace_.plan, nullptr);
  Agenda::make_current(nullptr);
  if (!opened) {
    loop_.reset();
    *error = std::move(opened.error());
    tell(failed);
  }
}

Result<void> Worker::open(const Blueprint& blueprint, std::vector<io::Address>& binds, policy::States& states,
                          std::shared_ptr<const telemetry::Labels> labels) {
  workplace_.notices = &notices_;
  workplace_.admission = settings_.admission;
  workplace_.random = Random(random_seed());
  telemetry::MetricsShard& shard = settings_.metrics->shard(settings_.index);
  shard.use(std::move(labels));
  workplace_.gauges = &shard;
  sinks_.add(shard);
  if (settings_.log != nullptr) {
    access_log_ = std::make_unique<telemetry::AccessLog>(settings_.log->ring(settings_.index), random_seed());
    access_log_->use(telemetry::LogRules(blueprint.loaded.document->telemetry.access_log));
    sinks_.add(*access_log_);
  }
  workplace_.sink = &sinks_;
  workplace_.plan = build_plan(blueprint, states).release();
  for (uint16_t i = 0; i < binds.size(); ++i) {
    if (binds[i].is_unix() && settings_.index > 0) continue;  // a Unix socket has one owner
    Result<io::Listener> listener = io::listen(binds[i], settings_.shared_ports);
    if (!listener) return std::unexpected(std::move(listener.error()));
    binds[i] = listener->address();
    servers_.push_back(std::make_unique<server::Server>(workplace_, door_of(blueprint, i, settings_.ticket_keys), std::move(*listener)));
  }
  return {};
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

void Worker::adopt(const std::shared_ptr<const Blueprint>& blueprint, policy::States& states,
                   std::shared_ptr<const telemetry::Labels> labels) {
  ask([&] {
    pipeline::Plan* old = workplace_.plan;
    workplace_.plan = build_plan(*blueprint, states).release();
    blueprints_.push_back(blueprint);
    if (access_log_) access_log_->use(telemetry::LogRules(blueprint->loaded.document->telemetry.access_log));
    settings_.metrics->shard(settings_.index).use(labels);
    for (auto& server : servers_) {
      old->kept.push_back(server->door());
      server->use(door_of(*blueprint, server->listener(), settings_.ticket_keys));
    }
    old->retired = true;
    if (old->pins == 0) delete old;
  });
}

void Worker::use(std::shared_ptr<const io::TicketKeys> keys) {
  ask([&] {
    settings_.ticket_keys = std::move(keys);
    for (auto& server : servers_) server->use(settings_.ticket_keys);
  });
}

void Worker::relieve() {
  if (relieving_.exchange(true)) return;
  loop_->mailbox().post([this] {
    for (auto& server : servers_) server->close_idle_connections();
    pool_trim();
    relieving_.store(false);
  });
}

void Worker::drain() {
  ask([&] {
    for (auto& server : servers_) {
      server->close_port();
      server->retire_connections();
    }
  });
}

void Worker::end_silent_connections() {
  ask([&] {
    for (auto& server : servers_) server->retire_connections(true);
  });
}

void Worker::stop() {
  if (!thread_.joinable()) return;
  stopping_.store(true);
  loop_->mailbox().post([] {});
  thread_.join();
}

}  // namespace portloom::app
