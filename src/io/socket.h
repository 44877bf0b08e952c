// io/socket.h
//
// Socket: the handle to a connected byte stream on this worker's loop. Dropping it closes the connection and cancels
// what is under way. One reader and one writer at a time. Errors are facts without a side: the caller knows who is at
// the other end. Listener: accepts sockets on this worker.
#pragma once

#include <deque>
#include <memory>

#include "async/task.h"
#include "base/error.h"
#include "io/address.h"
#include "io/channel.h"
#include "io/loop.h"

namespace portloom::io {

enum class Arrival : uint8_t {
  bytes,   // there is more to read than before
  end,     // the peer sent its FIN; input() is what it left
  broken,  // reset or another error
  late,    // the deadline came first
};

class [[nodiscard]] ReceiveAwaiter {
 public:
  ReceiveAwaiter(Channel& channel, Instant deadline) : channel_(channel), deadline_(deadline), timer_(node_) {}
  ~ReceiveAwaiter() {
    if (channel_.reader == &node_) channel_.reader = nullptr;
  }
  bool await_ready() { return channel_.fresh || channel_.ended || channel_.broken || channel_.transport.poll_input(channel_); }
  void await_suspend(std::coroutine_handle<> awaiting) {
    CHECK(channel_.reader == nullptr);
    node_.handle = awaiting;
    channel_.reader = &node_;
    channel_.loop.set(timer_, deadline_);
  }
  Arrival await_resume() {
    channel_.reader = nullptr;
    if (channel_.fresh) {
      channel_.fresh = false;
      return Arrival::bytes;
    }
    if (channel_.broken) return Arrival::broken;
    return channel_.ended ? Arrival::end : Arrival::late;
  }

 private:
  Channel& channel_;
  Instant deadline_;
  ReadyNode node_;
  Timer timer_;
};

struct Bulk {
  Arrival arrival;
  Bytes bytes;  // not empty when arrival is bytes
};

class [[nodiscard]] BulkAwaiter {
 public:
  BulkAwaiter(Channel& channel, size_t bytes_max, Instant deadline)
      : channel_(channel), bytes_max_(bytes_max), deadline_(deadline), timer_(node_) {}
  ~BulkAwaiter() {
    if (channel_.reader != &node_) return;
    channel_.reader = nullptr;
    channel_.wants_bulk = false;
    if (channel_.bulk_out || channel_.bulk.empty()) return;
    channel_.stash.append(std::exchange(channel_.bulk, {}));  // dropped after it was woken: the next reader finds the bytes
    channel_.fresh = true;
  }
  bool await_ready() {
    channel_.bulk_max = static_cast<uint32_t>(bytes_max_);
    return !channel_.input().empty() || channel_.ended || channel_.broken || channel_.transport.poll_bulk(channel_, bytes_max_);
  }
  void await_suspend(std::coroutine_handle<> awaiting) {
    CHECK(channel_.reader == nullptr);
    node_.handle = awaiting;
    channel_.reader = &node_;
    channel_.wants_bulk = true;
    channel_.loop.set(timer_, deadline_);
  }
  Bulk await_resume();

 private:
  Channel& channel_;
  size_t bytes_max_;
  Instant deadline_;
  ReadyNode node_;
  Timer timer_;
};

class [[nodiscard]] FlushAwaiter {
 public:
  FlushAwaiter(Channel& channel, Instant deadline) : channel_(channel), deadline_(deadline), timer_(node_) {}
  ~FlushAwaiter() {
    if (channel_.writer == &node_) channel_.writer = nullptr;
  }
  bool await_ready() const { return channel_.sending == nullptr; }
  void await_suspend(std::coroutine_handle<> awaiting) {
    node_.handle = awaiting;
    channel_.writer = &node_;
    channel_.loop.set(timer_, deadline_);
  }
  bool await_resume() {
    channel_.writer = nullptr;
    return !channel_.send_broken && channel_.sending == nullptr;
  }

 private:
  Channel& channel_;
  Instant deadline_;
  ReadyNode node_;
  Timer timer_;
};

class [[nodiscard]] ReadableAwaiter {
 public:
  ReadableAwaiter(Channel& channel, Instant deadline) : channel_(channel), deadline_(deadline), timer_(node_) {}
  ~ReadableAwaiter() {
    if (channel_.reader != &node_) return;
    channel_.reader = nullptr;
    channel_.wants_ready = false;
  }
  bool await_ready() {
    if (channel_.ended || channel_.broken) return true;
    channel_.is_ready = channel_.transport.poll_readable(channel_);
    return channel_.is_ready;
  }
  void await_suspend(std::coroutine_handle<> awaiting) {
    CHECK(channel_.reader == nullptr);
    node_.handle = awaiting;
    channel_.reader = &node_;
    channel_.wants_ready = true;
    channel_.loop.set(timer_, deadline_);
  }
  Arrival await_resume() {
    channel_.reader = nullptr;
    channel_.wants_ready = false;
    if (channel_.broken) return Arrival::broken;
    bool ready = channel_.is_ready;
    channel_.is_ready = false;
    if (ready) return Arrival::bytes;
    return channel_.ended ? Arrival::end : Arrival::late;
  }

 private:
  Channel& channel_;
  Instant deadline_;
  ReadyNode node_;
  Timer timer_;
};

class [[nodiscard]] WritableAwaiter {
 public:
  WritableAwaiter(Channel& channel, Instant deadline) : channel_(channel), deadline_(deadline), timer_(node_) {}
  ~WritableAwaiter() {
    if (channel_.writer != &node_) return;
    channel_.writer = nullptr;
    channel_.wants_writable = false;
  }
  bool await_ready() const { return channel_.writable || channel_.send_broken; }
  void await_suspend(std::coroutine_handle<> awaiting) {
    CHECK(channel_.writer == nullptr);
    node_.handle = awaiting;
    channel_.writer = &node_;
    channel_.wants_writable = true;
    channel_.transport.poll_writable(channel_);
    channel_.loop.set(timer_, deadline_);
  }
  bool await_resume() {
    channel_.writer = nullptr;
    channel_.wants_writable = false;
    return channel_.writable && !channel_.send_broken;
  }

 private:
  Channel& channel_;
  Instant deadline_;
  ReadyNode node_;
  Timer timer_;
};

class Socket {
 public:
  Socket() = default;
  explicit Socket(Channel* channel) : channel_(channel) {}
  Socket(Socket&& other) noexcept : channel_(std::exchange(other.channel_, nullptr)) {}
  Socket& operator=(Socket&& other) noexcept {
    std::swap(channel_, other.channel_);
    return *this;
  }
  ~Socket() { close(); }
  explicit operator bool() const { return channel_ != nullptr; }
  void close() {
    Channel* channel = std::exchange(channel_, nullptr);
    if (channel != nullptr) channel->transport.release(*channel);
  }

  // Head mode. What has arrived and was not consumed; valid until the caller suspends.
  std::string_view input() const { return channel_->input(); }
  void consume(size_t count) {
    if (channel_->stash.empty())
      channel_->lent.remove_prefix(count);
    else
      channel_->stash.consume(count);
  }
  // Waits until there is more than before. The caller bounds what it lets accumulate.
  ReceiveAwaiter receive(Instant deadline = never) { return ReceiveAwaiter(*channel_, deadline); }

  // Body mode: input() if there is any, else one read of at most `bytes_max` (64 KiB) into a counted buffer.
  BulkAwaiter receive_bulk(size_t bytes_max = 64 * 1024, Instant deadline = never) { return BulkAwaiter(*channel_, bytes_max, deadline); }

  // Whether what comes next may go through a Pipe: nothing of it is in our memory or on its way there.
  bool spliceable() const {
    return channel_->transport.splices() && channel_->input().empty() && !channel_->armed && !channel_->bulk_out && channel_->bulk.empty();
  }
  // Whether a Pipe may be drained into this: bytes of the kernel's, and nothing is being sent.
  bool takes_pipe() const { return channel_->transport.splices() && channel_->sending == nullptr; }
  // Waits until a Pipe has something to take (or finds the end).
  ReadableAwaiter readable(Instant deadline = never) { return ReadableAwaiter(*channel_, deadline); }
  // Waits until there is room for what a Pipe could not drain; false when the connection is broken or the deadline came first.
  WritableAwaiter writable(Instant deadline = never) { return WritableAwaiter(*channel_, deadline); }

  // Starts to send; nothing may be under way. The bytes are held until the kernel has them.
  void post(Bytes first, Bytes second = {});
  // Waits until what was posted has gone; false when the connection is broken for writing or the deadline came first.
  FlushAwaiter flush(Instant deadline = never) { return FlushAwaiter(*channel_, deadline); }
  FlushAwaiter send(Bytes first, Bytes second = {}, Instant deadline = never) {
    post(std::move(first), std::move(second));
    return flush(deadline);
  }
  bool sending() const { return channel_->sending != nullptr; }
  bool send_broken() const { return channel_->send_broken; }
  void shutdown_write() { channel_->transport.shutdown_write(*channel_); }
  // The reader sees the end of the stream, whatever the peer does.
  void shutdown_read() { channel_->transport.shutdown_read(*channel_); }

  // Closing resets the connection from now on, so that what was cut off does not look complete.
  void end_with_reset() { channel_->transport.end_with_reset(*channel_); }

  // Set once the peer has sent its FIN (ended()) or the connection broke (broken()). Known without reading only while
  // head mode is armed (a receive() was called before).
  Event& departure() { return channel_->departure; }
  bool ended() const { return channel_->ended; }
  bool broken() const { return channel_->broken; }
  // A long body follows: head mode ends now and not with the first bulk read that finds nothing.
  void expect_bulk() { channel_->transport.expect_bulk(*channel_); }
  // Tells the loop to watch for the peer's departure while nobody reads.
  void watch() { channel_->transport.watch(*channel_); }
  int descriptor() const { return channel_->descriptor; }
  // Grows as the peer takes what is sent.
  uint64_t taken() const { return channel_->transport.taken(*channel_); }
  // Our own end, asked of the kernel; of no family where there is no descriptor.
  Address local() const;
  // For a layer that stands on this connection, and that it is handed to: nothing is being read or sent by anybody else.
  Channel& channel() { return *channel_; }
  Channel* detach() { return std::exchange(channel_, nullptr); }

 private:
  Channel* channel_ = nullptr;
};

struct Accepted {
  Socket socket;
  Address peer;
};

// Waits until what was posted has gone, for as long as the peer takes some of it: false when it has taken nothing for `patience`,
// or the connection broke. Looks four times in that time.
constexpr Duration flush_look(Duration patience) { return patience / 4; }
Task<bool> flush_while_it_moves(Socket& socket, Duration patience);

// Where a worker accepts. Owned by the loop's user; closes the port when dropped.
class Listener {
 public:
  explicit Listener(std::unique_ptr<Port> port) : port_(std::move(port)) {}
  class [[nodiscard]] AcceptAwaiter {
   public:
    explicit AcceptAwaiter(Port& port) : port_(port) {}
    ~AcceptAwaiter() {
      if (port_.waiter == &node_) port_.waiter = nullptr;
    }
    bool await_ready() { return port_.accepted != nullptr || port_.poll(); }  // one may be left by a waiter that was dropped
    void await_suspend(std::coroutine_handle<> awaiting) {
      node_.handle = awaiting;
      port_.waiter = &node_;
    }
    Result<Accepted> await_resume();

   private:
    Port& port_;
    ReadyNode node_;
  };
  // The next connection. Code::exhausted: no descriptor is left; wait before asking again. Code::closed: the port was closed.
  AcceptAwaiter accept() { return AcceptAwaiter(*port_); }
  // What waits in the kernel's queue, one at a time, without waiting for more; empty when there is nothing. Before closing.
  std::optional<Accepted> accept_last() {
    if (port_->accepted == nullptr && !port_->poll_last()) return std::nullopt;
    if (port_->accepted == nullptr) return std::nullopt;
    return Accepted{Socket(std::exchange(port_->accepted, nullptr)), port_->peer};
  }
  const Address& address() const { return port_->address; }

 private:
  std::unique_ptr<Port> port_;
};

// Opens a port. With `shared` several workers listen on the same address (SO_REUSEPORT). Port 0 chooses one.
Result<Listener> listen(const Address& address, bool shared);

// Connects. The caller bounds the time with before(). Code::refused with the system's reason.
Task<Result<Socket>> connect(Address address);

}  // namespace portloom::io
