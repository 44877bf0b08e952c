// io/channel.h
//
// What a loop knows of one connected socket. Owned by the loop, used through io::Socket; it outlives its Socket until
// the kernel has given back every buffer (C11). Engines read and write these fields; nobody else does.
#pragma once

#include <sys/socket.h>
#include <sys/uio.h>

#include "async/agenda.h"
#include "async/event.h"
#include "base/bytes.h"
#include "base/pool.h"
#include "io/transport.h"

namespace portloom::io {

class Loop;

// Bytes that were read and not yet consumed, kept over turns. Holds no memory when empty. The block can be handed over
// whole, so that a body that piled up here is not copied once more.
class Stash {
 public:
  Stash() = default;
  Stash(const Stash&) = delete;
  Stash& operator=(const Stash&) = delete;
  std::string_view view() const { return {block_.data() + begin_, end_ - begin_}; }
  bool empty() const { return begin_ == end_; }
  // `room`: how much more is expected soon.
  void append(std::string_view bytes, size_t room = 0);
  void consume(size_t count) {
    begin_ += static_cast<uint32_t>(count);
    if (begin_ == end_) clear();
  }
  // At most `bytes_max` of what is there.
  Bytes take(size_t bytes_max);

 private:
  void clear() {
    block_ = {};
    begin_ = end_ = 0;
  }
  Bytes block_;  // its size is the capacity
  uint32_t begin_ = 0;
  uint32_t end_ = 0;
};

// A send under way: up to two pieces, and what the kernel needs to know of them.
struct Sending : Pooled {
  Bytes pieces[2];
  iovec vectors[2];
  msghdr message;
  // Points `vectors` at what is left; returns how many there are.
  size_t prepare();
  // `count` bytes have gone; true when nothing is left.
  bool advance(size_t count);
};

struct Channel : Link, Pooled {
  Channel(Loop& owner, Transport& carrier) : loop(owner), transport(carrier) {}
  ~Channel() { delete sending; }
  std::string_view input() const { return stash.empty() ? lent : stash.view(); }

  Loop& loop;
  Transport& transport;
  Layer* above = nullptr;  // what stands on this channel in the place of its reader and writer
  int descriptor = -1;
  uint16_t inflight = 0;            // io_uring: operations whose completion is still to come
  uint8_t long_answers = 0;         // io_uring, outgoing: so many more receives are single, for an answer was long of late
  uint32_t bulk_max = 0;            // how much whoever waits in receive_bulk will take
  bool fresh : 1 = false;           // bytes came since receive() was last answered
  bool ended : 1 = false;           // the peer has sent its FIN
  bool broken : 1 = false;          // reset, or another error
  bool connected : 1 = true;        // false while a connect is under way
  bool outgoing : 1 = false;        // we connected: an answer is read in small steps, for it may be followed by body mode
  bool readable : 1 = false;        // the kernel said so (or it is likely) and we have not seen the bottom since
  bool hung_up : 1 = false;         // epoll: RDHUP was seen; the next read may say the end
  bool writable : 1 = true;         // false after EAGAIN (io_uring: of a Pipe only)
  bool armed : 1 = false;           // io_uring: a receive into the ring is out
  bool multishot : 1 = false;       // io_uring: and it stays armed when it has brought something
  bool cancelling : 1 = false;      // io_uring: its cancellation is out
  bool bulk_out : 1 = false;        // io_uring: a single receive is out
  bool wants_bulk : 1 = false;      // somebody waits in receive_bulk
  bool wants_ready : 1 = false;     // the reader waits for readiness alone: a Pipe takes the bytes
  bool wants_writable : 1 = false;  // the writer waits for room, with nothing posted
  bool is_ready : 1 = false;        // what wants_ready waits for
  bool send_broken : 1 = false;
  bool send_refused : 1 = false;  // io_uring: a quick send has made a completion: it is not over
  bool released : 1 = false;      // no Socket refers to it any more

  std::string_view lent;  // valid until the reader suspends
  Stash stash;
  Bytes bulk;
  ReadyNode* reader = nullptr;
  ReadyNode* writer = nullptr;
  Sending* sending = nullptr;
  Event departure;  // set when the peer has sent its FIN or the connection broke
};

}  // namespace portloom::io
