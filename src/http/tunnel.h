// http/tunnel.h
//
// ByteStream: bytes both ways, what a connection or a stream becomes after an upgrade or CONNECT. relay() joins two of them.
// Owned by a Response (the far side) or made by a ServerStream (the near side); refers to its connection.
#pragma once

#include "async/task.h"
#include "base/bytes.h"
#include "base/pool.h"
#include "io/socket.h"

namespace portloom::http {

class ByteStream : public Pooled {
 public:
  virtual ~ByteStream() = default;
  // The next bytes, at most `bytes_max`; or the end, a break, or late.
  virtual Task<io::Bulk> read(size_t bytes_max, Instant deadline) = 0;
  // Resolves when the bytes are on their way, in order; false when the stream is broken for writing or the deadline came first.
  // Empty bytes wait for what is under way.
  virtual Task<bool> write(Bytes bytes, Instant deadline) = 0;
  // No more bytes follow; the other direction goes on. After the last write.
  virtual void end() = 0;
  // Both directions are over: whoever reads or writes is told at once.
  virtual void abort() = 0;
};

class SocketBytes final : public ByteStream {
 public:
  explicit SocketBytes(io::Socket& socket) : socket_(socket) {}
  Task<io::Bulk> read(size_t bytes_max, Instant deadline) override;
  Task<bool> write(Bytes bytes, Instant deadline) override;
  void end() override { socket_.shutdown_write(); }
  void abort() override {
    socket_.shutdown_write();
    socket_.shutdown_read();
  }

 private:
  io::Socket& socket_;
};

// Moves bytes both ways until both directions have ended; the end of one is passed on and the other goes on. As soon as one
// breaks, or nothing moves for `tunnel_idle`, both are over. Counts what came from and went to `near`.
// With `leaving` it is a WebSocket: once that is set, both sides are told 1001 between two frames, and have `farewell_max` to say
// their own Close.
constexpr Duration tunnel_idle = 1h;
constexpr Duration farewell_max = 1s;
Task<void> relay(ByteStream& near, ByteStream& far, uint64_t& bytes_in, uint64_t& bytes_out, Event* leaving = nullptr);

}  // namespace portloom::http
