// io/mailbox.h
//
// How other threads talk to a worker: messages are functions that run at the top of the worker's turn. One wake-up per
// batch (an eventfd, written only when the box was empty). Bounded: post() refuses when it is full.
#pragma once

#include <cstddef>
#include <functional>
#include <mutex>
#include <vector>

namespace portloom::io {

class Mailbox {
 public:
  using Message = std::move_only_function<void()>;
  static constexpr size_t messages_max = 65536;

  Mailbox();
  Mailbox(const Mailbox&) = delete;
  Mailbox& operator=(const Mailbox&) = delete;
  ~Mailbox();
  // Any thread. False when the box is full.
  bool post(Message message);
  // The owning worker: runs what was posted.
  void deliver();
  // Becomes readable when there is something to deliver.
  int descriptor() const { return descriptor_; }

 private:
  int descriptor_;
  std::mutex mutex_;
  std::vector<Message> messages_;
  std::vector<Message> running_;
};

}  // namespace portloom::io
