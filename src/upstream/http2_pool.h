// upstream/http2_pool.h
//
// Http2Pool: the HTTP/2 connections to one endpoint on one worker. Many requests share few connections: another is opened
// only when those that are there take no more. Who finds none waits in line, for no longer than a connect may take.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "async/scope.h"
#include "http/http2_client.h"
#include "upstream/dial.h"

namespace portloom::upstream {

class Http2Pool final : public http::Http2ClientConnection::Watcher {
 public:
  static constexpr size_t waiting_max = 1024;  // requests in line; more are refused
  static constexpr Duration again_after = 1s;  // another dial, when one has failed and there are connections
  struct Settings {
    Duration connect_timeout = 1s;
    uint32_t connections_max = 1024;
    http::Http2ClientSettings client;
  };
  // Both outlive it.
  Http2Pool(const Dialer& dialer, const Settings& settings) : dialer_(dialer), settings_(settings) {}
  ~Http2Pool() override;

  // One that takes a request now, or null. It is the caller's until it suspends.
  http::Http2ClientConnection* ready() const;
  // Waits until there is one. Why the connect failed; Code::overloaded when all are full and there may be no more of them.
  Task<Result<http::Http2ClientConnection*>> wait();
  // Ends those that have not been used since.
  void sweep(Instant oldest);
  size_t connections() const { return connections_.size(); }

 private:
  struct Waiting : Link {
    explicit Waiting(Http2Pool& of) : pool(of) { ++pool.waiting_count_; }
    ~Waiting() {
      unlink();
      --pool.waiting_count_;
      if (called.is_set() && !error) pool.on_room();  // it may have gone without taking what it was called for
    }
    Http2Pool& pool;
    Event called;
    std::optional<Error> error;
  };
  void on_room() override;
  bool may_open() const;
  void open();
  // One connection's life, from the dial on.
  static Task<void> live(Http2Pool* self);

  const Dialer& dialer_;
  const Settings& settings_;
  std::vector<std::unique_ptr<http::Http2ClientConnection>> connections_;
  List<Waiting> waiting_;
  size_t waiting_count_ = 0;
  Instant not_before_{};  // after a dial that failed
  bool opening_ = false;
  Scope scope_;
};

}  // namespace portloom::upstream
