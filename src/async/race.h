// async/race.h
//
// A task against the clock (before), against an event (unless), and several tasks together (all, any). None of them
// makes a frame of its own. The loser is dropped, and thereby cancelled, when the full expression ends.
#pragma once

#include <array>
#include <tuple>

#include "async/agenda.h"
#include "async/event.h"
#include "async/task.h"

namespace portloom {

template <class T>
class [[nodiscard]] BeforeAwaiter {
 public:
  BeforeAwaiter(Instant deadline, Task<T>& task) : task_(task), deadline_(deadline), timer_(node_) {}
  ~BeforeAwaiter() { task_.finish_towards_nobody(); }
  bool await_ready() { return task_.start(); }
  void await_suspend(std::coroutine_handle<> awaiting) {
    node_.handle = awaiting;
    task_.finish_towards(awaiting);
    Agenda::current().set(timer_, deadline_);
  }
  // Empty when the deadline came first.
  std::optional<typename Task<T>::Value> await_resume() {
    timer_.unlink();
    node_.unlink();
    task_.finish_towards_nobody();  // a named task goes on and may be awaited again
    if (!task_.done()) return std::nullopt;
    return task_.take();
  }

 private:
  Task<T>& task_;
  Instant deadline_;
  ReadyNode node_;
  Timer timer_;
};

// co_await before(deadline, task): the task's value, or empty once the deadline has passed. `never` waits for ever.
template <class T>
BeforeAwaiter<T> before(Instant deadline, Task<T>&& task [[clang::lifetimebound]]) {
  return {deadline, task};
}
template <class T>
BeforeAwaiter<T> before(Instant deadline, Task<T>& task [[clang::lifetimebound]]) {
  return {deadline, task};
}

template <class T>
class [[nodiscard]] UnlessAwaiter {
 public:
  UnlessAwaiter(Event& event, Task<T>& task) : task_(task), event_(event) {}
  ~UnlessAwaiter() { task_.finish_towards_nobody(); }
  bool await_ready() { return event_.is_set() || task_.start(); }
  void await_suspend(std::coroutine_handle<> awaiting) {
    node_.handle = awaiting;
    task_.finish_towards(awaiting);
    if (event_.is_set())
      Agenda::current().make_ready(node_);
    else
      event_.add(node_);
  }
  // Empty when the event came first.
  std::optional<typename Task<T>::Value> await_resume() {
    node_.unlink();
    task_.finish_towards_nobody();
    if (!task_.done()) return std::nullopt;
    return task_.take();
  }

 private:
  Task<T>& task_;
  Event& event_;
  ReadyNode node_;
};

// co_await unless(event, task): the task's value, or empty once the event is set.
template <class T>
UnlessAwaiter<T> unless(Event& event, Task<T>&& task [[clang::lifetimebound]]) {
  return {event, task};
}

template <class T>
UnlessAwaiter<T> unless(Event& event, Task<T>& task [[clang::lifetimebound]]) {
  return {event, task};
}

// Runs all tasks at once and resumes its awaiter when `needed` of them have finished.
template <class... Ts>
class Together : private Joint {
 public:
  Together(size_t needed, Task<Ts>&... tasks) : tasks_(tasks...), missing_(needed) {}
  Together(const Together&) = delete;
  ~Together() {  // a named loser lives on
    std::apply([](auto&... task) { (task.finish_towards_nobody(), ...); }, tasks_);
  }
  bool await_ready() {
    std::apply([this](auto&... task) { (this->start(task), ...); }, tasks_);
    return missing_ == 0;
  }
  void await_suspend(std::coroutine_handle<> awaiting) { awaiting_ = awaiting; }

 protected:
  std::tuple<Task<Ts>&...> tasks_;

 private:
  template <class T>
  void start(Task<T>& task) {
    if (missing_ == 0) return;
    if (task.done()) {
      --missing_;
      return;
    }
    task.finish_towards(*this);
    task.start();  // a task that finishes at once arrives below, with nobody to resume yet
  }
  std::coroutine_handle<> arrive() override {
    if (missing_ == 0) return std::noop_coroutine();  // a second one in the same turn; the awaiter is on its way
    if (--missing_ > 0 || !awaiting_) return std::noop_coroutine();
    return awaiting_;
  }
  size_t missing_;
  std::coroutine_handle<> awaiting_;
};

template <class... Ts>
class [[nodiscard]] All : public Together<Ts...> {
 public:
  explicit All(Task<Ts>&... tasks) : Together<Ts...>(sizeof...(Ts), tasks...) {}
  std::tuple<typename Task<Ts>::Value...> await_resume() {
    return std::apply([](auto&... task) { return std::tuple<typename Task<Ts>::Value...>(task.take()...); }, this->tasks_);
  }
};
// co_await all(a(), b()): both values, once both are there.
template <class... Ts>
All<Ts...> all(Task<Ts>&&... tasks [[clang::lifetimebound]]) {
  return All<Ts...>(tasks...);
}

template <class... Ts>
class [[nodiscard]] Any : public Together<Ts...> {
 public:
  explicit Any(Task<Ts>&... tasks) : Together<Ts...>(1, tasks...) {}
  // One optional per task; at least one has a value.
  std::tuple<std::optional<typename Task<Ts>::Value>...> await_resume() {
    auto value_of = [](auto& task) {
      using Value = std::decay_t<decltype(task.take())>;
      return task.done() ? std::optional<Value>(task.take()) : std::nullopt;
    };
    using Values = std::tuple<std::optional<typename Task<Ts>::Value>...>;
    return std::apply([&](auto&... task) { return Values(value_of(task)...); }, this->tasks_);
  }
};
// co_await any(a(), b()): as soon as one is there; the others are cancelled when the expression ends.
template <class... Ts>
Any<Ts...> any(Task<Ts>&&... tasks [[clang::lifetimebound]]) {
  return Any<Ts...>(tasks...);
}

}  // namespace portloom
