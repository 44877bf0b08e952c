// testing/sim_loop.cpp
//
// Every connection is two pipes; a turn asks each end what is due, delivers one completion after the other and lets the
// coroutines run behind each, exactly as the real engines do. Time moves only when nothing is due and nobody is ready.
#include "testing/sim_loop.h"

#include <algorithm>

namespace portloom::testing {

using io::Address;
using io::Channel;

namespace {

constexpr size_t backlog_max = 4096;
constexpr size_t unasked_max = 64 * 1024;  // bytes that an armed receive holds before anybody asks

Address with_port(const Address& address, uint16_t port) {
  sockaddr_storage storage;
  socklen_t size = address.fill(storage);
  if (address.family() == AF_INET) reinterpret_cast<sockaddr_in*>(&storage)->sin_port = htons(port);
  if (address.family() == AF_INET6) reinterpret_cast<sockaddr_in6*>(&storage)->sin6_port = htons(port);
  return Address::from(reinterpret_cast<sockaddr*>(&storage), size);
}

bool listens_at(const Address& bound, const Address& address) {
  if (bound == address) return true;
  if (bound.is_unix() || address.is_unix() || bound.port() != address.port()) return false;
  return bound.host() == "::" || (bound.host() == "0.0.0.0" && address.family() == AF_INET);
}

}  // namespace

struct SimPort final : io::Port {
  SimPort(SimLoop& owner, bool is_shared) : loop(owner), shared(is_shared) {}
  ~SimPort() override {
    std::erase(loop.ports_, this);
    for (auto& [channel, from] : queue) loop.reset(*channel), loop.release(*channel);
  }
  bool poll() override {
    if (queue.empty()) return false;
    accepted = queue.front().first;
    peer = queue.front().second;
    queue.pop_front();
    return true;
  }
  bool poll_last() override { return poll(); }
  SimLoop& loop;
  bool shared;
  std::deque<std::pair<Channel*, Address>> queue;
};

SimLoop::SimLoop(uint64_t seed) : Loop(Instant{1000s}), random_(seed), seeded_(seed != 0) { make_current(this); }

SimLoop::~SimLoop() {
  for (auto& [descriptor, end] : ends_) delete end.channel;
  if (&current() == this) make_current(nullptr);
}

void SimLoop::allow(const Address& address) {
  std::erase_if(faults_, [&](const Fault& fault) { return fault.address == address; });
}

size_t SimLoop::connections(const Address& address) const {
  return static_cast<size_t>(std::count_if(ends_.begin(), ends_.end(), [&](const auto& entry) {
    const End& end = entry.second;
    return end.line != nullptr && end.side == 0 && end.line->to == address;
  }));
}

void SimLoop::reset_all(const Address& address) {
  for (auto& [descriptor, end] : ends_)
    if (end.line != nullptr && end.line->to == address) reset(descriptor);
}

void SimLoop::reset(int descriptor) {
  End* end = find(descriptor);
  CHECK(end != nullptr);
  if (end->line == nullptr) return;
  for (Pipe& pipe : end->line->pipes) {
    pipe.segments.clear();
    pipe.held = 0;
    pipe.end = never;
    pipe.reset = now();
  }
}

void SimLoop::run_for(Duration duration) {
  Instant end = now() + duration;
  while (now() < end) step(end - now());
  while (step(Duration{0})) {
  }
}

bool SimLoop::run_until(const std::function<bool()>& done, Duration limit) {
  Instant end = now() + limit;
  Instant before = now();
  for (int still = 0; !done(); ++still) {
    if (before != now()) still = 0;
    before = now();
    bool moved = step(std::max(end - now(), Duration{0}));
    if ((!moved && now() >= end) || now() > end || still > 10'000'000) return done();
  }
  return true;
}

// True when anything happened or time has passed.
bool SimLoop::step(Duration wait_max) {
  Instant before = now();
  mailbox_.deliver();
  bool busy = !idle();
  run_ready();
  if (idle()) {
    Instant next = std::min({next_due(), next_timer(), now() + wait_max});
    if (next > now()) set_now(next);
  }
  bool delivered = deliver();
  advance_to(now());
  busy |= !idle();
  run_ready();
  return busy || delivered || now() != before;
}

bool SimLoop::deliver() {
  std::vector<std::pair<int, Kind>> list;
  for (auto& [descriptor, end] : ends_)
    for (Kind kind : {Kind::connect, Kind::send, Kind::read, Kind::depart})
      if (due(end, kind) <= now()) list.emplace_back(descriptor, kind);
  if (seeded_) std::shuffle(list.begin(), list.end(), random_);
  bool any = false;
  for (auto [descriptor, kind] : list) {
    End* end = find(descriptor);  // what ran before may have closed it, or have left nothing to do
    if (end == nullptr || due(*end, kind) > now()) continue;
    any = true;
    happen(*end, kind);
    run_ready();
    if (lent_to_ != nullptr) keep_rest(*lent_to_);
    lent_to_ = nullptr;
    lent_.reset();
  }
  std::vector<SimPort*> ports = ports_;
  for (SimPort* port : ports) {
    if (std::find(ports_.begin(), ports_.end(), port) == ports_.end()) continue;
    if (port->waiter == nullptr || port->waiter->linked() || !port->poll()) continue;
    any = true;
    wake(port->waiter);
    run_ready();
  }
  return any;
}

Instant SimLoop::next_due() const {
  Instant earliest = never;
  for (const auto& [descriptor, end] : ends_)
    for (Kind kind : {Kind::connect, Kind::send, Kind::read, Kind::depart}) earliest = std::min(earliest, due(end, kind));
  for (const SimPort* port : ports_)
    if (port->waiter != nullptr && !port->waiter->linked() && !port->queue.empty()) return now();
  return earliest;
}

Instant SimLoop::due(const End& end, Kind kind) const {
  const Channel& channel = *end.channel;
  if (kind == Kind::connect) return channel.connected ? never : end.connects;
  if (end.line == nullptr) return never;
  const Pipe& in = end.in();
  if (kind == Kind::send) {
    if (channel.sending == nullptr) return never;
    return in.reset <= now() || !end.peer_open() || end.out().held < network.pipe_bytes ? now() : in.reset;
  }
  if (kind == Kind::depart) {  // while nobody reads
    bool unseen = channel.reader == nullptr && channel.armed && !channel.departure.is_set();
    return unseen ? std::min(in.end, in.reset) : never;
  }
  if (channel.reader == nullptr) {  // an armed receive takes what comes, within bounds
    bool takes = channel.armed && channel.stash.view().size() <= unasked_max && !in.segments.empty();
    return takes ? in.segments.front().due : never;
  }
  if (channel.reader->linked()) return never;
  if (!in.segments.empty()) return in.segments.front().due;
  return std::min(in.end, in.reset);
}

void SimLoop::happen(End& end, Kind kind) {
  Channel& channel = *end.channel;
  switch (kind) {
    case Kind::connect: return complete_connect(end);
    case Kind::send: return push(end);
    case Kind::depart:  // announced; the end is found by whoever reads next
      if (end.in().reset <= now()) channel.broken = true;
      return announce_departure(channel);
    case Kind::read:
      if (read(end) && channel.reader != nullptr) wake_reader(channel);
  }
}

SimLoop::End* SimLoop::find(int descriptor) {
  auto found = ends_.find(descriptor);
  return found == ends_.end() ? nullptr : &found->second;
}

SimLoop::End& SimLoop::make_end(std::shared_ptr<Line> line, int side) {
  auto* channel = new Channel(*this, *this);
  channel->descriptor = next_descriptor_++;
  return ends_.emplace(channel->descriptor, End{.channel = channel, .line = std::move(line), .side = side, .to = {}}).first->second;
}

Channel* SimLoop::adopt(int) { check_failed("SimLoop has no descriptors", __FILE__, __LINE__); }

// ---- Connections ----

Result<Channel*> SimLoop::open_connection(const Address& address) {
  End& end = make_end(nullptr, 0);
  start_connect(*end.channel, address);
  return end.channel;
}

void SimLoop::start_connect(Channel& channel, const Address& address) {
  End& end = *find(channel.descriptor);
  channel.connected = false;
  end.to = address;
  end.connects = now() + 2 * network.latency;
}

void SimLoop::complete_connect(End& end) {
  Channel& channel = *end.channel;
  const Fault* fault = nullptr;
  for (const Fault& candidate : faults_)
    if (listens_at(candidate.address, end.to)) fault = &candidate;
  std::vector<SimPort*> listening;
  for (SimPort* port : ports_)
    if (listens_at(port->address, end.to)) listening.push_back(port);
  SimPort* port = listening.empty() ? nullptr : listening[(seeded_ ? random_() : next_shared_++) % listening.size()];
  if ((fault != nullptr && !fault->refuses) || (fault == nullptr && port != nullptr && port->queue.size() == backlog_max)) {
    end.connects = never;
    return;
  }
  channel.connected = true;
  channel.broken = fault != nullptr || port == nullptr;
  if (!channel.broken) {
    end.line = std::make_shared<Line>();
    end.line->to = end.to;
    Address source = network.source.value_or(Address::loopback(0));
    if (end.to.is_unix()) {
      sockaddr unnamed{.sa_family = AF_UNIX, .sa_data = {}};
      source = Address::from(&unnamed, sizeof unnamed.sa_family);
    } else {
      source = with_port(source, next_source_++);
    }
    port->queue.emplace_back(make_end(end.line, 1).channel, source);
  }
  wake(channel.writer);
}

Result<std::unique_ptr<io::Port>> SimLoop::open_port(const Address& address, bool shared) {
  auto port = std::make_unique<SimPort>(*this, shared);
  port->address = !address.is_unix() && address.port() == 0 ? with_port(address, next_port_++) : address;
  for (const SimPort* other : ports_)
    if (other->address == port->address && !(shared && other->shared))
      return failure(Code::refused, Side::gateway, "cannot listen on " + address.text() + ": Address already in use");
  ports_.push_back(port.get());
  return port;
}

void SimLoop::release(Channel& channel) {
  End& end = *find(channel.descriptor);
  if (lent_to_ == &channel) lent_to_ = nullptr;
  if (end.line != nullptr) {
    bool abrupt = end.resets || (end.in().held > 0 && network.reset_on_unread_close);
    Instant arrives = now() + network.latency;
    Instant& mark = abrupt ? end.out().reset : end.out().end;
    mark = std::min(mark, arrives);
    end.line->open[end.side] = false;
  }
  ends_.erase(channel.descriptor);
  delete &channel;
}

// ---- Reading ----

uint64_t SimLoop::taken(Channel& channel) {
  End* end = find(channel.descriptor);
  return end == nullptr || end->line == nullptr ? 0 : end->out().taken;
}

std::string SimLoop::take(Pipe& pipe, size_t bytes) {
  std::string taken;
  while (!pipe.segments.empty() && pipe.segments.front().due <= now() && taken.size() < bytes) {
    Segment& segment = pipe.segments.front();
    size_t part = std::min(bytes - taken.size(), segment.bytes.size());
    taken.append(segment.bytes.data(), part);
    segment.bytes.remove_prefix(part);
    if (segment.bytes.empty()) pipe.segments.pop_front();
  }
  pipe.held -= taken.size();
  pipe.taken += taken.size();
  return taken;
}

bool SimLoop::read(End& end) {
  Channel& channel = *end.channel;
  Pipe& in = end.in();
  size_t bytes = network.one_byte_at_a_time ? 1 : network.chunk_bytes;
  if (channel.wants_bulk) bytes = std::min<size_t>(bytes, channel.bulk_max);
  auto taken = std::make_unique<std::string>(take(in, bytes));
  if (!taken->empty()) {
    if (channel.wants_bulk) {
      channel.bulk = Bytes::copy(*taken);
    } else if (channel.reader != nullptr && channel.stash.empty()) {
      lent_ = std::move(taken);
      lent_to_ = &channel;
      channel.lent = *lent_;
      channel.fresh = true;
    } else {
      channel.stash.append(*taken);
      channel.fresh = true;
    }
    return true;
  }
  if (!in.segments.empty()) return false;
  if (in.reset <= now())
    depart(channel, true);
  else if (in.end <= now())
    depart(channel, false);
  return channel.ended || channel.broken;
}

void SimLoop::shutdown_read(Channel& channel) {
  End& end = *find(channel.descriptor);
  if (end.line != nullptr) end.in().end = std::min(end.in().end, now());
}

bool SimLoop::poll_input(Channel& channel) {
  channel.armed = true;
  if (lent_to_ == &channel) {  // what was lent stands before what comes now
    keep_rest(channel);
    lent_to_ = nullptr;
  }
  End& end = *find(channel.descriptor);
  return flip() && end.line != nullptr && read(end);
}

bool SimLoop::poll_bulk(Channel& channel, size_t bytes) {
  channel.armed = false;  // the end of head mode
  End& end = *find(channel.descriptor);
  if (!flip() || end.line == nullptr) return false;
  channel.bulk_max = static_cast<uint32_t>(bytes);
  channel.wants_bulk = true;
  return read(end);
}

// ---- Writing ----

void SimLoop::start_send(Channel& channel) {
  End& end = *find(channel.descriptor);
  if (flip() && due(end, Kind::send) <= now()) push(end);
}

void SimLoop::push(End& end) {
  Channel& channel = *end.channel;
  if (end.in().reset <= now()) return finish_send(channel, true);
  if (!end.peer_open()) {  // the bytes go nowhere and a RST comes back
    end.in().reset = std::min(end.in().reset, now() + 2 * network.latency + 1ns);
    return finish_send(channel, false);
  }
  Pipe& out = end.out();
  size_t sent = 0;
  for (const Bytes& piece : channel.sending->pieces) {
    size_t part = std::min(piece.size(), network.pipe_bytes - std::min(network.pipe_bytes, out.held));
    if (part == 0) continue;
    out.segments.push_back({now() + network.latency, Bytes::copy(piece.view().substr(0, part))});
    out.held += part;
    sent += part;
  }
  if (channel.sending->advance(sent)) finish_send(channel, false);
}

void SimLoop::shutdown_write(Channel& channel) {
  End& end = *find(channel.descriptor);
  if (end.line == nullptr) return;
  end.out().end = std::min(end.out().end, now() + network.latency);
  if (channel.sending != nullptr) finish_send(channel, true);  // what had not gone never goes
  channel.send_broken = true;
}

void SimLoop::send_now(Channel& channel, std::string_view bytes) {
  End& end = *find(channel.descriptor);
  if (end.line == nullptr || end.in().reset <= now() || !end.peer_open() || end.out().end != never) return;
  Pipe& out = end.out();
  size_t part = std::min(bytes.size(), network.pipe_bytes - std::min(network.pipe_bytes, out.held));
  if (part == 0) return;
  out.segments.push_back({now() + network.latency, Bytes::copy(bytes.substr(0, part))});
  out.held += part;
}

void SimLoop::end_with_reset(Channel& channel) { find(channel.descriptor)->resets = true; }

}  // namespace portloom::testing
