// io/uring_loop.cpp
//
// The ring itself, a turn, and which completion goes to whom. Buffers of the ring go back as soon as the reader has run.
#include "io/uring_loop.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace portloom::io {
namespace {

constexpr unsigned entries = 1024;
constexpr unsigned ring_buffers = 256;          // a power of two
constexpr size_t ring_buffer_bytes = 8 * 1024;  // the kernel fills up to 32 for one socket before a cancel is seen

}  // namespace

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

std::string_view UringLoop::filled(unsigned buffer, size_t bytes) const { return {memory_ + buffer * ring_buffer_bytes, bytes}; }

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

Result<std::unique_ptr<Loop>> make_uring_loop() {
  auto loop = std::make_unique<UringLoop>();
  Result<void> opened = loop->open();
  if (!opened) return std::unexpected(std::move(opened.error()));
  return loop;
}

bool io_uring_works() { return make_uring_loop().has_value(); }

}  // namespace portloom::io
