// io/uring_loop.h
//
// The engine of choice: one io_uring per worker, multishot accept and receive into a ring of provided buffers, single
// receives in body mode, submissions batched per turn. What an operation points to (Bytes, iovec, address) hangs on the
// Channel, which lives until its last completion (C11). Only uring_*.cpp include this: the turn and who gets its completions
// in uring_loop.cpp, then one file each for ports, for what comes in and for what goes out.
#pragma once

#include <liburing.h>
#include <poll.h>

#include <deque>
#include <unordered_map>
#include <vector>

#include "io/engines.h"

namespace portloom::io {

enum class Operation : uint64_t { none, receive, bulk, send, connect, accept, wake, readiness };
inline constexpr uint64_t operation_mask = 7;
inline constexpr uint16_t buffer_group = 0;  // of the ring of provided buffers

struct UringPort;

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
  void expect_bulk(Channel& channel) override;
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
  std::string_view filled(unsigned buffer, size_t bytes) const;  // what the kernel wrote there, until give_back
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

// A listening socket: a multishot accept fills the queue, whoever polls takes from it.
struct UringPort final : Port {
  UringPort(UringLoop& owner, int listening) : loop(owner), descriptor(listening) {}
  ~UringPort() override;
  bool poll() override;
  bool poll_last() override;

  UringLoop& loop;
  int descriptor;
  std::deque<int> queue;
  uint64_t number = 0;  // of the accept that is out
  bool armed = false;
};

// The preparing functions clear user_data, so it is set behind them.
template <class Prepare>
io_uring_sqe* prepared(io_uring_sqe* sqe, Prepare prepare) {
  uint64_t user_data = sqe->user_data;
  prepare(sqe);
  sqe->user_data = user_data;
  return sqe;
}

}  // namespace portloom::io
