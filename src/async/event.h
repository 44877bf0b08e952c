// async/event.h
//
// Event: a flag that tasks wait for. set() makes every waiter ready and stays set until reset().
#pragma once

#include "async/agenda.h"

namespace portloom {

class Event {
 public:
  bool is_set() const { return set_; }
  void set() {
    if (set_) return;
    set_ = true;
    while (ReadyNode* node = waiters_.pop_front()) Agenda::current().make_ready(*node);
  }
  void reset() { set_ = false; }

  class [[nodiscard]] Awaiter {
   public:
    explicit Awaiter(Event& event) : event_(event) {}
    bool await_ready() const { return event_.set_; }
    void await_suspend(std::coroutine_handle<> awaiting) {
      node_.handle = awaiting;
      event_.waiters_.push_back(node_);
    }
    void await_resume() const {}

   private:
    Event& event_;
    ReadyNode node_;
  };
  Awaiter wait() { return Awaiter(*this); }

  class [[nodiscard]] TimedAwaiter {
   public:
    TimedAwaiter(Event& event, Instant deadline) : event_(event), deadline_(deadline), timer_(node_) {}
    bool await_ready() const { return event_.set_; }
    void await_suspend(std::coroutine_handle<> awaiting) {
      node_.handle = awaiting;
      event_.waiters_.push_back(node_);
      Agenda::current().set(timer_, deadline_);
    }
    bool await_resume() const { return event_.set_; }

   private:
    Event& event_;
    Instant deadline_;
    ReadyNode node_;
    Timer timer_;
  };
  // False when the deadline came first.
  TimedAwaiter wait_until(Instant deadline) { return {*this, deadline}; }
  // For async/race.h: makes `node` ready when set.
  void add(ReadyNode& node) { waiters_.push_back(node); }

 private:
  bool set_ = false;
  List<ReadyNode> waiters_;
};

}  // namespace portloom
