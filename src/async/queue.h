// async/queue.h
//
// Queue<T>: a bounded, first-in first-out hand-over between tasks of one worker. push() refuses when full: the bound
// is an answer, never growth. close() lets the readers drain what is there and then see the end.
#pragma once

#include <deque>
#include <optional>

#include "async/agenda.h"
#include "async/task.h"

namespace portloom {

template <class T>
class Queue {
 public:
  explicit Queue(size_t capacity) : capacity_(capacity) {}
  bool push(T value) {
    if (closed_ || items_.size() == capacity_) return false;
    items_.push_back(std::move(value));
    wake_one();
    return true;
  }
  void close() {
    closed_ = true;
    while (ReadyNode* node = waiters_.pop_front()) Agenda::current().make_ready(*node);
  }
  size_t size() const { return items_.size(); }

  // Empty when the queue is closed and drained.
  Task<std::optional<T>> pop() {
    while (items_.empty() && !closed_) co_await Waiter(*this);
    if (items_.empty()) co_return std::nullopt;
    std::optional<T> item(std::move(items_.front()));
    items_.pop_front();
    co_return item;
  }

 private:
  class Waiter {
   public:
    explicit Waiter(Queue& queue) : queue_(queue) {}
    // Dropped after it was chosen and before it ran: the next one must not sleep beside an item.
    ~Waiter() {
      bool chosen = suspended_ && !resumed_ && node_.linked() && !queue_.items_.empty();
      node_.unlink();
      if (chosen) queue_.wake_one();
    }
    bool await_ready() const { return false; }
    void await_suspend(std::coroutine_handle<> awaiting) {
      suspended_ = true;
      node_.handle = awaiting;
      queue_.waiters_.push_back(node_);
    }
    void await_resume() { resumed_ = true; }

   private:
    Queue& queue_;
    ReadyNode node_;
    bool suspended_ = false;
    bool resumed_ = false;
  };
  void wake_one() {
    if (ReadyNode* node = waiters_.pop_front()) Agenda::current().make_ready(*node);
  }

  size_t capacity_;
  bool closed_ = false;
  std::deque<T> items_;
  List<ReadyNode> waiters_;
};

}  // namespace portloom
