// forwarder_epoll.cpp
//
// The byte forwarder on epoll: edge-triggered, each socket registered once for everything, one 64 kB scratch buffer, the
// write tried at once. Bytes that the other side does not take are kept (a copy) and reading stops until it takes them.

#include <sys/epoll.h>

#include <array>
#include <cerrno>
#include <memory>
#include <vector>

#include "forwarder.h"
#include "sockets.h"

namespace bench {
namespace {

constexpr size_t kScratchBytes = 65'536;

struct Pair;

// One socket of a pair. `unsent` are bytes read from the peer that this socket has not taken yet.
struct Side {
  int fd = -1;
  Side* peer = nullptr;
  Pair* pair = nullptr;
  bool finished = false;  // end of stream was read from this socket and passed on to the peer
  std::vector<char> unsent;
};

struct Pair {
  Side client;
  Side upstream;
  bool dead = false;
};

class EpollForwarder {
 public:
  EpollForwarder(int listener, const sockaddr_in& upstream) : listener_(listener), upstream_(upstream), scratch_(kScratchBytes) {
    epoll_ = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_ < 0) fail("epoll_create1");
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.ptr = nullptr;  // no side: the listener
    if (epoll_ctl(epoll_, EPOLL_CTL_ADD, listener_, &event) < 0) fail("epoll_ctl");
  }

  [[noreturn]] void run() {
    std::array<epoll_event, 512> events;
    while (true) {
      const int count = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), -1);
      for (int i = 0; i < count; ++i) handle(events[static_cast<size_t>(i)]);
      // Freed only now: a later event of the same batch may still point into a dead pair.
      for (Pair* pair : dead_) delete pair;
      dead_.clear();
    }
  }

 private:
  void handle(const epoll_event& event) {
    Side* side = static_cast<Side*>(event.data.ptr);
    if (side == nullptr) return accept_all();
    if (side->pair->dead) return;
    if ((event.events & EPOLLOUT) != 0 && !side->unsent.empty()) {
      flush(*side);
      if (!side->pair->dead && side->unsent.empty()) forward(*side->peer, true);  // its edge was consumed while we waited
    }
    if (side->pair->dead) return;
    constexpr uint32_t kEnd = EPOLLRDHUP | EPOLLHUP | EPOLLERR;
    if ((event.events & (EPOLLIN | kEnd)) != 0) forward(*side, (event.events & kEnd) != 0);
  }

  void accept_all() {
    while (true) {
      const int fd = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd < 0) return;
      auto pair = std::make_unique<Pair>();
      pair->client = {fd, &pair->upstream, pair.get(), false, {}};
      pair->upstream = {open_socket(), &pair->client, pair.get(), false, {}};
      if (connect(pair->upstream.fd, reinterpret_cast<const sockaddr*>(&upstream_), sizeof upstream_) < 0 && errno != EINPROGRESS) {
        close(pair->client.fd);
        close(pair->upstream.fd);
        continue;
      }
      watch(pair->upstream);
      watch(pair->client);
      pair.release();  // owned by epoll's user data from here until destroy()
    }
  }

  void watch(Side& side) {
    epoll_event event{};
    event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
    event.data.ptr = &side;
    if (epoll_ctl(epoll_, EPOLL_CTL_ADD, side.fd, &event) < 0) fail("epoll_ctl");
  }

  // Moves what `from` has to its peer. A short read has drained the socket (the next bytes raise a new edge), so no second
  // read is spent on EAGAIN, unless the end of the stream was reported with the data (`to_the_end`).
  void forward(Side& from, bool to_the_end) {
    Side& to = *from.peer;
    while (!from.finished && to.unsent.empty()) {
      const ssize_t got = recv(from.fd, scratch_.data(), scratch_.size(), 0);
      if (got < 0) {
        if (errno != EAGAIN) destroy(*from.pair);
        return;
      }
      if (got == 0) return finish(from);
      const ssize_t put = send(to.fd, scratch_.data(), static_cast<size_t>(got), MSG_NOSIGNAL);
      if (put < 0 && errno != EAGAIN) return destroy(*from.pair);
      if (put < got) {
        to.unsent.assign(scratch_.begin() + (put < 0 ? 0 : put), scratch_.begin() + got);
        return;
      }
      if (static_cast<size_t>(got) < scratch_.size() && !to_the_end) return;
    }
  }

  void flush(Side& side) {
    const ssize_t put = send(side.fd, side.unsent.data(), side.unsent.size(), MSG_NOSIGNAL);
    if (put < 0 && errno != EAGAIN) return destroy(*side.pair);
    if (put <= 0) return;
    if (static_cast<size_t>(put) == side.unsent.size())
      std::vector<char>().swap(side.unsent);
    else
      side.unsent.erase(side.unsent.begin(), side.unsent.begin() + put);
  }

  void finish(Side& from) {
    from.finished = true;
    if (from.peer->finished) return destroy(*from.pair);
    shutdown(from.peer->fd, SHUT_WR);
  }

  void destroy(Pair& pair) {
    close(pair.client.fd);
    close(pair.upstream.fd);
    pair.dead = true;
    dead_.push_back(&pair);
  }

  int epoll_ = -1;
  int listener_;
  sockaddr_in upstream_;
  std::vector<char> scratch_;
  std::vector<Pair*> dead_;
};

}  // namespace

void forward_with_epoll(int listener, const sockaddr_in& upstream) { EpollForwarder(listener, upstream).run(); }

}  // namespace bench
