// io/uring_receive.cpp
//
// What comes in: multishot receives into the ring of buffers for heads, single ones into Bytes of the reader's for bodies,
// and readiness for who reads by other means.
#include <unistd.h>

#include <cerrno>

#include "io/uring_loop.h"

namespace portloom::io {
namespace {

constexpr uint8_t short_answers_until_multishot = 8;
constexpr size_t stash_pause = 64 * 1024;  // unread bytes at which a multishot receive is cancelled

}  // namespace

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

void UringLoop::expect_bulk(Channel& channel) {
  disarm(channel);
  if (channel.outgoing) channel.long_answers = short_answers_until_multishot;
  channel.readable = true;  // the rest is seldom far behind
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
    std::string_view bytes = filled(buffer, static_cast<size_t>(completion.res));
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

}  // namespace portloom::io
