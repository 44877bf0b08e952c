// server/notices.h
//
// Notices: lines for whoever runs the process about what is no exchange, such as a handshake that failed. Bounded: a client that
// provokes them writes a few a second, and then one number. One per worker.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "async/agenda.h"

namespace portloom::server {

class Notices {
 public:
  static constexpr uint32_t per_second = 5;
  // `tell` must not block.
  explicit Notices(std::function<void(std::string)> tell) : tell_(std::move(tell)) {}

  void note(std::string line) {
    Instant now = Agenda::current().now();
    if (now >= second_ + 1s) {
      second_ = now;
      if (left_out_ > 0) line += " (and " + std::to_string(left_out_) + " more that were left out)";
      told_ = left_out_ = 0;
    }
    if (told_ == per_second) {
      ++left_out_;
      return;
    }
    ++told_;
    tell_(std::move(line));
  }

 private:
  std::function<void(std::string)> tell_;
  Instant second_{};
  uint32_t told_ = 0;
  uint32_t left_out_ = 0;
};

}  // namespace portloom::server
