// io/pipe.cpp
//
// splice(2), without waiting; readiness is the engine's affair.
#include "io/pipe.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "io/channel.h"
#include "io/loop.h"

namespace portloom::io {

Pipes::~Pipes() {
  for (Ends ends : idle_) {
    ::close(ends.in);
    ::close(ends.out);
  }
}

bool Pipes::lend(Ends& ends) {
  if (lent_ == pipes_max) return false;
  if (!idle_.empty()) {
    ends = idle_.back();
    idle_.pop_back();
  } else {
    int both[2];
    if (::pipe2(both, O_NONBLOCK | O_CLOEXEC) != 0) return false;
    ends = {.out = both[0], .in = both[1]};
    (void)::fcntl(ends.in, F_SETPIPE_SZ, static_cast<int>(bytes_each));  // refused where the user holds too many: a small one will do
  }
  ++lent_;
  return true;
}

void Pipes::give_back(Ends ends, bool empty) {
  --lent_;
  if (empty) {
    idle_.push_back(ends);
    return;
  }
  ::close(ends.in);
  ::close(ends.out);
}

void Pipe::give_back() {
  owner_->give_back(std::exchange(ends_, {}), held_ == 0);
  held_ = 0;
}

Pipe::Filled Pipe::fill(Channel& from, size_t bytes_max) {
  if (ends_.in < 0) {
    owner_ = &from.loop.pipes();
    if (!owner_->lend(ends_)) return Filled::no_pipe;
  }
  ssize_t got = 0;
  do {
    got = ::splice(from.descriptor, nullptr, ends_.in, nullptr, bytes_max, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
  } while (got < 0 && errno == EINTR);
  if (got > 0) {
    held_ = static_cast<size_t>(got);
    return Filled::bytes;
  }
  int error = errno;
  give_back();
  if (got == 0) {
    from.loop.depart(from, false);
    return Filled::end;
  }
  if (error == EAGAIN || error == EWOULDBLOCK) {
    from.readable = false;
    return Filled::nothing_yet;
  }
  from.loop.depart(from, true);
  return Filled::broken;
}

bool Pipe::drain(Channel& to) {
  while (held_ > 0 && !to.send_broken) {
    ssize_t gone = ::splice(ends_.out, nullptr, to.descriptor, nullptr, held_, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
    if (gone > 0) {
      held_ -= static_cast<size_t>(gone);
    } else if (gone < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
      to.writable = false;
      return true;
    } else if (gone == 0 || errno != EINTR) {
      to.send_broken = true;
    }
  }
  if (held_ == 0) give_back();
  return !to.send_broken;
}

}  // namespace portloom::io
