// io/uring_send.cpp
//
// What goes out: quick sends, which are over when their submission returns, and those the kernel goes on with; connecting.
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "io/uring_loop.h"

namespace portloom::io {
namespace {

constexpr size_t quick_send_max = 16 * 1024;  // up to this a send is expected to go out within its submission

}  // namespace

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

}  // namespace portloom::io
