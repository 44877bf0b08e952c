// config/listener.h
//
// Doors for clients, and the bounds on what comes through them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/duration.h"
#include "config/place.h"
#include "config/tls.h"

namespace portloom::config {

// What the clients of one HTTP/2 connection may ask of us. Over a bound without an answer of its own the connection ends with
// GOAWAY(ENHANCE_YOUR_CALM).
struct Http2Limits {
  uint32_t streams = 128;
  uint32_t resets = 200;
  uint32_t control_frames = 1000;
  Duration period = 10s;
  uint32_t continuations = 8;
  uint32_t acks = 256;
  Size stream_window{256 * 1024};
  Size connection_window{1024 * 1024};
  Size unread{4 * 1024 * 1024};

  void visit(this auto& self, auto& field) {
    using namespace data::rules;
    field("streams", self.streams, at_least(1), at_most(100'000), "Requests at a time. Those over it are refused (REFUSED_STREAM).");
    field("resets", self.resets, at_least(1),
          "Streams that the client resets, or makes us reset, per `period`; each whole answer allows one more. Over it: GOAWAY.");
    field("control_frames", self.control_frames, at_least(1),
          "SETTINGS, PING, PRIORITY, WINDOW_UPDATE and empty frames per `period`; each frame of ours allows four more. Over it: GOAWAY.");
    field("period", self.period, at_least(Duration(100ms)), "What `resets` and `control_frames` are counted over.");
    field("continuations", self.continuations,
          "CONTINUATION frames of one header section; never fewer than `limits.headers` needs. Over it: GOAWAY.");
    field("acks", self.acks, at_least(1), "Answers to PING and SETTINGS that wait because the client does not read. Over it: GOAWAY.");
    field("stream_window", self.stream_window, at_least(Size{16 * 1024}), at_most(Size{64 * 1024 * 1024}),
          "What a client may send of one request's body before it is read.");
    field("connection_window", self.connection_window, at_least(Size{64 * 1024}), at_most(Size{1024 * 1024 * 1024}),
          "What it may send of all bodies before the next credit.");
    field("unread", self.unread, at_least(Size{64 * 1024}),
          "Bytes of bodies that nobody has read yet, from which on that credit waits for readers.");
  }
};

struct Limits {
  std::optional<Size> memory;
  uint32_t connections = 50'000;
  std::optional<uint32_t> connections_per_address;
  Size headers{64 * 1024};
  Size uri{8 * 1024};
  std::optional<Size> body;
  Size buffered{1024 * 1024};
  Http2Limits http2;

  void visit(this auto& self, auto& field) {
    using namespace data::rules;
    field("memory", self.memory, at_least(Size{16 * 1024 * 1024}),
          "Memory of the process. Near it idle connections are closed and new requests get 503. Default: 80 % of the cgroup's, else of the "
          "machine's.");
    field("connections", self.connections, at_least(1), "Client connections at a time, all listeners together. Over it: closed.");
    field("connections_per_address", self.connections_per_address, at_least(1),
          "Client connections at a time from one address (IPv6: from one /64). Over it: closed. Without it there is no such bound.");
    field("headers", self.headers, at_least(Size{1024}), at_most(Size{1024 * 1024}),
          "A message's header section, both ways. Over it: 431 or 502.");
    field("uri", self.uri, at_least(Size{256}), at_most(Size{64 * 1024}), "A request target. Over it: 414.");
    field("body", self.body, "A request body. Over it: 413. Without it streaming bodies have no bound.");
    field("buffered", self.buffered,
          "What one request may keep in memory of bodies: its own, to be looked into or sent again, and the answers of a composition's "
          "calls. "
          "Over it: 413, no second attempt, the call has failed.");
    field("http2", self.http2, "Bounds of one HTTP/2 connection of a client.");
  }
};

struct ListenerTimeouts {
  Duration headers = 10s;
  Duration idle = 60s;
  Duration body = 60s;
  Duration gone_grace = 500ms;

  void visit(this auto& self, auto& field) {
    using namespace data::rules;
    field("headers", self.headers, at_least(Duration(1ms)),
          "For a request's header section, from its first byte; and for a TLS handshake.");
    field("idle", self.idle, at_least(Duration(1ms)), "How long a connection may wait for its next request.");
    field("body", self.body, at_least(Duration(1ms)), "How long a request body, or the client's reading of an answer, may stand still.");
    field("gone_grace", self.gone_grace, "From a client's end of stream during a request until the client counts as gone.");
  }
};

enum class Version : uint8_t { http1, http2 };
inline std::vector<data::Choice> choices_of(Version) { return {{"http1", Version::http1}, {"http2", Version::http2}}; }

// How much an answer of ours says about what went wrong.
enum class Errors : uint8_t { public_, internal };
inline std::vector<data::Choice> choices_of(Errors) { return {{"public", Errors::public_}, {"internal", Errors::internal}}; }

struct Listener {
  std::optional<uint16_t> port;
  std::optional<Address> address;
  std::optional<ListenerTls> tls;
  std::vector<Version> protocols{Version::http2, Version::http1};
  ListenerTimeouts timeouts;
  std::vector<std::string> trusted_proxies;
  bool proxy_protocol = false;
  std::optional<Errors> errors;
  std::vector<PolicyPart> policies;
  DestinationPart to;
  Position at;

  void visit(this auto& self, auto& field) {
    using namespace data::rules;
    field("port", self.port, "The port, on all addresses of both families; 0 takes a free one. Or `address`.");
    field("address", self.address, "Where to listen: `10.0.0.5:8443`, `\"[::1]:8443\"`, `unix:/run/x.sock`. Or `port`.");
    field("tls", self.tls, "Clients speak TLS to it. Without it: plain.");
    field("protocols", self.protocols, at_least(1),
          "What clients may speak. With TLS ALPN decides; without it a client that begins with HTTP/2's preface speaks HTTP/2.");
    field("timeouts", self.timeouts, "How long a client may take.");
    field("trusted_proxies", self.trusted_proxies, valid(data::is_network, "an address range like 10.0.0.0/8"),
          "Whose X-Forwarded-For is believed, and with `proxy_protocol` whose connections are taken.");
    field("proxy_protocol", self.proxy_protocol,
          "Each connection begins with a PROXY header (version 1 or 2) that says whose it is; one without is closed. Only "
          "`trusted_proxies` may connect, if there are any.");
    field("errors", self.errors,
          "public: type, title, status, request_id. internal: and blame, limit, service, file:line. Default: internal on loopback only.");
    field("policies", self.policies, "Run before any route answers, in this order.");
    field("to", self.to, "Where everything goes. A listener with its own `to` has no routes.");
  }
  void check(data::Checker& checker) const;
  Address bind() const { return address ? *address : Address{.host = {}, .port = port.value_or(0), .unix_path = {}}; }
  bool speaks(Version version) const { return std::find(protocols.begin(), protocols.end(), version) != protocols.end(); }
  bool internal_errors() const { return errors ? *errors == Errors::internal : bind().is_loopback(); }
};

}  // namespace portloom::config
