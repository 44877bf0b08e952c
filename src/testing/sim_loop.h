// testing/sim_loop.h
//
// A third engine: a network in memory and virtual time, on one thread. A day passes in a millisecond and every run is
// the same run; a seed shuffles the order of what is due and decides what completes at once, as a kernel might.
// It is strict where the engines differ: lent bytes are freed as soon as the reader has run, a released channel is
// gone at once, and a departure is noticed without a reader only after receive() or watch().
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "io/loop.h"
#include "io/socket.h"

namespace portloom::testing {

// How the network treats every connection; may be changed at any moment.
struct Network {
  Duration latency{0};                // one way; a connect takes two
  bool one_byte_at_a_time = false;    // each completed read brings one byte
  size_t chunk_bytes = 64 * 1024;     // else at most so many
  size_t pipe_bytes = 64 * 1024;      // bytes sent and not yet read, per direction; what is more waits in the sender
  bool reset_on_unread_close = true;  // as TCP does: closing over unread bytes resets the peer
  std::optional<io::Address> source;  // whose address a connecting client has (the port is always fresh); else 127.0.0.1
};

class SimLoop final : public io::Loop {
 public:
  // Becomes Agenda::current(). Seed 0: what is due happens in the order in which connections were made, and nothing completes at once.
  explicit SimLoop(uint64_t seed = 0);
  ~SimLoop() override;

  Network network;
  // Connects to `address` are refused, or never complete, whoever listens there. Open connections stay. allow() undoes both.
  void refuse(const io::Address& address) { faults_.push_back({address, true}); }
  void blackhole(const io::Address& address) { faults_.push_back({address, false}); }
  void allow(const io::Address& address);
  // Both ends find the connection broken; bytes under way are lost. The socket must belong to this loop.
  void reset(const io::Socket& socket) { reset(socket.descriptor()); }
  void reset(const io::Channel& channel) { reset(channel.descriptor); }
  // Resets every connection that was made to `address`.
  void reset_all(const io::Address& address);
  // Connections made to `address` whose client end is still open.
  size_t connections(const io::Address& address) const;

  // Lets `duration` pass and delivers everything due in it, the end included.
  void run_for(Duration duration);
  // Until `done` is true, at most `limit` of virtual time; returns done(). Gives up (false) when time stands still for ten million turns.
  bool run_until(const std::function<bool()>& done, Duration limit = 60s);

  std::string_view engine() const override { return "sim"; }
  void turn(Duration wait_max) override { step(wait_max); }
  io::Channel* adopt(int descriptor) override;  // CHECK-fails: there are no descriptors here
  bool poll_input(io::Channel& channel) override;
  bool poll_bulk(io::Channel& channel, size_t bytes) override;
  void watch(io::Channel& channel) override { channel.armed = true; }
  void start_send(io::Channel& channel) override;
  void start_connect(io::Channel& channel, const io::Address& address) override;
  uint64_t taken(io::Channel& channel) override;
  void shutdown_write(io::Channel& channel) override;
  void shutdown_read(io::Channel& channel) override;
  void send_now(io::Channel& channel, std::string_view bytes) override;
  void end_with_reset(io::Channel& channel) override;
  void release(io::Channel& channel) override;
  Result<std::unique_ptr<io::Port>> open_port(const io::Address& address, bool shared) override;
  Result<io::Channel*> open_connection(const io::Address& address) override;

 private:
  friend struct SimPort;
  struct Segment {
    Instant due;
    Bytes bytes;
  };
  struct Pipe {
    std::deque<Segment> segments;
    size_t held = 0;
    uint64_t taken = 0;     // by the reader, in all
    Instant end = never;    // when the FIN arrives
    Instant reset = never;  // when the RST arrives
  };
  struct Line {  // end 0 connected, end 1 accepted; end n reads pipes[n]
    io::Address to;
    Pipe pipes[2];
    bool open[2] = {true, true};
  };
  struct End {
    io::Channel* channel;
    std::shared_ptr<Line> line;  // null until connected
    int side;
    Instant connects = never;
    io::Address to;
    bool resets = false;  // when it is released
    Pipe& in() const { return line->pipes[side]; }
    Pipe& out() const { return line->pipes[1 - side]; }
    bool peer_open() const { return line->open[1 - side]; }
  };
  enum class Kind : uint8_t { connect, send, read, depart };
  struct Fault {
    io::Address address;
    bool refuses;
  };

  bool step(Duration wait_max);
  bool deliver();
  bool flip() { return seeded_ && (random_() & 1) != 0; }
  End* find(int descriptor);
  End& make_end(std::shared_ptr<Line> line, int side);
  // When the next thing of this kind happens to this end; `never` when nothing is under way or nobody waits for it.
  Instant due(const End& end, Kind kind) const;
  void happen(End& end, Kind kind);
  void complete_connect(End& end);
  void push(End& end);
  // Takes what is due, at most `bytes`; notes the end and failures. True: something is to be told.
  bool read(End& end);
  std::string take(Pipe& pipe, size_t bytes);
  void reset(int descriptor);
  Instant next_due() const;

  std::mt19937_64 random_;
  bool seeded_;
  int next_descriptor_ = 1'000'000;  // never a real one
  uint16_t next_port_ = 20'000;
  uint16_t next_source_ = 40'000;
  size_t next_shared_ = 0;
  std::map<int, End> ends_;  // by descriptor: the order is always the same
  std::vector<struct SimPort*> ports_;
  std::vector<Fault> faults_;
  std::unique_ptr<std::string> lent_;  // freed when the reader has run
  io::Channel* lent_to_ = nullptr;
};

}  // namespace portloom::testing
