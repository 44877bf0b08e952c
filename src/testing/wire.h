// testing/wire.h
//
// Wire: one end of a connection that a test speaks by hand: say() what you like, look at what was heard. Origin: a port that
// turns every connection into a Wire. All of it on the SimLoop of the test, which turns between two looks.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "async/scope.h"
#include "testing/sim_loop.h"

namespace portloom::testing {

class Wire {
 public:
  explicit Wire(io::Socket socket, size_t limit = SIZE_MAX) : read_limit_(limit), socket_(std::move(socket)) { start(); }
  explicit Wire(io::Address address) : read_limit_(SIZE_MAX) { scope_.spawn(connect, this, std::move(address)); }
  Wire(const Wire&) = delete;

  std::string heard;    // all that came, unless taken
  bool ended = false;   // the peer's FIN came
  bool broken = false;  // reset
  bool refused = false;
  bool over() const { return ended || broken || refused; }

  void say(std::string_view text) {
    to_say_ += text;
    wake();
  }
  // Says FIN behind what is still to be said.
  void half_close() {
    fin_ = true;
    wake();
  }
  void close() {
    scope_.cancel();
    socket_.close();
  }
  void reset() { dynamic_cast<SimLoop&>(io::Loop::current()).reset(socket_); }
  // Reads on until so many bytes were heard in all; a slow reader.
  void read_until(size_t bytes) {
    read_limit_ = bytes;
    more_.set();
  }
  bool has(std::string_view text) const { return heard.find(text) != std::string::npos; }
  size_t count(std::string_view text) const {
    size_t found = 0;
    for (size_t at = heard.find(text); at != std::string::npos; at = heard.find(text, at + text.size())) ++found;
    return found;
  }
  // What was heard since the last take().
  std::string take() { return std::exchange(heard, {}); }
  size_t total() const { return total_; }
  size_t unsent() const { return to_say_.size(); }
  bool connected() const { return static_cast<bool>(socket_); }

 private:
  static Task<void> connect(Wire* self, io::Address address) {
    Result<io::Socket> socket = co_await io::connect(std::move(address));
    if (!socket) {
      self->refused = true;
      co_return;
    }
    self->socket_ = std::move(*socket);
    self->start();
  }
  void start() {
    scope_.spawn(read, this);
    scope_.spawn(speak, this);
  }
  void wake() { due_.set(); }
  static Task<void> read(Wire* self) {
    while (true) {
      while (self->total_ >= self->read_limit_) {
        self->more_.reset();
        co_await self->more_.wait();
      }
      io::Bulk bulk = co_await self->socket_.receive_bulk(std::min<size_t>(64 * 1024, self->read_limit_ - self->total_));
      if (bulk.arrival != io::Arrival::bytes) {
        (bulk.arrival == io::Arrival::end ? self->ended : self->broken) = true;
        co_return;
      }
      self->heard += bulk.bytes.view();
      self->total_ += bulk.bytes.size();
    }
  }
  static Task<void> speak(Wire* self) {
    while (true) {
      while (!self->to_say_.empty()) {
        Bytes piece = Bytes::copy(std::string_view(self->to_say_).substr(0, 32 * 1024));
        size_t size = piece.size();
        if (!co_await self->socket_.send(std::move(piece))) co_return;
        self->to_say_.erase(0, size);
      }
      if (self->fin_) {
        self->socket_.shutdown_write();
        co_return;
      }
      self->due_.reset();
      co_await self->due_.wait();
    }
  }

  size_t read_limit_;
  size_t total_ = 0;
  std::string to_say_;
  bool fin_ = false;
  Event due_;
  Event more_;
  io::Socket socket_;
  Scope scope_;
};

class Origin {
 public:
  Origin() : listener_(std::move(*io::listen(io::Address::loopback(0), false))) { scope_.spawn(accept, this); }
  const io::Address& address() const { return listener_.address(); }
  size_t count() const { return wires_.size(); }
  Wire& operator[](size_t i) { return *wires_[i]; }
  size_t read_limit = SIZE_MAX;  // of the wires to come

 private:
  static Task<void> accept(Origin* self) {
    while (true) {
      Result<io::Accepted> accepted = co_await self->listener_.accept();
      if (!accepted) co_return;
      self->wires_.push_back(std::make_unique<Wire>(std::move(accepted->socket), self->read_limit));
    }
  }
  io::Listener listener_;
  std::vector<std::unique_ptr<Wire>> wires_;
  Scope scope_;
};

}  // namespace portloom::testing
