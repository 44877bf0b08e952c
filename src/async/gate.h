// async/gate.h
//
// Gate: at most `limit` permits are out at once; who comes later waits in order. A Permit gives itself back when it is
// dropped. A waiter that is dropped leaves the line; one that was already chosen passes the permit on.
#pragma once

#include "async/agenda.h"

namespace portloom {

class Gate {
 public:
  explicit Gate(size_t limit) : free_(limit) {}
  Gate(const Gate&) = delete;

  class Permit {
   public:
    Permit() = default;
    explicit Permit(Gate& gate) : gate_(&gate) {}
    Permit(Permit&& other) noexcept : gate_(std::exchange(other.gate_, nullptr)) {}
    Permit& operator=(Permit&& other) noexcept {
      std::swap(gate_, other.gate_);
      return *this;
    }
    ~Permit() {
      if (gate_ != nullptr) gate_->leave();
    }

   private:
    Gate* gate_ = nullptr;
  };

  class [[nodiscard]] Awaiter {
   public:
    explicit Awaiter(Gate& gate) : gate_(gate) {}
    ~Awaiter() {
      waiting_.unlink();
      if (waiting_.granted && !taken_) gate_.leave();
    }
    bool await_ready() {
      if (gate_.free_ == 0 || !gate_.line_.empty()) return false;
      --gate_.free_;
      waiting_.granted = true;
      return true;
    }
    void await_suspend(std::coroutine_handle<> awaiting) {
      waiting_.node.handle = awaiting;
      gate_.line_.push_back(waiting_);
    }
    Permit await_resume() {
      taken_ = true;
      return Permit(gate_);
    }

   private:
    friend Gate;
    struct Waiting : Link {
      ReadyNode node;
      bool granted = false;
    };
    Gate& gate_;
    Waiting waiting_;
    bool taken_ = false;
  };
  // co_await gate.enter(): a Permit, in order of arrival.
  Awaiter enter() { return Awaiter(*this); }
  size_t free() const { return free_; }

 private:
  void leave() {
    if (Awaiter::Waiting* next = line_.pop_front()) {
      next->granted = true;
      Agenda::current().make_ready(next->node);
    } else {
      ++free_;
    }
  }
  size_t free_;
  List<Awaiter::Waiting> line_;
};

}  // namespace portloom
