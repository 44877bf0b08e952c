// Any bytes behind the preface as a client of HTTP/2, in pieces, over a network in memory: the connection ends in time, every
// stream has ended by then, and what is accepted as a request can be written as HTTP/1.1 and read back as the same request.
#include <algorithm>
#include <memory>
#include <string>

#include "async/scope.h"
#include "base/check.h"
#include "http/framing.h"
#include "http/hop_by_hop.h"
#include "http/http2_server.h"
#include "http/parser.h"
#include "http/writer.h"
#include "testing/sim_loop.h"

using namespace portloom;
using namespace portloom::http;

namespace {

size_t serving = 0;

ServerSettings settings() {
  ServerSettings made;
  made.heads = {.headers = 2000, .uri = 300, .header_count = 20};
  made.http2_limits.streams = 8;
  made.http2_limits.resets = 8;
  made.http2_limits.control_frames = 64;
  return made;
}

void check_written(const Request& request) {
  RequestHead head = request;
  strip_hop_by_hop(head.headers, request.upgrade);
  Framing framing;
  framing.upgrade = request.upgrade;
  Writer out(16);
  write_request_head(out, head, framing);
  RequestHead read;
  size_t consumed = 0;
  HeadParser parser({.headers = 1 << 20, .uri = 1 << 20, .header_count = 1000});
  CHECK(parser.parse_request(out.view(), read, consumed) == HeadParser::State::complete);
  CHECK(consumed == out.size());
  CHECK(read.method_text() == head.method_text() && read.path_and_query() == head.path_and_query());
  if (!head.authority().empty()) CHECK(read.headers.find(Name::host) == head.authority());
}

Task<void> answer(std::unique_ptr<ServerStream> stream) {
  ++serving;
  Request request;
  Headers extra;
  Incoming incoming = co_await stream->next(request);
  if (incoming == Incoming::failed) {
    Response no(400);
    no.body = Body(Bytes::literal("no"));
    co_await stream->refuse(no, extra);
  } else if (incoming == Incoming::request) {
    check_written(request);
    while (true) {
      Result<Bytes> piece = co_await request.body.read();
      if (!piece || piece->empty()) break;
    }
    Response yes(200);
    yes.body = Body(Bytes::literal("yes"));
    bool whole = co_await stream->reply(yes, extra);
    (void)whole;
  }
  stream.reset();
  --serving;
}

Task<void> serve(io::Listener* listener, const ServerSettings* how, bool* over) {
  Result<io::Accepted> accepted = co_await listener->accept();
  {
    Http2ServerConnection connection(std::move(accepted->socket), *how);
    Scope streams;
    while (std::unique_ptr<ServerStream> stream = co_await connection.next()) streams.spawn(answer, std::move(stream));
    co_await streams.idle();
  }
  *over = true;
}

Task<void> speak(io::Address address, std::string_view input, size_t step) {
  Result<io::Socket> socket = co_await io::connect(address);
  bool sent = co_await socket->send(Bytes::literal("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"));
  while (sent && !input.empty()) {
    size_t count = std::min(step, input.size());
    sent = co_await socket->send(Bytes::copy(input.substr(0, count)), {}, Agenda::current().now() + 100s);
    input.remove_prefix(count);
  }
  socket->shutdown_write();
  while (true) {
    io::Bulk bulk = co_await socket->receive_bulk();
    if (bulk.arrival != io::Arrival::bytes) co_return;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  static const ServerSettings how = settings();
  testing::SimLoop loop(data[0] & 7);
  io::Listener listener = std::move(*io::listen(io::Address::loopback(0), false));
  bool over = false;
  {
    Scope scope;
    scope.spawn(serve, &listener, &how, &over);
    scope.spawn(speak, listener.address(), std::string_view(reinterpret_cast<const char*>(data + 1), size - 1),
                size_t{1} << (data[0] >> 4));
    CHECK(loop.run_until([&] { return over; }, 1h));
  }
  CHECK(serving == 0);
  return 0;
}
