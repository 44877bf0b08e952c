// io/socket.cpp
//
// What is the same for every engine: sends, accepts, connects.
#include "io/socket.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace portloom::io {

void Stash::append(std::string_view bytes, size_t room) {
  if (bytes.empty()) return;
  size_t held = end_ - begin_;
  if (block_.size() - end_ < bytes.size()) {
    if (block_.size() >= held + bytes.size()) {
      std::memmove(block_.writable(), block_.data() + begin_, held);
    } else {
      size_t capacity = std::max({held + bytes.size(), 2 * block_.size(), room});
      Bytes larger = Bytes::uninitialized((capacity + 63) / 64 * 64);
      if (held != 0) std::memcpy(larger.writable(), block_.data() + begin_, held);
      block_ = std::move(larger);
    }
    begin_ = 0;
    end_ = static_cast<uint32_t>(held);
  }
  std::memcpy(block_.writable() + end_, bytes.data(), bytes.size());
  end_ += static_cast<uint32_t>(bytes.size());
}

Bytes Stash::take(size_t bytes_max) {
  size_t held = end_ - begin_;
  if (held > bytes_max) {
    Bytes part = Bytes::copy(view().substr(0, bytes_max));
    consume(bytes_max);
    return part;
  }
  Bytes whole = std::move(block_).slice(begin_, held);
  clear();
  return whole;
}

size_t Sending::prepare() {
  size_t count = 0;
  for (Bytes& piece : pieces)
    if (!piece.empty()) vectors[count++] = {const_cast<char*>(piece.data()), piece.size()};
  message = {};
  message.msg_iov = vectors;
  message.msg_iovlen = count;
  return count;
}

bool Sending::advance(size_t count) {
  for (Bytes& piece : pieces) {
    size_t part = std::min(count, piece.size());
    piece.remove_prefix(part);
    count -= part;
  }
  return pieces[0].empty() && pieces[1].empty();
}

Bulk BulkAwaiter::await_resume() {
  channel_.reader = nullptr;
  channel_.wants_bulk = false;
  if (!channel_.bulk_out && !channel_.bulk.empty()) {  // else the kernel still has it
    Bytes bytes = std::exchange(channel_.bulk, {});
    if (bytes.size() > bytes_max_) {  // it was asked for by an earlier reader, who wanted more
      channel_.stash.append(bytes.view().substr(bytes_max_));
      channel_.fresh = true;
      bytes.truncate(bytes_max_);
    }
    return {Arrival::bytes, std::move(bytes)};
  }
  std::string_view input = channel_.input();
  if (!input.empty()) {
    Bytes bytes;
    if (channel_.stash.empty()) {
      bytes = Bytes::copy(input.substr(0, bytes_max_));
      channel_.lent.remove_prefix(bytes.size());
    } else {
      bytes = channel_.stash.take(bytes_max_);
    }
    channel_.fresh = false;
    return {Arrival::bytes, std::move(bytes)};
  }
  if (channel_.broken) return {Arrival::broken, {}};
  return {channel_.ended ? Arrival::end : Arrival::late, {}};
}

void Socket::post(Bytes first, Bytes second) {
  CHECK(channel_->sending == nullptr);
  if (first.empty() && second.empty()) return;
  if (channel_->send_broken) return;
  channel_->sending = new Sending{.pieces = {std::move(first), std::move(second)}};
  channel_->transport.start_send(*channel_);
}

Task<bool> flush_while_it_moves(Socket& socket, Duration patience) {
  uint64_t taken = socket.taken();
  Instant moved = Agenda::current().now();
  while (true) {
    bool gone = co_await socket.flush(Agenda::current().now() + flush_look(patience));
    if (gone) co_return true;
    if (!socket.sending() || socket.send_broken()) co_return false;
    uint64_t now_taken = socket.taken();
    if (std::exchange(taken, now_taken) != now_taken) moved = Agenda::current().now();
    if (Agenda::current().now() >= moved + patience) co_return false;
  }
}

Address Socket::local() const {
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;
  if (channel_->descriptor < 0 || ::getsockname(channel_->descriptor, reinterpret_cast<sockaddr*>(&storage), &size) != 0) return {};
  return Address::from(reinterpret_cast<sockaddr*>(&storage), size);
}

Result<Accepted> Listener::AcceptAwaiter::await_resume() {
  port_.waiter = nullptr;
  if (port_.accepted != nullptr) return Accepted{Socket(std::exchange(port_.accepted, nullptr)), port_.peer};
  int error = std::exchange(port_.error, 0);
  return failure(error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS ? Code::exhausted : Code::closed, Side::gateway,
                 std::strerror(error));
}

Result<Listener> listen(const Address& address, bool shared) {
  Result<std::unique_ptr<Port>> port = Loop::current().open_port(address, shared);
  if (!port) return std::unexpected(std::move(port.error()));
  return Listener(std::move(*port));
}

Task<Result<Socket>> connect(Address address) {
  Result<Channel*> opened = Loop::current().open_connection(address);
  if (!opened) co_return std::unexpected(std::move(opened.error()));
  Channel& channel = **opened;
  Socket socket(&channel);
  if (!channel.connected && !channel.broken) {
    struct ConnectAwaiter {
      Channel& channel;
      ReadyNode node{};
      ~ConnectAwaiter() {
        if (channel.writer == &node) channel.writer = nullptr;
      }
      bool await_ready() const { return false; }
      void await_suspend(std::coroutine_handle<> awaiting) {
        node.handle = awaiting;
        channel.writer = &node;
      }
      void await_resume() { channel.writer = nullptr; }
    };
    co_await ConnectAwaiter{channel};
  }
  if (channel.broken) co_return failure(Code::refused, Side::upstream, "cannot connect to " + address.text());
  co_return std::move(socket);
}

}  // namespace portloom::io
