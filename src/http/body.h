// http/body.h
//
// Body: a pull stream of bytes. Not calling read() is the back-pressure. Most bodies are whole in memory when their head
// has been read; then no coroutine is made for them. A Guard rides on a body (a lease, a permit, a span) and is released
// when the body is dropped. Owned by one message on one worker.
#pragma once

#include <memory>
#include <optional>

#include "async/task.h"
#include "base/bytes.h"
#include "base/error.h"
#include "base/pool.h"
#include "http/headers.h"
#include "io/pipe.h"

namespace portloom::http {

// Where the bytes of a streaming body come from.
class BodySource : public Pooled {
 public:
  virtual ~BodySource() = default;
  // The next bytes; empty at the end, and only then. Not called again after the end or an error.
  virtual Task<Result<Bytes>> read() = 0;
  // As read(), but the bytes, `bytes_max` of them at most, stay in the kernel: how many are in `pipe` now. 0 says that this is
  // not how the next bytes come: then read() is to be called. Only a source that nobody stands in front of is asked.
  [[clang::coro_wrapper]] virtual Task<Result<size_t>> read_into(io::Pipe&, size_t) { return ready(Result<size_t>(size_t{0})); }
  // The trailer section, once the end was read; null when there is none.
  virtual const Headers* trailers() const { return nullptr; }
};

class Guard : public Pooled {
 public:
  virtual ~Guard() = default;
  std::unique_ptr<Guard> next;
};

class Body {
 public:
  Body() = default;
  explicit Body(Bytes whole) : whole_(std::move(whole)), length_(whole_.size()) {}
  // `length` where it is known beforehand.
  Body(std::unique_ptr<BodySource> source, std::optional<uint64_t> length) : source_(std::move(source)), length_(length) {}
  Body(Body&& other) noexcept = default;
  Body& operator=(Body&& other) noexcept {
    source_ = std::move(other.source_);  // before the guards: a source may use what they lease
    guards_ = std::move(other.guards_);
    whole_ = std::move(other.whole_);
    length_ = other.length_;
    return *this;
  }
  ~Body() { source_.reset(); }

  // Everything is here, in memory, unread (or there is nothing at all).
  bool in_memory() const { return source_ == nullptr; }
  const Bytes& bytes() const { return whole_; }
  // Of the whole body, if known: 0 for an empty one.
  std::optional<uint64_t> length() const { return length_; }

  // The next bytes; empty at the end.
  [[clang::coro_wrapper]] Task<Result<Bytes>> read() {
    if (source_ != nullptr) return source_->read();
    return ready(Result<Bytes>(std::exchange(whole_, {})));
  }
  // For a body that is not in_memory().
  [[clang::coro_wrapper]] Task<Result<size_t>> read_into(io::Pipe& pipe, size_t bytes_max) { return source_->read_into(pipe, bytes_max); }
  const Headers* trailers() const { return source_ == nullptr ? nullptr : source_->trailers(); }
  void hold(std::unique_ptr<Guard> guard) {
    guard->next = std::move(guards_);
    guards_ = std::move(guard);
  }

 private:
  std::unique_ptr<Guard> guards_;
  std::unique_ptr<BodySource> source_;
  Bytes whole_;
  std::optional<uint64_t> length_ = 0;
};

}  // namespace portloom::http
