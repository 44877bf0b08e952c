// http/tunnel.cpp
//
// Two loops, one per direction, that know of each other only when one breaks.
#include "http/tunnel.h"

#include <optional>

#include "async/race.h"
#include "http/websocket.h"

namespace portloom::http {
namespace {

struct Relay {
  ByteStream& near;
  ByteStream& far;
  Event* leaving;  // null: whatever it is, nobody knows where a message ends
  Instant last = Agenda::current().now();
  bool broken = false;

  static Instant deadline() { return Agenda::current().now() + tunnel_idle; }

  // The next bytes; empty when the farewell is due, and those that were on their way come later.
  Task<std::optional<io::Bulk>> next(ByteStream& from, const WebSocketFrames& frames) {
    Task<io::Bulk> reading = from.read(64 * 1024, deadline());
    if (leaving == nullptr) co_return co_await reading;
    std::optional<io::Bulk> bulk = co_await unless(*leaving, reading);
    if (bulk || frames.between()) co_return bulk;
    bulk = co_await before(Agenda::current().now() + farewell_max, reading);  // the rest of a frame
    if (!bulk) broken = true;
    co_return bulk;
  }
  // Says Close, then hears the other side out, up to its own Close.
  static Task<void> part(ByteStream& from, ByteStream& to, WebSocketFrames& frames, bool masked) {
    if (frames.closed()) co_return;
    Instant until = Agenda::current().now() + farewell_max;
    bool said = co_await to.write(going_away(masked), until);
    while (said && !frames.closed()) {
      io::Bulk bulk = co_await from.read(64 * 1024, until);
      if (bulk.arrival != io::Arrival::bytes) co_return;
      frames.follow(bulk.bytes, false);
    }
  }
  Task<void> move(ByteStream& from, ByteStream& to, uint64_t& count, bool masked) {
    WebSocketFrames frames;
    bool flushed = co_await to.write({}, deadline());  // the switch may have come before all of the request had gone
    if (!flushed) broken = true;
    while (!broken) {
      std::optional<io::Bulk> bulk = co_await next(from, frames);
      if (!bulk && !broken) co_await part(from, to, frames, masked);
      if (!bulk) break;
      if (bulk->arrival == io::Arrival::late && last + tunnel_idle > Agenda::current().now()) continue;
      if (bulk->arrival != io::Arrival::bytes) {
        if (bulk->arrival != io::Arrival::end) broken = true;
        break;
      }
      last = Agenda::current().now();
      bool over = leaving != nullptr && leaving->is_set();
      if (leaving != nullptr) bulk->bytes.truncate(frames.follow(bulk->bytes, over));  // what is behind that frame is not passed on
      count += bulk->bytes.size();
      bool sent = co_await to.write(std::move(bulk->bytes), deadline());
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

Task<void> relay(ByteStream& near, ByteStream& far, uint64_t& bytes_in, uint64_t& bytes_out, Event* leaving) {
  Relay both{near, far, leaving};
  co_await all(both.move(near, far, bytes_in, true), both.move(far, near, bytes_out, false));
}

}  // namespace portloom::http
