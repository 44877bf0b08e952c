// async/scope.h
//
// Scope: the owner of tasks that outlive the block that started them. spawn() copies its arguments; a spawned function
// takes values, or a pointer to an owner that this Scope belongs to. Destroying the Scope drops every child.
// A child starts in the next turn of the ready list and never destroys its own Scope.
#pragma once

#include "async/agenda.h"
#include "async/event.h"
#include "async/task.h"

namespace portloom {

class Scope {
 public:
  Scope() = default;
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;
  ~Scope() { cancel(); }

  // `function(arguments...)` is a coroutine that returns Task<void>.
  template <class Function, class... Arguments>
  void spawn(Function function, Arguments... arguments) {
    Child child = run(std::move(function), std::move(arguments)...);
    child.promise->scope = this;
    children_.push_back(*child.promise);
    ++count_;
    child.promise->start.handle = std::coroutine_handle<Promise>::from_promise(*child.promise);
    Agenda::current().make_ready(child.promise->start);
  }
  bool empty() const { return count_ == 0; }
  size_t size() const { return count_; }
  // Resumes when the last child has ended.
  Event::Awaiter idle() {
    if (count_ == 0)
      idle_.set();
    else
      idle_.reset();
    return idle_.wait();
  }
  void cancel() {
    while (Promise* child = children_.pop_front()) {
      --count_;
      std::coroutine_handle<Promise>::from_promise(*child).destroy();
    }
    idle_.set();
  }

 private:
  struct Child;
  struct Promise : Link {
    static void* operator new(size_t bytes) { return pool_allocate(bytes); }
    static void operator delete(void* memory, size_t bytes) noexcept { pool_release(memory, bytes); }
    Child get_return_object() { return Child{this}; }
    std::suspend_always initial_suspend() const noexcept { return {}; }
    struct Leave {
      bool await_ready() const noexcept { return false; }
      void await_suspend(std::coroutine_handle<Promise> finished) const noexcept {
        Scope* owner = finished.promise().scope;
        finished.promise().unlink();
        finished.destroy();
        if (--owner->count_ == 0) owner->idle_.set();
      }
      void await_resume() const noexcept {}
    };
    Leave final_suspend() const noexcept { return {}; }
    void return_void() const {}
    void unhandled_exception() const noexcept { std::terminate(); }
    Scope* scope = nullptr;
    ReadyNode start;
  };
  struct Child {
    using promise_type = Promise;
    Promise* promise;
  };
  template <class Function, class... Arguments>
  static Child run(Function function, Arguments... arguments) {
    co_await function(std::move(arguments)...);
  }

  List<Promise> children_;
  size_t count_ = 0;
  Event idle_;
};

}  // namespace portloom
