// Any bytes as what an origin of HTTP/2 says, in pieces, over a network in memory, while requests of several kinds are asked of
// it: every request comes to its end in time and the connection with it, and an answer that is taken can be written as HTTP/1.1
// and read back as the same answer.
#include <algorithm>
#include <memory>
#include <string>

#include "async/scope.h"
#include "base/check.h"
#include "http/framing.h"
#include "http/http2_client.h"
#include "http/parser.h"
#include "http/writer.h"
#include "testing/sim_loop.h"

using namespace portloom;
using namespace portloom::http;

namespace {

struct Asking {
  size_t under_way = 0;
};

struct Room final : Http2ClientConnection::Watcher {
  void on_room() override {}
};

const Http2ClientSettings how{.heads = {.headers = 2000, .uri = 300, .header_count = 20}, .body_timeout = 5s, .streams_max = 8};

// A body that comes piece by piece, one of them late.
class Pieces final : public BodySource {
 public:
  Task<Result<Bytes>> read() override {
    if (left_ == 2) co_await sleep_for(1s);
    if (left_ == 0) co_return Bytes();
    --left_;
    co_return Bytes::copy(std::string(30'000, 'x'));
  }

 private:
  int left_ = 4;
};

void check_written(const Response& response) {
  Writer out(16);
  Framing framing;
  framing.declares_length = response.body.length().has_value();
  framing.length = response.body.length().value_or(0);
  write_response_head(out, response, framing);
  ResponseHead read;
  size_t consumed = 0;
  HeadParser parser({.headers = 1 << 20, .uri = 1 << 20, .header_count = 1000});
  CHECK(parser.parse_response(out.view(), read, consumed) == HeadParser::State::complete);
  CHECK(consumed == out.size() && read.status == response.status);
  CHECK(response.status >= 200 && response.status <= 999);
}

// The kind: a plain GET, a HEAD, an upload in pieces, a body in memory; and whether the answer is given up at its head.
Task<void> ask(Http2ClientConnection* connection, Asking* all, unsigned kind) {
  ++all->under_way;
  {
    Request request((kind & 3) == 0 ? "GET" : (kind & 3) == 1 ? "HEAD" : "POST", "/one?two");
    request.headers.add("host", "shop");
    if ((kind & 3) == 2) request.body = Body(std::make_unique<Pieces>(), std::nullopt);
    if ((kind & 3) == 3) request.body = Body(Bytes::literal("three"));
    Result<Response> answer = co_await connection->exchange(request, Agenda::current().now() + 20s);
    if (answer) {
      check_written(*answer);
      std::optional<uint64_t> length = answer->body.length();
      uint64_t count = 0;
      bool given_up = (kind & 4) != 0;
      while (!given_up) {
        Result<Bytes> piece = co_await answer->body.read();
        if (!piece) break;
        count += piece->size();
        if (!piece->empty()) continue;
        CHECK(!length || *length == count || (kind & 3) == 1);  // what is shorter than it says never looks whole
        break;
      }
    } else {
      CHECK(answer.error().side == Side::upstream);
    }
  }
  --all->under_way;
}

// What the pool does with a connection that nobody has used for long.
Task<void> retire(Http2ClientConnection* connection, Scope* requests) {
  co_await requests->idle();
  connection->retire();
}

Task<void> use(io::Address address, unsigned kinds, Asking* all, bool* over) {
  static Room room;
  Result<io::Socket> socket = co_await io::connect(address);
  {
    Http2ClientConnection connection(std::move(*socket), how, false, room);
    Scope requests;
    Scope scope;
    for (unsigned i = 0; i < 4; ++i)
      if (connection.room() > 0) requests.spawn(ask, &connection, all, (kinds >> i) ^ i);
    scope.spawn(retire, &connection, &requests);
    co_await connection.run();
    co_await scope.idle();
    CHECK(connection.open() == 0);
  }
  *over = true;
}

Task<void> speak(io::Listener* listener, std::string_view input, size_t step) {
  Result<io::Accepted> accepted = co_await listener->accept();
  io::Socket& socket = accepted->socket;
  bool sent = true;
  while (sent && !input.empty()) {
    size_t count = std::min(step, input.size());
    sent = co_await socket.send(Bytes::copy(input.substr(0, count)), {}, Agenda::current().now() + 100s);
    input.remove_prefix(count);
  }
  while (true) {
    io::Bulk bulk = co_await socket.receive_bulk();
    if (bulk.arrival != io::Arrival::bytes) co_return;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  testing::SimLoop loop(data[0] & 7);
  io::Listener listener = std::move(*io::listen(io::Address::loopback(0), false));
  bool over = false;
  Asking all;
  {
    Scope scope;
    scope.spawn(speak, &listener, std::string_view(reinterpret_cast<const char*>(data + 2), size - 2), size_t{1} << (data[0] >> 4));
    scope.spawn(use, listener.address(), data[1], &all, &over);
    CHECK(loop.run_until([&] { return over; }, 1h));
  }
  CHECK(all.under_way == 0);
  return 0;
}
