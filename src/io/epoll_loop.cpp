// io/epoll_loop.cpp
//
// The engine for where io_uring is not to be had: edge-triggered epoll, one registration per socket for its whole life.
// A read is tried only after the kernel said that there is something, and a short read ends it without another call.
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <unordered_set>
#include <vector>

#include "io/engines.h"
#include "io/last_call.h"

namespace portloom::io {
namespace {

constexpr size_t scratch_bytes = 64 * 1024;
constexpr size_t answer_head_bytes = 16 * 1024;  // the first read of an answer: what is long goes on in body mode, or through a pipe
constexpr int events_max = 64;                   // of one turn: bounds how long a send waits for its turn's end

class EpollPort;

class EpollLoop final : public Loop {
 public:
  explicit EpollLoop(int descriptor) : Loop(SteadyClock::now()), epoll_(descriptor), scratch_(scratch_bytes) {
    epoll_event event{.events = EPOLLIN, .data = {.ptr = nullptr}};
    ::epoll_ctl(epoll_, EPOLL_CTL_ADD, mailbox_.descriptor(), &event);
  }
  ~EpollLoop() override {
    while (Channel* channel = channels_.pop_front()) destroy(*channel);
    free_released();
    ::close(epoll_);
  }
  std::string_view engine() const override { return "epoll"; }

  void turn(Duration wait_max) override;
  Channel* adopt(int descriptor) override;
  bool poll_input(Channel& channel) override;
  bool poll_bulk(Channel& channel, size_t bytes) override;
  bool splices() const override { return true; }
  bool poll_readable(Channel& channel) override { return channel.readable; }
  void watch(Channel&) override {}  // every registration asks for RDHUP
  // Sends of one turn go out together at its end: peers that sleep are woken once and not once per message.
  void start_send(Channel& channel) override { pending_.push_back(&channel); }
  void start_connect(Channel& channel, const Address& address) override;
  void shutdown_write(Channel& channel) override { ::shutdown(channel.descriptor, SHUT_WR); }
  void shutdown_read(Channel& channel) override { ::shutdown(channel.descriptor, SHUT_RD); }
  void release(Channel& channel) override;
  Result<std::unique_ptr<Port>> open_port(const Address& address, bool shared) override;
  Result<Channel*> open_connection(const Address& address) override;

 private:
  friend class EpollPort;
  void handle(Channel& channel, uint32_t events);
  void push(Channel& channel);
  void send_pending();
  void destroy(Channel& channel) {
    if (channel.descriptor >= 0) ::close(channel.descriptor);
    delete &channel;
  }
  void free_released() {
    while (Channel* channel = released_.pop_front()) delete channel;
  }
  // A read into `memory`; false when there was nothing. Notes the end and failures.
  ssize_t read_some(Channel& channel, char* memory, size_t bytes);

  int epoll_;
  std::vector<char> scratch_;
  Channel* lent_to_ = nullptr;
  std::vector<Channel*> pending_;  // with something to send; freed only at a turn's end, behind them
  std::vector<Channel*> pushing_;
  List<Channel> channels_;
  List<Channel> released_;
  std::unordered_set<EpollPort*> ports_;
};

// Ports are told from channels by the lowest bit of the registered pointer.
class EpollPort final : public Port {
 public:
  EpollPort(EpollLoop& loop, int descriptor) : loop_(loop), descriptor_(descriptor) { loop_.ports_.insert(this); }
  ~EpollPort() override {
    loop_.ports_.erase(this);
    ::close(descriptor_);
  }
  bool poll() override {
    if (!readable) return false;
    sockaddr_storage storage;
    socklen_t size = sizeof storage;
    int accepted_descriptor = ::accept4(descriptor_, reinterpret_cast<sockaddr*>(&storage), &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (accepted_descriptor >= 0) {
      accepted = loop_.adopt(accepted_descriptor);
      peer = Address::from(reinterpret_cast<sockaddr*>(&storage), size);
      return true;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
      readable = false;
      return false;
    }
    if (errno == ECONNABORTED || errno == EINTR || errno == EPROTO) return poll();
    error = errno;
    return true;
  }
  bool poll_last() override {
    if (!last_) begin_no_handshake(descriptor_);
    last_ = true;
    readable = true;
    return poll();
  }
  int descriptor() const { return descriptor_; }
  bool readable = true;

 private:
  EpollLoop& loop_;
  int descriptor_;
  bool last_ = false;  // poll_last() was called
};

void EpollLoop::send_pending() {
  while (!pending_.empty()) {
    pushing_.swap(pending_);
    for (Channel* channel : pushing_)
      if (!channel->released && channel->sending != nullptr) push(*channel);
    pushing_.clear();
    run_ready();  // who waited for a send may send again
  }
}

void EpollLoop::turn(Duration wait_max) {
  send_pending();
  Duration wait = idle() ? std::min(wait_max, next_timer() == never ? wait_max : next_timer() - now()) : Duration{0};
  int64_t milliseconds = wait <= 0ns ? 0 : std::min<int64_t>((wait.count() + 999'999) / 1'000'000, 60'000);
  std::array<epoll_event, events_max> events;
  int count = ::epoll_wait(epoll_, events.data(), events_max, static_cast<int>(milliseconds));
  set_now(SteadyClock::now());
  for (int i = 0; i < count; ++i) {
    const epoll_event& event = events[static_cast<size_t>(i)];
    if (event.data.ptr == nullptr) {
      mailbox_.deliver();
    } else if ((event.data.u64 & 1) != 0) {
      auto* port = reinterpret_cast<EpollPort*>(event.data.u64 & ~uint64_t{1});
      if (!ports_.contains(port)) continue;  // closed earlier in this turn
      port->readable = true;
      if (port->waiter != nullptr && !port->waiter->linked() && port->poll()) wake(port->waiter);
    } else {
      auto& channel = *static_cast<Channel*>(event.data.ptr);
      if (!channel.released) handle(channel, event.events);
    }
    run_ready();  // one event, then its consequences: the scratch buffer is lent to one reader at a time
  }
  advance_to(now());
  run_ready();
  send_pending();
  if (lent_to_ != nullptr) keep_rest(*lent_to_);
  lent_to_ = nullptr;
  free_released();
}

Channel* EpollLoop::adopt(int descriptor) {
  auto* channel = new Channel(*this, *this);
  channel->descriptor = descriptor;
  channels_.push_back(*channel);
  epoll_event event{.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data = {.ptr = channel}};
  if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, descriptor, &event) != 0) channel->broken = channel->send_broken = true;
  return channel;
}

void EpollLoop::handle(Channel& channel, uint32_t events) {
  if (!channel.connected) {
    if ((events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) == 0) return;
    int error = 0;
    socklen_t size = sizeof error;
    ::getsockopt(channel.descriptor, SOL_SOCKET, SO_ERROR, &error, &size);
    channel.connected = true;
    channel.broken = error != 0;
    wake(channel.writer);
    if ((events & EPOLLIN) == 0) return;
  }
  if ((events & EPOLLOUT) != 0 && !channel.writable) {
    channel.writable = true;
    if (channel.sending != nullptr)
      push(channel);
    else if (channel.wants_writable)
      wake(channel.writer);
  }
  if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) == 0) return;
  channel.readable = true;
  if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) {
    channel.hung_up = true;
    if ((events & (EPOLLERR | EPOLLHUP)) != 0 && (events & EPOLLIN) == 0) depart(channel, (events & EPOLLERR) != 0);
  }
  if (channel.reader != nullptr && !channel.reader->linked()) {
    if (channel.wants_ready) {
      channel.is_ready = true;
      wake(channel.reader);
    } else if (channel.wants_bulk ? poll_bulk(channel, channel.bulk_max) : poll_input(channel)) {
      wake_reader(channel);
    }
  } else if (channel.hung_up && !channel.ended) {
    // Nobody reads: the end is announced, and found again by whoever reads next.
    announce_departure(channel);
    if ((events & EPOLLERR) != 0) channel.broken = true;
  }
}

ssize_t EpollLoop::read_some(Channel& channel, char* memory, size_t bytes) {
  ssize_t got = 0;
  do {
    got = ::recv(channel.descriptor, memory, bytes, 0);
  } while (got < 0 && errno == EINTR);
  if (got > 0) {
    if (static_cast<size_t>(got) < bytes && !channel.hung_up) channel.readable = false;  // the bottom was seen
    return got;
  }
  if (got == 0) {
    depart(channel, false);
  } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
    channel.readable = false;
  } else {
    depart(channel, true);
  }
  return 0;
}

bool EpollLoop::poll_input(Channel& channel) {
  if (!channel.readable) return false;
  if (lent_to_ != nullptr) keep_rest(*lent_to_);
  lent_to_ = nullptr;
  ssize_t got = read_some(channel, scratch_.data(), channel.outgoing ? answer_head_bytes : scratch_.size());
  if (got <= 0) return channel.ended || channel.broken;
  std::string_view bytes(scratch_.data(), static_cast<size_t>(got));
  if (channel.stash.empty()) {
    channel.lent = bytes;
    lent_to_ = &channel;
  } else {
    channel.stash.append(bytes);
  }
  channel.fresh = true;
  return true;
}

bool EpollLoop::poll_bulk(Channel& channel, size_t bytes) {
  if (!channel.readable) return false;
  Bytes buffer = Bytes::uninitialized(bytes);
  ssize_t got = read_some(channel, buffer.writable(), bytes);
  if (got <= 0) return channel.ended || channel.broken;
  buffer.truncate(static_cast<size_t>(got));
  channel.bulk = std::move(buffer);
  return true;
}

void EpollLoop::push(Channel& channel) {
  while (channel.writable) {
    ssize_t sent = 0;
    if (channel.sending->pieces[1].empty()) {
      const Bytes& piece = channel.sending->pieces[0];
      sent = ::send(channel.descriptor, piece.data(), piece.size(), MSG_NOSIGNAL);
    } else {
      channel.sending->prepare();
      sent = ::sendmsg(channel.descriptor, &channel.sending->message, MSG_NOSIGNAL);
    }
    if (sent >= 0) {
      if (channel.sending->advance(static_cast<size_t>(sent))) return finish_send(channel, false);
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      channel.writable = false;
    } else if (errno != EINTR) {
      return finish_send(channel, true);
    }
  }
}

void EpollLoop::start_connect(Channel& channel, const Address& address) {
  sockaddr_storage storage;
  socklen_t size = address.fill(storage);
  channel.connected = false;
  if (::connect(channel.descriptor, reinterpret_cast<sockaddr*>(&storage), size) == 0) {
    channel.connected = true;
  } else if (errno != EINPROGRESS) {
    channel.connected = true;
    channel.broken = true;
  }
}

Result<Channel*> EpollLoop::open_connection(const Address& address) {
  Result<int> descriptor = open_connecting(address);
  if (!descriptor) return std::unexpected(std::move(descriptor.error()));
  // Connect first and register then: an unconnected socket would report a hang-up at once.
  auto* channel = new Channel(*this, *this);
  channel->descriptor = *descriptor;
  channel->outgoing = true;
  channels_.push_back(*channel);
  start_connect(*channel, address);
  epoll_event event{.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data = {.ptr = channel}};
  if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, *descriptor, &event) != 0) channel->broken = channel->send_broken = true;
  return channel;
}

void EpollLoop::release(Channel& channel) {
  if (lent_to_ == &channel) lent_to_ = nullptr;
  ::close(channel.descriptor);
  channel.descriptor = -1;
  channel.released = true;
  channel.unlink();
  released_.push_back(channel);  // events of this turn may still name it
}

Result<std::unique_ptr<Port>> EpollLoop::open_port(const Address& address, bool shared) {
  Address bound;
  Result<int> descriptor = open_listening(address, shared, bound);
  if (!descriptor) return std::unexpected(std::move(descriptor.error()));
  auto port = std::make_unique<EpollPort>(*this, *descriptor);
  port->address = bound;
  epoll_event event{.events = EPOLLIN | EPOLLET, .data = {.u64 = reinterpret_cast<uint64_t>(port.get()) | 1}};
  if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, *descriptor, &event) != 0) return failure(Code::exhausted, Side::gateway, "epoll_ctl failed");
  return port;
}

}  // namespace

Result<std::unique_ptr<Loop>> make_epoll_loop() {
  int descriptor = ::epoll_create1(EPOLL_CLOEXEC);
  if (descriptor < 0) return failure(Code::exhausted, Side::gateway, "cannot create an epoll instance");
  return std::make_unique<EpollLoop>(descriptor);
}

}  // namespace portloom::io
