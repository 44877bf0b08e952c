// server/serve_exchange.cpp
//
// The life of a request, from top to bottom (docs/life-of-a-request.md).
#include <algorithm>

#include "async/race.h"
#include "base/text.h"
#include "http/forwarding.h"
#include "http/hop_by_hop.h"
#include "http/path.h"
#include "http/trace_context.h"
#include "http/websocket.h"
#include "pipeline/grpc.h"
#include "pipeline/problem.h"
#include "server/connection.h"
#include "server/underway.h"

namespace portloom::server {
namespace {

using pipeline::Exchange;
using pipeline::Request;
using pipeline::Response;

// A received X-Request-Id is kept when it is harmless in logs and headers; else one is made.
bool acceptable_id(std::string_view id) {
  if (id.empty() || id.size() > sizeof(pipeline::Record::request_id)) return false;
  return std::all_of(id.begin(), id.end(), [](char c) { return is_alpha(c) || is_digit(c) || c == '-' || c == '_' || c == '.'; });
}

void choose_request_id(pipeline::Record& record, http::Headers& headers, Random& random) {
  std::optional<std::string_view> received = headers.find(http::Name::x_request_id);
  if (received && acceptable_id(*received)) {
    std::copy(received->begin(), received->end(), record.request_id.begin());
    record.request_id_size = static_cast<uint8_t>(received->size());
    return;
  }
  for (size_t word = 0; word < 2; ++word) {
    uint64_t bits = random.next();
    for (size_t i = 0; i < 16; ++i, bits >>= 4) record.request_id[word * 16 + i] = "0123456789abcdef"[bits & 15];
  }
  record.request_id_size = 32;
  headers.set(http::Name::x_request_id, record.id());
}

// Whether a connection that was let in by the demands of `then` meets what `now` demands of a client for this host.
bool meets(const io::TlsFacts& tls, const io::TlsServerMaterial& then, const io::TlsServerMaterial& now, std::string_view host) {
  uint16_t due = now.check_for(host);
  return &then == &now ? due == tls.check : now.checks[due] == then.checks[tls.check];
}

// The trace goes on, or begins here: then chance decides whether services are asked to record it.
void continue_trace(Exchange& exchange, http::Headers& headers, Random& random) {
  const config::Document* document = exchange.plan->snapshot().document.get();
  double share = document != nullptr ? document->telemetry.traces.sample.fraction : 1;
  bool sampled = share >= 1 || static_cast<double>(random.below(1'000'000)) < share * 1e6;
  exchange.record.trace = http::continue_trace(headers, random, sampled).trace_id;
}

}  // namespace

// RFC 9110 §6.6.1: an answer that is ours has one, and one that came without gets ours.
void Server::add_date(const Response& response, Exchange& exchange) {
  if (response.status >= 200 && !response.headers.contains(http::Name::date))
    exchange.reply_headers.set(http::Name::date, workplace_->date.text(Agenda::current().wall_now()));
}

Task<bool> Server::serve_exchange(Connection& connection, http::ServerStream& stream) {
  Exchange exchange(*workplace_->plan, connection.peer);
  const Door& door = *door_;  // the plan's: both change together
  Request request(exchange, exchange.record.call);
  Underway underway(*this, exchange, door, stream);

  // 2. read
  http::Incoming incoming = co_await stream.next(request);
  if (incoming == http::Incoming::failed) co_return co_await refuse(exchange, door, connection, stream);
  if (incoming != http::Incoming::request) co_return false;

  // 3.-7. open, match, policies, route, destination: dropped as soon as the client has gone
  open(exchange, request, door, connection, stream);
  Task<Response> answering = answer(exchange, request, door, connection, stream.version());
  std::optional<Response> response = co_await unless(stream.departure(), answering);
  if (!response && !stream.broken())  // a FIN may be a half-close: the client gets a moment
    response = co_await before(exchange.now() + door.connection.gone_grace, answering);
  if (!response) {
    exchange.record.fault = Error{Code::client_gone, Side::client, Progress::nothing, "the client went away"};
    close(exchange, door, stream);
    co_return false;
  }

  // 8. reply and record
  bool websocket = http::is_websocket(*response);
  while (true) {
    pipeline::render(*response, exchange, door.internal_errors);
    exchange.record.status = response->status;
    if (response->fault) exchange.record.fault = response->fault;
    add_date(*response, exchange);
    exchange.record.complete = co_await stream.reply(*response, exchange.reply_headers);
    if (exchange.record.complete || !cut_short(exchange, stream)) break;
    response.emplace(pipeline::deny(stream.fault()));  // nothing was sent of it: that it failed can still be said
  }
  bool tunnelled = exchange.record.complete && response->tunnel != nullptr;
  if (tunnelled) {
    std::unique_ptr<http::ByteStream> near = stream.tunnel();
    co_await http::relay(*near, *response->tunnel, exchange.record.bytes_in, exchange.record.bytes_out, websocket ? &leaving_ : nullptr);
  }
  response.reset();  // leases and permits go back before the next request
  close(exchange, door, stream);
  if (!exchange.record.complete || tunnelled) co_return false;
  co_return co_await stream.finish();
}

// The reply did not go out whole: says why in the record. True when nothing went out, so that another can.
bool Server::cut_short(Exchange& exchange, const http::ServerStream& stream) {
  using enum http::ServerStream::Cut;
  if (stream.cut() == none)
    exchange.record.fault = Error{Code::client_gone, Side::client, Progress::body, "the client went away"};
  else
    exchange.record.fault = stream.fault();
  return stream.cut() == before_reply;
}

// A head that could not be read: there is no request, but the answer and its account are the same.
Task<bool> Server::refuse(Exchange& exchange, const Door& door, Connection& connection, http::ServerStream& stream) {
  pipeline::Record& record = exchange.record;
  http::Headers none;
  choose_request_id(record, none, workplace_->random);
  record.time = Agenda::current().wall_now();
  record.begun = exchange.now();
  record.client = connection.peer.text;
  record.protocol = stream.protocol();
  record.listener = door.name;
  record.listener_index = door.index;
  record.fault = stream.fault();
  Response response = pipeline::deny(*record.fault);
  pipeline::render(response, exchange, door.internal_errors);
  record.status = response.status;
  add_date(response, exchange);
  record.complete = co_await stream.refuse(response, exchange.reply_headers);
  close(exchange, door, stream);
  co_return false;
}

void Server::open(Exchange& exchange, Request& request, const Door& door, Connection& connection, const http::ServerStream& stream) {
  pipeline::Record& record = exchange.record;
  record.time = Agenda::current().wall_now();
  record.begun = exchange.now();
  record.line = request.line_bytes();
  record.method = request.method_text();
  record.path = request.path_and_query();
  record.protocol = stream.protocol();
  record.listener = door.name;
  record.listener_index = door.index;
  record.client = exchange.client = connection.peer.text;
  if (&door != connection.door.get()) connection.peer.trusted = connection.trusted_by(door);  // a reload takes effect at once
  if (connection.peer.trusted) {
    exchange.client_text = http::believed_client(request.headers, connection.peer.ip, door.trusted_proxies).text();
    record.client = exchange.client = exchange.client_text;
  }
  record.host_text = Bytes::copy(request.host());
  record.host = record.host_text.view();
  http::HopByHop hop = http::strip_hop_by_hop(request.headers, request.upgrade);
  request.te_trailers = hop.te_trailers;
  choose_request_id(record, request.headers, workplace_->random);
  continue_trace(exchange, request.headers, workplace_->random);
  if (!door.quiet) exchange.reply_headers.add(http::Name::x_request_id, record.id());
  pipeline::open_grpc(exchange, request);
  if (speaks_plainly(connection)) connection.retire(false);
}

[[clang::coro_wrapper]] Task<Response> Server::answer(Exchange& exchange, Request& request, const Door& door, Connection& connection,
                                                      http::Version version) {
  const io::TlsFacts* tls = exchange.peer.tls;
  if (workplace_->admission->memory() != Memory::plenty) {
    connection.retire(true);
    exchange.record.limit = "memory";
    return ready(pipeline::deny(Code::overloaded, Side::gateway, "limits.memory is nearly used up"));
  }
  if (speaks_plainly(connection)) return ready(pipeline::deny(Code::bad_request, Side::client, "this port speaks TLS: use https"));
  // A connection that was let in under one name's demands on client certificates must not reach another's (RFC 9110 §7.4).
  if (tls != nullptr && door.tls != nullptr && !meets(*tls, connection.door->tls->material(), door.tls->material(), request.host()))
    return ready(pipeline::deny(Code::misdirected, Side::client, "this host needs a connection of its own: its certificate asks for more"));
  if (request.form() == http::TargetForm::origin || request.form() == http::TargetForm::absolute) {
    Result<http::Target> target = http::normalize(request.path_and_query());
    if (!target) return ready(pipeline::deny(std::move(target.error())));
    if (target->changed && !request.set_path_and_query(target->text))
      return ready(pipeline::deny(Code::bad_request, Side::client, "the target is not a path"));
  } else if (request.form() == http::TargetForm::authority) {
    return ready(pipeline::deny(Code::method_not_allowed, Side::client, "CONNECT is not served here"));
  }
  // OPTIONS * is about the gateway and no route (RFC 9110 §9.3.7): the Router answers it
  // 4. match first, a pure look-up; then the listener's policies, less what the route skips; 404 only behind them
  const pipeline::RouteTable& table = *exchange.plan->snapshot().table;
  pipeline::RouteTable::Match match;
  if (request.form() != http::TargetForm::asterisk) match = table.match(lookup_of(door.index, request), exchange.params);
  exchange.route = match.route;
  exchange.allowed_methods = match.allowed_methods;
  if (match.route != nullptr) {
    exchange.record.route = match.route->name;
    exchange.record.route_index = match.route->index;
  }
  http::Forwarding facts{.peer = exchange.peer.ip,
                         .scheme = tls != nullptr ? std::string_view("https") : door.scheme,
                         .host = exchange.record.host,
                         .trusted = exchange.peer.trusted};
  http::write_forwarding(request.headers, facts);
  http::write_via(request.headers, "portloom", version.major, version.minor);
  pipeline::Chain& chain = exchange.plan->entry(door.index).chain_for(exchange.route);
  if (exchange.deadline != never) return pipeline::call_within(chain, request);
  return chain.call(request);
}

void Server::close(Exchange& exchange, const Door& door, const http::ServerStream& stream) {
  pipeline::Record& record = exchange.record;
  record.bytes_in += stream.body_bytes_in();
  record.bytes_out += stream.body_bytes_out();
  record.duration = exchange.now() - record.begun;
  if (workplace_->sink != nullptr && !door.quiet) workplace_->sink->write(record);
}

}  // namespace portloom::server
