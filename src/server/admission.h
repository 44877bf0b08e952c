// server/admission.h
//
// Admission: what the process as a whole lets in: how many connections, how many from one address, and whether there is memory
// for more. One object for all workers; exact over them. Asked once per connection, the memory once per request.
#pragma once

#include <cstdint>
#include <memory>

#include "base/counters.h"
#include "http/cidr.h"
#include "io/shared.h"

namespace portloom::server {

// How much of limits.memory is in use.
enum class Memory : uint8_t {
  plenty,
  scarce,  // idle connections are closed, new requests are answered 503
  spent,   // new connections are closed as they come, too
};

class Admission {
 public:
  struct Bounds {
    uint64_t connections = 50'000;
    uint32_t per_address = 0;  // 0: no bound
  };
  explicit Admission(Bounds bounds);
  Admission(const Admission&) = delete;
  ~Admission();

  // Control thread. Connections that are open stay; those that came while there was no bound per address never count.
  void use(Bounds bounds);
  void use(Memory memory) { memory_.store(memory); }
  Memory memory() const { return memory_.load(); }

  // Takes a place; false when there is none. leave() gives it back.
  bool enter();
  void leave() {
    connections_.advance([](uint64_t count) { return count - 1; });
  }
  uint64_t connections() const { return connections_.load(); }

  // A client's share, by address; IPv6 by /64, for that is what one client has. 0: it is used up; else the key to give back.
  // Where there is no bound: `unbounded`, which may be given back too.
  static constexpr uint64_t unbounded = 1;
  uint64_t enter(const http::Address& address);
  void leave(uint64_t key);

 private:
  struct Open {
    uint32_t count = 0;
    bool stale(int64_t) const { return count == 0; }
    int64_t age() const { return count; }  // the table is too large to be full; were it, the smallest share would be forgotten
  };
  using Table = io::Striped<Open>;

  io::Word connections_;
  Published<uint64_t> connections_max_;
  Published<uint32_t> per_address_max_;
  Published<Memory> memory_{Memory::plenty};
  Published<Table*> table_;
  std::unique_ptr<Table> owned_;
  uint64_t seed_;
};

}  // namespace portloom::server
