// forwarder_io_uring.cpp
//
// The byte forwarder on io_uring. Small exchanges: a multishot recv per socket fills buffers from a provided ring. A direction
// that once filled a small buffer streams: single recvs into 64 kB buffers, at most two of them waiting to be sent, which is
// its back-pressure.

// A send is first issued as MSG_DONTWAIT | MSG_WAITALL with IOSQE_CQE_SKIP_SUCCESS: it has ended when the submission returns,
// and says something only when it did not take everything. So one io_uring_enter both sends and sleeps; a completion per send
// would wake the loop at once for nothing. What was not taken is sent again, waiting and with a completion.

#include <liburing.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <deque>
#include <memory>
#include <vector>

#include "forwarder.h"
#include "sockets.h"

namespace bench {
namespace {

enum class Operation : uint64_t { kAccept, kConnect, kReceive, kSend, kCancel };
constexpr uint64_t kOperationMask = 7;

constexpr uint32_t kNone = ~0U;
constexpr uint16_t kSmall = 0;
constexpr uint16_t kLarge = 1;

struct Pair;

// Bytes from one socket to the other. Chunks received while a send is under way wait in a list through Forwarder::chunks_.
struct alignas(8) Direction {
  Pair* pair = nullptr;
  int from = -1;
  int to = -1;
  uint32_t first = kNone;  // waiting chunks, oldest first
  uint32_t last = kNone;
  uint32_t current = kNone;  // the chunk being sent
  uint8_t waiting = 0;
  uint16_t group = kSmall;  // the buffer group of the recv that is armed
  bool receiving = false;
  bool sending = false;
  bool streaming = false;
  bool cancelling = false;
  bool starved = false;   // its recv ended because the ring was empty
  bool nonempty = false;  // the socket had more when the last recv ended
  bool ended = false;     // end of stream was read
  bool finished = false;  // and passed on
};

struct Pair {
  Direction up;
  Direction down;
  uint32_t operations = 0;  // submitted and not completed; the pair is freed at zero
  bool broken = false;
};

// One provided buffer ring, registered by hand: liburing 2.3 has no helper for it.
class BufferGroup {
 public:
  BufferGroup(io_uring& ring, uint16_t group, uint32_t count, uint32_t buffer_bytes)
      : count_(count),
        buffer_bytes_(buffer_bytes),
        entries_(map<io_uring_buf>(count * sizeof(io_uring_buf))),
        memory_(map<char>(size_t{count} * buffer_bytes)) {
    io_uring_buf_reg registration{};
    registration.ring_addr = reinterpret_cast<uint64_t>(entries_);
    registration.ring_entries = count;
    registration.bgid = group;
    const int error = io_uring_register_buf_ring(&ring, &registration, 0);
    if (error < 0) {
      errno = -error;
      fail("io_uring_register_buf_ring");
    }
    for (uint32_t id = 0; id < count; ++id) give(id);
    publish();
  }

  char* at(uint32_t id) const { return memory_ + size_t{id} * buffer_bytes_; }
  uint32_t buffer_bytes() const { return buffer_bytes_; }

  // The kernel sees given buffers after publish().
  void give(uint32_t id) {
    io_uring_buf& entry = entries_[tail_ & (count_ - 1)];
    entry.addr = reinterpret_cast<uint64_t>(at(id));
    entry.len = buffer_bytes_;
    entry.bid = static_cast<uint16_t>(id);
    ++tail_;
  }
  // The ring's tail lies over the reserved field of its first entry.
  void publish() { __atomic_store_n(&entries_[0].resv, tail_, __ATOMIC_RELEASE); }

 private:
  template <class T>
  static T* map(size_t bytes) {
    void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) fail("mmap");
    return static_cast<T*>(memory);
  }

  uint32_t count_;
  uint32_t buffer_bytes_;
  io_uring_buf* entries_;
  char* memory_;
  uint16_t tail_ = 0;
};

io_uring open_ring() {
  io_uring ring{};
  io_uring_params parameters{};
  parameters.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CQSIZE;
  parameters.cq_entries = 32'768;
  const int error = io_uring_queue_init_params(8'192, &ring, &parameters);
  if (error < 0) {
    errno = -error;
    fail("io_uring_queue_init_params");
  }
  io_uring_register_ring_fd(&ring);
  return ring;
}

class IoUringForwarder {
 public:
  IoUringForwarder(int listener, const sockaddr_in& upstream) : ring_(open_ring()), listener_(listener), upstream_(upstream) { accept(); }

  [[noreturn]] void run() {
    while (true) {
      const int submitted = may_sleep() ? io_uring_submit_and_wait(&ring_, 1) : io_uring_submit_and_get_events(&ring_);
      if (submitted == -EINTR) continue;  // nothing was submitted
      if (submitted < 0) {
        errno = -submitted;
        fail("io_uring_submit_and_wait");
      }
      sends_ended_.swap(sends_);
      unsigned head = 0;
      unsigned count = 0;
      io_uring_cqe* completion = nullptr;
      io_uring_for_each_cqe(&ring_, head, completion) {
        ++count;
        handle(*completion);
      }
      io_uring_cq_advance(&ring_, count);
      for (const Send& send : sends_ended_) end_send(send);
      sends_ended_.clear();
      for (BufferGroup& group : groups_) group.publish();
      revive();
      given_ = 0;
    }
  }

 private:
  // A received buffer on its way out. Its index is the buffer's number, large ones after the small ones.
  struct Chunk {
    uint32_t offset = 0;
    uint32_t length = 0;
    uint32_t next = kNone;
    bool refused = false;  // the quiet send did not take it whole
  };
  struct Send {
    Direction* direction;
    uint32_t chunk;
  };

  static constexpr uint32_t kSmallCount = 1'024;
  static constexpr uint32_t kSmallBytes = 4'096;
  static constexpr uint32_t kLargeCount = 16;  // few, because a buffer that was used a moment ago is still in the cache
  static constexpr uint32_t kLargeBytes = 65'536;
  static constexpr uint8_t kWaitingMax = 2;

  // A quiet send that succeeds wakes nobody: the loop must not sleep if something waits for its end.
  bool may_sleep() const {
    if (sends_.empty()) return true;
    if (!starved_.empty()) return false;
    return std::ranges::all_of(sends_, [](const Send& send) { return send.direction->receiving && send.direction->first == kNone; });
  }

  io_uring_sqe& next_entry() {
    io_uring_sqe* entry = io_uring_get_sqe(&ring_);
    while (entry == nullptr) {
      io_uring_submit(&ring_);
      entry = io_uring_get_sqe(&ring_);
    }
    return *entry;
  }

  static uint64_t tag(Operation operation, const Direction* direction) {
    return reinterpret_cast<uint64_t>(direction) | static_cast<uint64_t>(operation);
  }

  void accept() {
    io_uring_sqe& entry = next_entry();
    io_uring_prep_multishot_accept(&entry, listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    entry.user_data = tag(Operation::kAccept, nullptr);
  }

  void handle(const io_uring_cqe& completion) {
    const auto operation = static_cast<Operation>(completion.user_data & kOperationMask);
    auto* direction = reinterpret_cast<Direction*>(completion.user_data & ~kOperationMask);
    switch (operation) {
      case Operation::kAccept: return accepted(completion);
      case Operation::kConnect: return connected(*direction->pair, completion.res);
      case Operation::kReceive: return received(*direction, completion);
      case Operation::kSend: return sent(*direction, completion.res);
      case Operation::kCancel: return completed(*direction->pair);
    }
  }

  void accepted(const io_uring_cqe& completion) {
    if ((completion.flags & IORING_CQE_F_MORE) == 0) accept();
    if (completion.res < 0) return;
    Pair* pair = new Pair;  // owned by the operations that point to it; completed() frees it after the last one
    const int client = completion.res;
    const int upstream = open_socket();
    pair->up = Direction{.pair = pair, .from = client, .to = upstream};
    pair->down = Direction{.pair = pair, .from = upstream, .to = client};
    io_uring_sqe& entry = next_entry();
    io_uring_prep_connect(&entry, upstream, reinterpret_cast<const sockaddr*>(&upstream_), sizeof upstream_);
    entry.user_data = tag(Operation::kConnect, &pair->up);
    ++pair->operations;
  }

  void connected(Pair& pair, int result) {
    if (result < 0)
      pair.broken = true;
    else {
      receive(pair.up);
      receive(pair.down);
    }
    completed(pair);
  }

  void receive(Direction& direction) {
    io_uring_sqe& entry = next_entry();
    direction.group = direction.streaming ? kLarge : kSmall;
    if (direction.streaming)
      io_uring_prep_recv(&entry, direction.from, nullptr, 0, 0);
    else
      io_uring_prep_recv_multishot(&entry, direction.from, nullptr, 0, 0);
    entry.flags |= IOSQE_BUFFER_SELECT;
    entry.buf_group = direction.group;
    if (!direction.nonempty) entry.ioprio |= IORING_RECVSEND_POLL_FIRST;  // trying first would end in EAGAIN
    entry.user_data = tag(Operation::kReceive, &direction);
    direction.receiving = true;
    ++direction.pair->operations;
  }

  void received(Direction& direction, const io_uring_cqe& completion) {
    Pair& pair = *direction.pair;
    const bool last = (completion.flags & IORING_CQE_F_MORE) == 0;
    if (last) direction.receiving = false;
    direction.nonempty = (completion.flags & IORING_CQE_F_SOCK_NONEMPTY) != 0;
    if ((completion.flags & IORING_CQE_F_BUFFER) != 0) {
      const uint32_t id = (completion.flags >> IORING_CQE_BUFFER_SHIFT) + (direction.group == kLarge ? kSmallCount : 0);
      if (completion.res > 0 && !pair.broken)
        take(direction, id, static_cast<uint32_t>(completion.res));
      else
        give(id);
    }
    if (completion.res == 0)
      direction.ended = true;
    else if (completion.res == -ENOBUFS) {
      direction.starved = true;
      direction.nonempty = true;
      starved_.push_back(&direction);
      ++pair.operations;  // its place in starved_
    } else if (completion.res < 0 && completion.res != -ECANCELED)
      break_off(pair);
    if (!last) return;
    direction.cancelling = false;
    proceed(direction);
    completed(pair);
  }

  // A chunk has arrived: send it, or queue it behind the one being sent.
  void take(Direction& direction, uint32_t id, uint32_t length) {
    chunks_[id] = {0, length, kNone, false};
    if (!direction.streaming && length == group_of(id).buffer_bytes()) {
      direction.streaming = true;
      if (direction.receiving) cancel_receive(direction);
    }
    if (!direction.sending) return send(direction, id);
    if (direction.first == kNone)
      direction.first = id;
    else
      chunks_[direction.last].next = id;
    direction.last = id;
    ++direction.waiting;
    if (direction.waiting >= kWaitingMax && direction.receiving) {
      direction.streaming = true;
      cancel_receive(direction);
    }
  }

  void cancel_receive(Direction& direction) {
    if (direction.cancelling || direction.group == kLarge) return;
    direction.cancelling = true;
    io_uring_sqe& entry = next_entry();
    io_uring_prep_cancel64(&entry, tag(Operation::kReceive, &direction), 0);
    entry.user_data = tag(Operation::kCancel, &direction);
    ++direction.pair->operations;
  }

  // The quiet send: ended when the submission returns, completion only if it was refused. One per direction and turn, because
  // a second one could overtake the rest of a refused first.
  void send(Direction& direction, uint32_t id) {
    const Chunk& chunk = chunks_[id];
    io_uring_sqe& entry = next_entry();
    io_uring_prep_send(&entry, direction.to, address_of(id) + chunk.offset, chunk.length, MSG_DONTWAIT | MSG_WAITALL | MSG_NOSIGNAL);
    entry.flags |= IOSQE_CQE_SKIP_SUCCESS;
    entry.user_data = tag(Operation::kSend, &direction);
    direction.sending = true;
    ++direction.pair->operations;
    sends_.push_back({&direction, id});
    direction.current = id;
  }

  // The completion of a refused quiet send, or of a waiting send.
  void sent(Direction& direction, int result) {
    const uint32_t id = direction.current;
    Chunk& chunk = chunks_[id];
    if (!chunk.refused) {
      chunk.refused = true;  // end_send() looks at it
      if (result == -EAGAIN) result = 0;
      if (result < 0) return break_off(*direction.pair);
      chunk.offset += static_cast<uint32_t>(result);
      chunk.length -= static_cast<uint32_t>(result);
      return;
    }
    if (result < static_cast<int>(chunk.length)) break_off(*direction.pair);
    sent_whole(direction, id);
  }

  void end_send(const Send& send) {
    Direction& direction = *send.direction;
    Chunk& chunk = chunks_[send.chunk];
    if (!chunk.refused || direction.pair->broken) return sent_whole(direction, send.chunk);
    io_uring_sqe& entry = next_entry();
    io_uring_prep_send(&entry, direction.to, address_of(send.chunk) + chunk.offset, chunk.length, MSG_WAITALL | MSG_NOSIGNAL);
    entry.user_data = tag(Operation::kSend, &direction);
  }

  void sent_whole(Direction& direction, uint32_t id) {
    give(id);
    direction.sending = false;
    if (direction.first != kNone && !direction.pair->broken) {
      const uint32_t next = direction.first;
      direction.first = chunks_[next].next;
      --direction.waiting;
      send(direction, next);
    }
    proceed(direction);
    completed(*direction.pair);
  }

  // Receives again if nothing is armed and the other side keeps up; passes the end of the stream on.
  void proceed(Direction& direction) {
    Pair& pair = *direction.pair;
    if (pair.broken) return drop_waiting(direction);
    if (direction.ended) {
      if (direction.sending || direction.finished) return;
      direction.finished = true;
      shutdown(direction.to, SHUT_WR);
      return;
    }
    if (!direction.receiving && !direction.starved && direction.waiting < kWaitingMax) receive(direction);
  }

  // As many directions as buffers came back try again, oldest first.
  void revive() {
    const size_t count = std::min(given_, starved_.size());
    for (size_t i = 0; i < count; ++i) {
      Direction& direction = *starved_.front();
      starved_.pop_front();
      direction.starved = false;
      proceed(direction);
      completed(*direction.pair);
    }
  }

  // Makes every armed operation of the pair end.
  void break_off(Pair& pair) {
    if (pair.broken) return;
    pair.broken = true;
    shutdown(pair.up.from, SHUT_RDWR);
    shutdown(pair.up.to, SHUT_RDWR);
  }

  void drop_waiting(Direction& direction) {
    while (direction.first != kNone) {
      give(direction.first);
      direction.first = chunks_[direction.first].next;
    }
    direction.waiting = 0;
  }

  void completed(Pair& pair) {
    if (--pair.operations > 0) return;
    drop_waiting(pair.up);
    drop_waiting(pair.down);
    close(pair.up.from);
    close(pair.up.to);
    delete &pair;
  }

  BufferGroup& group_of(uint32_t id) { return groups_[id < kSmallCount ? kSmall : kLarge]; }
  char* address_of(uint32_t id) { return id < kSmallCount ? groups_[kSmall].at(id) : groups_[kLarge].at(id - kSmallCount); }
  void give(uint32_t id) {
    group_of(id).give(id < kSmallCount ? id : id - kSmallCount);
    ++given_;
  }

  io_uring ring_;
  int listener_;
  sockaddr_in upstream_;
  std::array<BufferGroup, 2> groups_{BufferGroup(ring_, kSmall, kSmallCount, kSmallBytes),
                                     BufferGroup(ring_, kLarge, kLargeCount, kLargeBytes)};
  std::array<Chunk, kSmallCount + kLargeCount> chunks_;
  std::vector<Send> sends_;         // quiet sends prepared in this turn
  std::vector<Send> sends_ended_;   // those of the turn before
  size_t given_ = 0;                // buffers that came back in this turn
  std::deque<Direction*> starved_;  // their recv found its ring empty
};

}  // namespace

void forward_with_io_uring(int listener, const sockaddr_in& upstream) {
  // On the heap: io_uring keeps pointers into the ring structure's mappings, and the object is large.
  std::make_unique<IoUringForwarder>(listener, upstream)->run();
}

}  // namespace bench
