// http/tunnel.cpp
//
// Two loops, one per direction, that know of each other only when one breaks.
#include "http/tunnel.h"

#include "async/race.h"

namespace portloom::http {
namespace {

struct Relay {
  ByteStream& near;
  ByteStream& far;
  Instant last = Agenda::current().now();
  bool broken = false;

  static Instant deadline() { return Agenda::current().now() + tunnel_idle; }
  Task<void> move(ByteStream& from, ByteStream& to, uint64_t& count) {
    bool flushed = co_await to.write({}, deadline());  // the switch may have come before all of the request had gone
    if (!flushed) broken = true;
    while (!broken) {
      io::Bulk bulk = co_await from.read(64 * 1024, deadline());
      if (bulk.arrival == io::Arrival::late && last + tunnel_idle > Agenda::current().now()) continue;
      if (bulk.arrival != io::Arrival::bytes) {
        if (bulk.arrival != io::Arrival::end) broken = true;
        break;
      }
      last = Agenda::current().now();
      count += bulk.bytes.size();
      bool sent = co_await to.write(std::move(bulk.bytes), deadline());
      if (!sent) broken = true;
    }
    to.end();
    if (!broken) co_return;
    from.abort();  // the other direction may be waiting for either
    to.abort();
  }
};

}  // namespace

Task<io::Bulk> SocketBytes::read(size_t bytes_max, Instant deadline) { co_return co_await socket_.receive_bulk(bytes_max, deadline); }

Task<bool> SocketBytes::write(Bytes bytes, Instant deadline) {
  if (socket_.sending()) {
    bool gone = co_await socket_.flush(deadline);
    if (!gone) co_return false;
  }
  if (bytes.empty()) co_return !socket_.send_broken();
  co_return co_await socket_.send(std::move(bytes), {}, deadline);
}

Task<void> relay(ByteStream& near, ByteStream& far, uint64_t& bytes_in, uint64_t& bytes_out) {
  Relay both{near, far};
  co_await all(both.move(near, far, bytes_in), both.move(far, near, bytes_out));
}

}  // namespace portloom::http
