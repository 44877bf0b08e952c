// policy/replay.h
//
// Tape and Replay: a streaming request body that can be sent again. What one attempt reads is kept, up to a bound; the next
// attempt reads that first, and then what nobody has read yet. Shared by the attempts of one request, on its worker.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "http/body.h"

namespace portloom::policy {

struct Tape {
  Tape(http::Body of, size_t bound) : body(std::move(of)), bytes_max(bound) {}
  http::Body body;    // the rest
  std::string kept;   // its beginning, copied: a piece may keep a whole read buffer alive
  size_t bytes_max;   // of `kept`
  bool over = false;  // the end was read
  bool lost = false;  // more was read than is kept, or reading failed: it cannot be sent again
};

// One attempt's reading. There is one at a time: an attempt is dropped before the next begins.
class Replay final : public http::BodySource {
 public:
  explicit Replay(std::shared_ptr<Tape> tape) : tape_(std::move(tape)) {}
  Task<Result<Bytes>> read() override {
    if (at_ < tape_->kept.size()) {
      Bytes again = Bytes::copy(std::string_view(tape_->kept).substr(at_));
      at_ = tape_->kept.size();
      co_return again;
    }
    if (tape_->over) co_return Bytes();
    Result<Bytes> piece = co_await tape_->body.read();
    if (!piece) {
      tape_->lost = true;
    } else if (piece->empty()) {
      tape_->over = true;
    } else {
      keep(piece->view());
    }
    co_return piece;
  }
  const http::Headers* trailers() const override { return tape_->body.trailers(); }

 private:
  void keep(std::string_view piece) {
    if (tape_->lost) return;
    if (tape_->kept.size() + piece.size() > tape_->bytes_max) {
      tape_->lost = true;
      std::string().swap(tape_->kept);
      at_ = 0;
      return;
    }
    tape_->kept += piece;
    at_ = tape_->kept.size();
  }
  std::shared_ptr<Tape> tape_;
  size_t at_ = 0;  // into `kept`
};

}  // namespace portloom::policy
