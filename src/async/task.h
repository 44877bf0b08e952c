// async/task.h
//
// Task<T>: a lazy coroutine with one awaiter, on one thread, that never moves. It lives and dies in the block that made
// it, so references to named locals are safe to pass. It may also hold a value from the start, so a function that only
// passes on needs no frame: `return next(request);`, `return ready(answer);` (mark such a function [[clang::coro_wrapper]]).
// Dropping a Task cancels it: destructors run, nothing is resumed. The rules C1-C13 are in docs/architecture.md.
#pragma once

#include <concepts>
#include <coroutine>
#include <exception>
#include <optional>
#include <type_traits>
#include <utility>

#include "base/check.h"
#include "base/pool.h"

namespace portloom {

// What stands at the end of a task that is raced against others (async/race.h).
class Joint {
 public:
  // Called once by a task that has finished; returns whom to resume.
  virtual std::coroutine_handle<> arrive() = 0;

 protected:
  ~Joint() = default;
};

struct Unit {};  // the value of a Task<void>

class TaskPromise {
 public:
  static void* operator new(size_t bytes) { return pool_allocate(bytes); }
  static void operator delete(void* memory, size_t bytes) noexcept { pool_release(memory, bytes); }

  std::suspend_always initial_suspend() const noexcept { return {}; }
  struct FinalAwaiter {
    bool await_ready() const noexcept { return false; }
    template <class Promise>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> finished) const noexcept {
      TaskPromise& promise = finished.promise();
      if (promise.joint != nullptr) [[unlikely]]
        return promise.joint->arrive();
      return promise.continuation;
    }
    void await_resume() const noexcept {}
  };
  FinalAwaiter final_suspend() const noexcept { return {}; }
  void unhandled_exception() const noexcept { std::terminate(); }

  std::coroutine_handle<> continuation = std::noop_coroutine();
  Joint* joint = nullptr;
};

template <class T = void>
class [[nodiscard, clang::coro_return_type, clang::coro_lifetimebound]] Task {
 public:
  using Value = std::conditional_t<std::is_void_v<T>, Unit, T>;
  struct promise_type;

  Task(const Task&) = delete;
  Task& operator=(const Task&) = delete;
  ~Task() {
    if (frame_) frame_.destroy();
  }

  // Runs until the first suspension; true when the value is there. Once; co_await goes on from wherever it is.
  bool start() {
    if (!started_) {
      started_ = true;
      frame_.resume();
    }
    return done();
  }
  bool done() const { return value_.has_value(); }
  // Only when done().
  Value take() { return std::move(*value_); }

  struct Awaiter {
    Task& task;
    bool await_ready() const noexcept { return task.value_.has_value(); }
    std::coroutine_handle<> await_suspend(std::coroutine_handle<> awaiting) const noexcept {
      task.frame_.promise().continuation = awaiting;
      if (task.started_) return std::noop_coroutine();
      task.started_ = true;
      return task.frame_;
    }
    T await_resume() const {
      if constexpr (!std::is_void_v<T>) return std::move(*task.value_);
    }
  };
  Awaiter operator co_await() noexcept { return Awaiter{*this}; }

  // For async/race.h: who is resumed when it finishes.
  void finish_towards(std::coroutine_handle<> continuation) { frame_.promise().continuation = continuation; }
  void finish_towards(Joint& joint) { frame_.promise().joint = &joint; }
  void finish_towards_nobody() {
    if (!frame_) return;
    frame_.promise().continuation = std::noop_coroutine();
    frame_.promise().joint = nullptr;
  }

  struct ReadyTag {};
  template <class U>
  Task(ReadyTag, U&& value) : value_(std::forward<U>(value)), started_(true) {}

 private:
  friend promise_type;
  explicit Task(promise_type& promise) : frame_(std::coroutine_handle<promise_type>::from_promise(promise)) { promise.task = this; }

  std::coroutine_handle<promise_type> frame_;
  std::optional<Value> value_;
  bool started_ = false;
};

template <class T>
struct Task<T>::promise_type : TaskPromise {
  Task get_return_object() { return Task(*this); }  // built in the caller's place: Task never moves
  template <class U = Value>
  void return_value(U&& value) {
    task->value_.emplace(std::forward<U>(value));
  }
  Task* task = nullptr;
};

template <>
struct Task<void>::promise_type : TaskPromise {
  Task get_return_object() { return Task(*this); }
  void return_void() { task->value_.emplace(); }
  Task* task = nullptr;
};

// A task that is finished already.
template <class T>
[[clang::coro_wrapper, clang::coro_disable_lifetimebound]] Task<std::decay_t<T>> ready(T&& value) {
  return Task<std::decay_t<T>>(typename Task<std::decay_t<T>>::ReadyTag{}, std::forward<T>(value));
}
[[clang::coro_wrapper]] inline Task<void> ready() { return Task<void>(Task<void>::ReadyTag{}, Unit{}); }

}  // namespace portloom
