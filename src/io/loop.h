// io/loop.h
//
// The loop of one worker: an Agenda that also delivers what the kernel completes. Engines implement the primitives;
// everybody else uses io::Socket, io::Listener and timers. Only turn() resumes coroutines (C6).
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "async/agenda.h"
#include "base/bytes.h"
#include "base/error.h"
#include "io/address.h"
#include "io/channel.h"
#include "io/mailbox.h"
#include "io/pipe.h"

namespace portloom::io {

// A listening socket as an engine sees it.
struct Port {
  virtual ~Port();  // closes what was accepted and never fetched
  // Takes the next connection if there is one; false: `waiter` is made ready later.
  virtual bool poll() = 0;
  // The same, asking the kernel now and never promising to wake anybody: for taking what waits before the port closes.
  virtual bool poll_last() = 0;
  Address address;
  ReadyNode* waiter = nullptr;
  // What poll() or the engine found. Not overwritten: poll() is called only when the last one was fetched.
  Channel* accepted = nullptr;
  Address peer;
  int error = 0;
};

class Loop : public Agenda, public Transport {
 public:
  static Loop& current() { return static_cast<Loop&>(Agenda::current()); }
  explicit Loop(Instant start) : Agenda(start) {}

  // One turn: waits for completions, at most until the next timer and `wait_max`; delivers them; resumes what is ready.
  virtual void turn(Duration wait_max) = 0;
  virtual std::string_view engine() const = 0;
  Pipes& pipes() { return pipes_; }
  // Messages from other threads, delivered at the top of a turn.
  Mailbox& mailbox() { return mailbox_; }

  // Primitives for Socket and Listener, beside those of Transport.
  virtual Channel* adopt(int descriptor) = 0;                                // a connected (or connecting) non-blocking socket
  virtual void start_connect(Channel& channel, const Address& address) = 0;  // wakes writer; connected or broken is set
  virtual Result<std::unique_ptr<Port>> open_port(const Address& address, bool shared) = 0;
  virtual Result<Channel*> open_connection(const Address& address) = 0;

  uint64_t taken(Channel& channel) override;
  void send_now(Channel& channel, std::string_view bytes) override;
  void end_with_reset(Channel& channel) override;

  // For whatever carries a channel: an engine, or a layer that stands on another channel.
  void wake_reader(Channel& channel) {
    if (channel.above != nullptr)
      channel.above->input_came();
    else
      wake(channel.reader);
  }
  void depart(Channel& channel, bool broken) {
    if (broken)
      channel.broken = true;
    else
      channel.ended = true;
    wake_reader(channel);
    announce_departure(channel);
  }
  // The end is known and will be found by whoever reads next.
  static void announce_departure(Channel& channel) {
    channel.departure.set();
    if (channel.above != nullptr) channel.above->peer_departed();
  }
  // The send has ended, well or not.
  void finish_send(Channel& channel, bool broken) {
    delete std::exchange(channel.sending, nullptr);
    if (broken) channel.send_broken = true;
    if (channel.above != nullptr)
      channel.above->output_gone();
    else
      wake(channel.writer);
  }

 protected:
  void wake(ReadyNode* node) {
    if (node != nullptr && !node->linked()) make_ready(*node);
  }
  // After the reader has run: what it left of the lent bytes moves to the channel.
  static void keep_rest(Channel& channel) {
    if (!channel.lent.empty()) channel.stash.append(channel.lent);
    channel.lent = {};
  }
  Mailbox mailbox_;

 private:
  Pipes pipes_;
};

enum class Engine { automatic, io_uring, epoll };
std::optional<Engine> parse_engine(std::string_view text);
// True when this kernel and this container let us use every io_uring feature that the engine needs.
bool io_uring_works();
// `automatic` takes io_uring where it works.
Result<std::unique_ptr<Loop>> make_loop(Engine engine);

// Sockets, shared by both engines. A descriptor or the reason.
Result<int> open_listening(const Address& address, bool shared, Address& bound);
Result<int> open_connecting(const Address& address);

}  // namespace portloom::io
