// io/uring_loop.cpp
//
// The engine of choice: one io_uring per worker, multishot accept and receive into a ring of provided buffers, single
// receives in body mode, submissions batched per turn. What an operation points to (Bytes, iovec, address) hangs on the
// Channel, which lives until its last completion (C11). Buffers of the ring go back as soon as the reader has run.
#include <liburing.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <deque>
#include <unordered_map>
#include <vector>

#include "io/engines.h"

namespace portloom::io {
namespace {

constexpr unsigned entries = 1024;
constexpr unsigned ring_buffers = 256;          // a power of two
constexpr size_t ring_buffer_bytes = 8 * 1024;  // the kernel fills up to 32 for one socket before a cancel is seen
constexpr uint16_t buffer_group = 0;
constexpr size_t quick_send_max = 16 * 1024;  // up to this a send is expected to go out within its submission
constexpr uint8_t short_answers_until_multishot = 8;
constexpr size_t stash_pause = 64 * 1024;  // unread bytes at which a multishot receive is cancelled

enum class Operation : uint64_t { none, receive, bulk, send, connect, accept, wake, readiness };
constexpr uint64_t operation_mask = 7;

struct UringPort;
void* number_as_object(uint64_t number) { return reinterpret_cast<void*>(number * (operation_mask + 1)); }

class UringLoop final : public Loop {
 public:
  UringLoop() : Loop(SteadyClock::now()) {}
  ~UringLoop() override;
  Result<void> open();
  std::string_view engine() const override { return "io_uring"; }

  void turn(Duration wait_max) override;
  Channel* adopt(int descriptor) override;
  bool poll_input(Channel& channel) override;
  bool poll_bulk(Channel& channel, size_t bytes) override;
  void expect_bulk(Channel& channel) override {
    disarm(channel);
    if (channel.outgoing) channel.long_answers = short_answers_until_multishot;
    channel.readable = true;  // the rest is seldom far behind
  }
  bool splices() const override { return true; }
  bool poll_readable(Channel& channel) override;
  void poll_writable(Channel& channel) override { poll_once(channel, POLLOUT); }
  void poll_once(Channel& channel, unsigned events);
  void watch(Channel& channel) override { arm(channel); }
  void start_send(Channel& channel) override;
  void submit_send(Channel& channel, size_t count, int flags, bool quiet);
  void start_connect(Channel& channel, const Address& address) override;
  void shutdown_write(Channel& channel) override { ::shutdown(channel.descriptor, SHUT_WR); }
  void shutdown_read(Channel& channel) override { ::shutdown(channel.descriptor, SHUT_RD); }
  void release(Channel& channel) override;
  Result<std::unique_ptr<Port>> open_port(const Address& address, bool shared) override;
  Result<Channel*> open_connection(const Address& address) override;
  void accept(UringPort& port);
  // Connections that the kernel accepted already and whose completions are still to be handled in this turn.
  void collect_accepted(UringPort& port);
  void forget(UringPort& port);

 private:
  io_uring_sqe* entry(void* object, Operation operation);
  void listen_to_mailbox();
  void arm(Channel& channel);
  void disarm(Channel& channel);
  void submit_bulk(Channel& channel);
  void complete(const io_uring_cqe& completion);
  void received(Channel& channel, const io_uring_cqe& completion);
  void received_bulk(Channel& channel, int result);
  void became_ready(Channel& channel, int events);
  void sent(Channel& channel, int result);
  bool somebody_waits_for_quick_sends() const;
  void note_refused_sends();
  void confirm_quick_sends();
  void accepted(const io_uring_cqe& completion);
  void give_back(unsigned buffer);
  void settle(Channel& channel);

  io_uring ring_{};
  bool opened_ = false;
  io_uring_buf_ring* buffers_ = nullptr;
  char* memory_ = nullptr;
  List<Channel> channels_;
  std::vector<Channel*> quick_;       // sends that complete within the next submission, or say so
  std::vector<Channel*> confirming_;  // those of the last submission
  List<Channel> released_at_end_;
  Channel* keep_alive_ = nullptr;                   // whose lent bytes are being read; null once it is deleted
  std::unordered_map<uint64_t, UringPort*> ports_;  // by number: memory is reused while completions are on their way
  uint64_t next_port_ = 0;
};

struct UringPort final : Port {
  UringPort(UringLoop& owner, int listening) : loop(owner), descriptor(listening) {}
  ~UringPort() override {
    for (int waiting : queue) ::close(waiting);
    loop.forget(*this);
    ::close(descriptor);
  }
  bool poll() override {
    while (!queue.empty()) {
      int connected = queue.front();
      queue.pop_front();
      sockaddr_storage storage;
      socklen_t size = sizeof storage;
      if (::getpeername(connected, reinterpret_cast<sockaddr*>(&storage), &size) != 0) {
        ::close(connected);  // reset already; nobody may be served whose address is not known
        continue;
      }
      peer = Address::from(reinterpret_cast<sockaddr*>(&storage), size);
      accepted = loop.adopt(connected);
      return true;
    }
    if (error != 0) return true;
    if (!armed) loop.accept(*this);
    return false;
  }
  bool poll_last() override {
    if (queue.empty()) loop.collect_accepted(*this);
    if (queue.empty()) {
      int connected = ::accept4(descriptor, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (connected < 0) return false;
      queue.push_back(connected);
    }
    armed = true;  // poll() must not ask for more
    return poll();
  }
  UringLoop& loop;
  int descriptor;
  std::deque<int> queue;
  uint64_t number = 0;  // of the accept that is out
  bool armed = false;
};

Result<void> UringLoop::open() {
  io_uring_params parameters{};
  parameters.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CQSIZE;
  parameters.cq_entries = 4 * entries;
  int error = io_uring_queue_init_params(entries, &ring_, &parameters);
  if (error < 0) return failure(Code::exhausted, Side::gateway, std::string("io_uring: ") + std::strerror(-error));
  opened_ = true;
  io_uring_register_ring_fd(&ring_);
  size_t ring_bytes = ring_buffers * sizeof(io_uring_buf);
  void* memory = ::mmap(nullptr, ring_bytes + ring_buffers * ring_buffer_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return failure(Code::exhausted, Side::gateway, "io_uring: no memory for the buffer ring");
  buffers_ = static_cast<io_uring_buf_ring*>(memory);
  memory_ = static_cast<char*>(memory) + ring_bytes;
  io_uring_buf_reg registration{};
  registration.ring_addr = reinterpret_cast<uint64_t>(buffers_);
  registration.ring_entries = ring_buffers;
  registration.bgid = buffer_group;
  error = io_uring_register_buf_ring(&ring_, &registration, 0);
  if (error < 0) return failure(Code::exhausted, Side::gateway, std::string("io_uring buffer ring: ") + std::strerror(-error));
  io_uring_buf_ring_init(buffers_);
  for (unsigned i = 0; i < ring_buffers; ++i)
    io_uring_buf_ring_add(buffers_, memory_ + i * ring_buffer_bytes, ring_buffer_bytes, static_cast<uint16_t>(i), ring_buffers - 1,
                          static_cast<int>(i));
  io_uring_buf_ring_advance(buffers_, ring_buffers);
  listen_to_mailbox();
  return {};
}

UringLoop::~UringLoop() {
  while (Channel* channel = channels_.pop_front()) {
    ::close(channel->descriptor);
    channel->descriptor = -1;
    released_at_end_.push_back(*channel);
  }
  if (opened_) io_uring_queue_exit(&ring_);  // after it no operation points anywhere
  while (Channel* channel = released_at_end_.pop_front()) delete channel;
  if (buffers_ != nullptr) ::munmap(buffers_, ring_buffers * sizeof(io_uring_buf) + ring_buffers * ring_buffer_bytes);
}

io_uring_sqe* UringLoop::entry(void* object, Operation operation) {
  io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
  while (sqe == nullptr) {
    io_uring_submit(&ring_);
    sqe = io_uring_get_sqe(&ring_);
  }
  sqe->user_data = reinterpret_cast<uint64_t>(object) | static_cast<uint64_t>(operation);
  return sqe;
}

// The preparing functions clear user_data, so it is set behind them.
template <class Prepare>
io_uring_sqe* prepared(io_uring_sqe* sqe, Prepare prepare) {
  uint64_t user_data = sqe->user_data;
  prepare(sqe);
  sqe->user_data = user_data;
  return sqe;
}

void UringLoop::listen_to_mailbox() {
  prepared(entry(nullptr, Operation::wake),
           [this](io_uring_sqe* sqe) { io_uring_prep_poll_multishot(sqe, mailbox_.descriptor(), POLLIN); });
}

void UringLoop::turn(Duration wait_max) {
  Duration wait = idle() ? std::min(wait_max, next_timer() == never ? wait_max : next_timer() - now()) : Duration{0};
  wait = std::clamp(wait, Duration{0}, Duration{60s});
  __kernel_timespec timeout{.tv_sec = wait.count() / 1'000'000'000, .tv_nsec = wait.count() % 1'000'000'000};
  io_uring_cqe* first = nullptr;
  // Who waits for a send that ends with its submission must not wait for the next event (a record would come late).
  if (somebody_waits_for_quick_sends())
    io_uring_submit_and_get_events(&ring_);
  else
    io_uring_submit_and_wait_timeout(&ring_, &first, 1, &timeout, nullptr);
  set_now(SteadyClock::now());
  if (!quick_.empty()) {
    confirming_.swap(quick_);
    note_refused_sends();
    confirm_quick_sends();
  }
  unsigned head = 0;
  unsigned count = 0;
  io_uring_cqe* completion = nullptr;
  io_uring_for_each_cqe(&ring_, head, completion) {
    io_uring_cqe handled = *completion;
    completion->user_data = 0;  // collect_accepted looks at what was not handled yet
    complete(handled);
    ++count;
  }
  io_uring_cq_advance(&ring_, count);
  advance_to(now());
  run_ready();
}

Channel* UringLoop::adopt(int descriptor) {
  auto* channel = new Channel(*this, *this);
  channel->descriptor = descriptor;
  channels_.push_back(*channel);
  return channel;
}

void UringLoop::arm(Channel& channel) {
  if (channel.armed || channel.bulk_out || channel.ended || channel.broken || channel.released) return;
  // A multishot receive has to be cancelled before a long answer's body, which costs more than it saved.
  channel.multishot = channel.long_answers == 0;
  if (!channel.multishot) --channel.long_answers;
  io_uring_sqe* sqe = prepared(entry(&channel, Operation::receive), [&](io_uring_sqe* fresh) {
    if (channel.multishot)
      io_uring_prep_recv_multishot(fresh, channel.descriptor, nullptr, 0, 0);
    else
      io_uring_prep_recv(fresh, channel.descriptor, nullptr, 0, 0);
  });
  sqe->flags |= IOSQE_BUFFER_SELECT;
  sqe->buf_group = buffer_group;
  sqe->ioprio |= IORING_RECVSEND_POLL_FIRST;
  channel.armed = true;
  channel.cancelling = false;
  ++channel.inflight;
}

void UringLoop::disarm(Channel& channel) {
  if (!channel.armed || channel.cancelling) return;
  channel.cancelling = true;
  uint64_t target = reinterpret_cast<uint64_t>(&channel) | static_cast<uint64_t>(Operation::receive);
  prepared(entry(nullptr, Operation::none), [&](io_uring_sqe* sqe) { io_uring_prep_cancel64(sqe, target, 0); });
}

bool UringLoop::poll_input(Channel& channel) {
  arm(channel);
  return false;
}

bool UringLoop::poll_bulk(Channel& channel, size_t) {
  if (channel.bulk_out) return false;
  if (channel.armed)
    disarm(channel);
  else
    submit_bulk(channel);
  return false;
}

void UringLoop::submit_bulk(Channel& channel) {
  if (channel.ended || channel.broken || channel.released) return;
  channel.bulk = Bytes::uninitialized(channel.bulk_max);
  prepared(entry(&channel, Operation::bulk),
           [&](io_uring_sqe* sqe) { io_uring_prep_recv(sqe, channel.descriptor, channel.bulk.writable(), channel.bulk.size(), 0); });
  channel.bulk_out = true;
  ++channel.inflight;
}

void UringLoop::poll_once(Channel& channel, unsigned events) {
  if (channel.released) return;
  prepared(entry(&channel, Operation::readiness), [&](io_uring_sqe* sqe) { io_uring_prep_poll_add(sqe, channel.descriptor, events); });
  ++channel.inflight;
}

bool UringLoop::poll_readable(Channel& channel) {
  if (channel.readable) return true;
  poll_once(channel, POLLIN | POLLRDHUP);
  return false;
}

// One that nobody waits for any more may come late: only whoever waits for readiness is woken by it.
void UringLoop::became_ready(Channel& channel, int events) {
  if (events < 0) return;
  if ((events & ~POLLOUT) != 0 && channel.wants_ready) {
    channel.is_ready = true;
    wake(channel.reader);
  }
  if ((events & (POLLOUT | POLLERR | POLLHUP)) != 0) {
    channel.writable = true;
    if (channel.wants_writable) wake(channel.writer);
  }
}

// A small send is tried once, without waiting, and makes a completion only if it was refused or cut short: without one it
// is over when the submission returns. Saves a completion per message and, where nobody waits for it, a system call.
void UringLoop::start_send(Channel& channel) {
  size_t count = channel.sending->prepare();
  bool quick = channel.sending->pieces[0].size() + channel.sending->pieces[1].size() <= quick_send_max;
  submit_send(channel, count, MSG_NOSIGNAL | MSG_WAITALL | (quick ? MSG_DONTWAIT : 0), quick);
  if (quick) quick_.push_back(&channel);
}

void UringLoop::submit_send(Channel& channel, size_t count, int flags, bool quiet) {
  ++channel.inflight;
  io_uring_sqe* sqe = prepared(entry(&channel, Operation::send), [&](io_uring_sqe* fresh) {
    if (count == 1)
      io_uring_prep_send(fresh, channel.descriptor, channel.sending->vectors[0].iov_base, channel.sending->vectors[0].iov_len, flags);
    else
      io_uring_prep_sendmsg(fresh, channel.descriptor, &channel.sending->message, static_cast<unsigned>(flags));
  });
  if (quiet) sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
}

bool UringLoop::somebody_waits_for_quick_sends() const {
  return std::any_of(quick_.begin(), quick_.end(), [](const Channel* channel) {
    return channel->above != nullptr ? channel->above->awaits_output() : channel->writer != nullptr;
  });
}

// Completions of quick sends mean that they are not over; their handling follows in order (sent()).
void UringLoop::note_refused_sends() {
  unsigned head = 0;
  io_uring_cqe* completion = nullptr;
  io_uring_for_each_cqe(&ring_, head, completion) {
    if (static_cast<Operation>(completion->user_data & operation_mask) == Operation::send)
      reinterpret_cast<Channel*>(completion->user_data & ~operation_mask)->send_refused = true;
  }
}

// Before any other completion is handled: an answer may be among them, and its request has been sent.
void UringLoop::confirm_quick_sends() {
  for (Channel* channel : confirming_) {
    if (channel->send_refused) {
      channel->send_refused = false;
      continue;
    }
    --channel->inflight;
    if (channel->released) {
      delete std::exchange(channel->sending, nullptr);
      settle(*channel);
    } else {
      finish_send(*channel, false);
    }
  }
  confirming_.clear();
}

void UringLoop::start_connect(Channel& channel, const Address& address) {
  // The address must live until the completion: it rides in the place of the first body buffer.
  channel.connected = false;
  channel.bulk = Bytes::uninitialized(sizeof(sockaddr_storage));
  auto* storage = reinterpret_cast<sockaddr_storage*>(channel.bulk.writable());
  sockaddr_storage filled;
  socklen_t size = address.fill(filled);
  std::memcpy(storage, &filled, sizeof filled);
  prepared(entry(&channel, Operation::connect),
           [&](io_uring_sqe* sqe) { io_uring_prep_connect(sqe, channel.descriptor, reinterpret_cast<sockaddr*>(storage), size); });
  ++channel.inflight;
}

Result<Channel*> UringLoop::open_connection(const Address& address) {
  Result<int> descriptor = open_connecting(address);
  if (!descriptor) return std::unexpected(std::move(descriptor.error()));
  Channel* channel = adopt(*descriptor);
  channel->outgoing = true;
  start_connect(*channel, address);
  return channel;
}

void UringLoop::release(Channel& channel) {
  channel.released = true;
  channel.reader = channel.writer = nullptr;
  channel.lent = {};
  if (channel.inflight > 0) {
    prepared(entry(nullptr, Operation::none),
             [&](io_uring_sqe* sqe) { io_uring_prep_cancel_fd(sqe, channel.descriptor, IORING_ASYNC_CANCEL_ALL); });
  }
  settle(channel);
}

void UringLoop::settle(Channel& channel) {
  if (!channel.released || channel.inflight > 0) return;
  ::close(channel.descriptor);
  if (keep_alive_ == &channel) keep_alive_ = nullptr;
  delete &channel;
}

void UringLoop::give_back(unsigned buffer) {
  io_uring_buf_ring_add(buffers_, memory_ + buffer * ring_buffer_bytes, ring_buffer_bytes, static_cast<uint16_t>(buffer), ring_buffers - 1,
                        0);
  io_uring_buf_ring_advance(buffers_, 1);
}

void UringLoop::complete(const io_uring_cqe& completion) {
  auto operation = static_cast<Operation>(completion.user_data & operation_mask);
  void* object = reinterpret_cast<void*>(completion.user_data & ~operation_mask);
  switch (operation) {
    case Operation::none: return;
    case Operation::wake:
      mailbox_.deliver();
      if ((completion.flags & IORING_CQE_F_MORE) == 0) listen_to_mailbox();
      run_ready();
      return;
    case Operation::accept: return accepted(completion);
    case Operation::receive: return received(*static_cast<Channel*>(object), completion);
    default: break;
  }
  auto& channel = *static_cast<Channel*>(object);
  --channel.inflight;
  if (operation == Operation::bulk) received_bulk(channel, completion.res);
  if (operation == Operation::send) sent(channel, completion.res);
  if (operation == Operation::readiness) became_ready(channel, completion.res);
  if (operation == Operation::connect) {
    channel.bulk = {};
    channel.connected = true;
    channel.broken = completion.res < 0;
    wake(channel.writer);
  }
  if (channel.released) return settle(channel);
  run_ready();
}

void UringLoop::received(Channel& channel, const io_uring_cqe& completion) {
  bool more = (completion.flags & IORING_CQE_F_MORE) != 0;
  bool unforeseen = !more && channel.multishot && !channel.cancelling;  // no buffer, no room for completions
  if (!more) {
    --channel.inflight;
    channel.armed = channel.cancelling = false;
  }
  bool has_buffer = (completion.flags & IORING_CQE_F_BUFFER) != 0;
  unsigned buffer = completion.flags >> IORING_CQE_BUFFER_SHIFT;
  if (channel.released) {
    if (has_buffer) give_back(buffer);
    return settle(channel);
  }
  bool lent = false;
  if (completion.res > 0 && has_buffer) {
    std::string_view bytes(memory_ + buffer * ring_buffer_bytes, static_cast<size_t>(completion.res));
    if (channel.reader != nullptr && channel.stash.empty()) {
      channel.lent = bytes;
      lent = true;
    } else {
      channel.stash.append(bytes, channel.cancelling ? stash_pause : 0);
    }
    channel.fresh = true;
    wake_reader(channel);
    if (channel.stash.view().size() > stash_pause) disarm(channel);
  } else if (completion.res == 0) {
    depart(channel, false);
  } else if (completion.res == -ECANCELED || completion.res == -ENOBUFS) {
    // Cancelled for body mode or because nobody reads; or the ring was empty for a moment. Who was woken already asks again.
    if (channel.reader != nullptr && !channel.reader->linked()) {
      if (channel.wants_bulk)
        submit_bulk(channel);
      else
        arm(channel);
    }
  } else if (completion.res < 0) {
    depart(channel, true);
  }
  // The kernel ended it unasked: a departure must still be noticed while nobody reads.
  bool unasked = unforeseen && (completion.res > 0 || completion.res == -ENOBUFS);
  if (unasked && !channel.wants_bulk && channel.stash.view().size() <= stash_pause) arm(channel);
  keep_alive_ = &channel;
  run_ready();
  if (lent && keep_alive_ == &channel) keep_rest(channel);
  keep_alive_ = nullptr;
  if (has_buffer) give_back(buffer);
}

void UringLoop::received_bulk(Channel& channel, int result) {
  channel.bulk_out = false;
  Bytes bytes = std::move(channel.bulk);
  if (result > 0) {
    bytes.truncate(static_cast<size_t>(result));
    if (channel.wants_bulk) {
      channel.bulk = std::move(bytes);
    } else {
      channel.stash.append(bytes);  // its reader has gone; the bytes stay
      channel.fresh = true;
    }
    wake_reader(channel);
  } else if (result == 0) {
    depart(channel, false);
  } else if (result != -ECANCELED) {
    depart(channel, true);
  }
}

void UringLoop::sent(Channel& channel, int result) {
  channel.send_refused = false;  // noted for any completion of a send; only quick ones are confirmed by its absence
  if (channel.sending == nullptr) return;
  if (channel.released) {
    delete std::exchange(channel.sending, nullptr);
    return;
  }
  if (result < 0 && result != -EAGAIN) return finish_send(channel, true);
  if (result > 0 && channel.sending->advance(static_cast<size_t>(result))) return finish_send(channel, false);
  submit_send(channel, channel.sending->prepare(), MSG_NOSIGNAL | MSG_WAITALL, false);  // the kernel goes on when there is room
}

void UringLoop::accept(UringPort& port) {
  port.armed = true;
  port.number = ++next_port_;
  ports_.emplace(port.number, &port);
  prepared(entry(number_as_object(port.number), Operation::accept), [&](io_uring_sqe* sqe) {
    io_uring_prep_multishot_accept(sqe, port.descriptor, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
  });
}

void UringLoop::collect_accepted(UringPort& port) {
  uint64_t sought = reinterpret_cast<uint64_t>(number_as_object(port.number)) | static_cast<uint64_t>(Operation::accept);
  unsigned head = 0;
  io_uring_cqe* completion = nullptr;
  io_uring_for_each_cqe(&ring_, head, completion) {
    if (completion->user_data != sought || completion->res < 0) continue;
    port.queue.push_back(completion->res);
    completion->user_data = 0;
  }
}

void UringLoop::forget(UringPort& port) {
  if (ports_.erase(port.number) == 0 || !port.armed) return;
  uint64_t target = reinterpret_cast<uint64_t>(number_as_object(port.number)) | static_cast<uint64_t>(Operation::accept);
  prepared(entry(nullptr, Operation::none), [&](io_uring_sqe* sqe) { io_uring_prep_cancel64(sqe, target, 0); });
  io_uring_submit(&ring_);  // before the descriptor is closed
}

void UringLoop::accepted(const io_uring_cqe& completion) {
  auto found = ports_.find(completion.user_data / (operation_mask + 1));
  if (found == ports_.end()) {  // the port was closed meanwhile
    if (completion.res >= 0) ::close(completion.res);
    return;
  }
  UringPort& port = *found->second;
  if ((completion.flags & IORING_CQE_F_MORE) == 0) {
    port.armed = false;
    ports_.erase(found);
  }
  if (completion.res >= 0)
    port.queue.push_back(completion.res);
  else if (completion.res != -ECANCELED && completion.res != -ECONNABORTED)
    port.error = -completion.res;
  if (port.waiter != nullptr && !port.waiter->linked() && port.poll()) wake(port.waiter);
  run_ready();
}

Result<std::unique_ptr<Port>> UringLoop::open_port(const Address& address, bool shared) {
  Address bound;
  Result<int> descriptor = open_listening(address, shared, bound);
  if (!descriptor) return std::unexpected(std::move(descriptor.error()));
  auto port = std::make_unique<UringPort>(*this, *descriptor);
  port->address = bound;
  return port;
}

}  // namespace

Result<std::unique_ptr<Loop>> make_uring_loop() {
  auto loop = std::make_unique<UringLoop>();
  Result<void> opened = loop->open();
  if (!opened) return std::unexpected(std::move(opened.error()));
  return loop;
}

bool io_uring_works() { return make_uring_loop().has_value(); }

}  // namespace portloom::io
