// io/mailbox.cpp
//
// The eventfd is written by whoever finds the box empty, and read once per batch.
#include "io/mailbox.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdint>

#include "base/check.h"

namespace portloom::io {

Mailbox::Mailbox() : descriptor_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) { CHECK(descriptor_ >= 0); }

Mailbox::~Mailbox() { ::close(descriptor_); }

bool Mailbox::post(Message message) {
  bool first = false;
  {
    std::lock_guard lock(mutex_);
    if (messages_.size() == messages_max) return false;
    first = messages_.empty();
    messages_.push_back(std::move(message));
  }
  if (first) {
    uint64_t one = 1;
    [[maybe_unused]] ssize_t written = ::write(descriptor_, &one, sizeof one);  // fails only when it is readable already
  }
  return true;
}

void Mailbox::deliver() {
  uint64_t count = 0;
  [[maybe_unused]] ssize_t got = ::read(descriptor_, &count, sizeof count);
  {
    std::lock_guard lock(mutex_);
    running_.swap(messages_);
  }
  for (Message& message : running_) message();
  running_.clear();
}

}  // namespace portloom::io
