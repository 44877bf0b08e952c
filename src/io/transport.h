// io/transport.h
//
// What carries a channel's bytes. An engine of the loop is one Transport; TLS, which stands on another channel, is a second.
// io::Socket asks the Transport of its channel and does not know which it is. A Layer is told by the engine, inside a turn,
// what happened to the channel below it; it marks tasks ready and never resumes one (C6).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace portloom::io {

struct Channel;

class Transport {
 public:
  virtual ~Transport() = default;
  virtual bool poll_input(Channel& channel) = 0;               // true: fresh, ended or broken is set now
  virtual bool poll_bulk(Channel& channel, size_t bytes) = 0;  // true: bulk, ended or broken is set now
  virtual void expect_bulk(Channel&) {}                        // body mode follows: what head mode has armed may go
  // Whether the kernel's sockets carry the very bytes of the channel, so that a Pipe can take and give them.
  virtual bool splices() const { return false; }
  // Where it does: true when it is worth a try now; else is_ready will be set, and the reader woken, once it is.
  virtual bool poll_readable(Channel&) { return false; }
  // `writable` will be set, and the writer woken, once there is room.
  virtual void poll_writable(Channel&) {}
  virtual void watch(Channel& channel) = 0;       // departure will be noticed while nobody reads
  virtual void start_send(Channel& channel) = 0;  // channel.sending is there; reset to null when it has gone
  // Changes whenever the peer has taken some of what is sent; asked only while a send is slow.
  virtual uint64_t taken(Channel& channel) = 0;
  virtual void shutdown_write(Channel& channel) = 0;
  virtual void shutdown_read(Channel& channel) = 0;  // our reader sees the end
  // Last words before the release, as far as they go without waiting. Nothing is being sent.
  virtual void send_now(Channel& channel, std::string_view bytes) = 0;
  // The release will reset the connection: an orderly end would look like the end of what was being sent.
  virtual void end_with_reset(Channel& channel) = 0;
  virtual void release(Channel& channel) = 0;
};

// Stands on a channel in the place of its reader and writer.
class Layer {
 public:
  virtual ~Layer() = default;
  // Where a reader would have been woken: lent, stash or bulk has more, or ended or broken is set.
  virtual void input_came() = 0;
  // A send has ended: `sending` is null; send_broken says how.
  virtual void output_gone() = 0;
  // Somebody waits for that: it is to be noticed at once.
  virtual bool awaits_output() const = 0;
  // The peer has sent its FIN or the connection broke; there may be unread bytes before it.
  virtual void peer_departed() = 0;
};

}  // namespace portloom::io
