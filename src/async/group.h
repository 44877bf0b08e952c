// async/group.h
//
// Group<T>: a number of tasks known only at run time, whose values come out in the order in which they finish.
// Dropping the Group cancels what still runs.
#pragma once

#include "async/queue.h"
#include "async/scope.h"

namespace portloom {

template <class T>
class Group {
 public:
  explicit Group(size_t capacity) : finished_(capacity), capacity_(capacity) {}

  // False when `capacity` tasks were added already. As Scope::spawn: arguments are copied.
  template <class Function, class... Arguments>
  bool add(Function function, Arguments... arguments) {
    if (added_ == capacity_) return false;
    ++added_;
    scope_.spawn(collect<Function, Arguments...>, &finished_, std::move(function), std::move(arguments)...);
    return true;
  }
  // The next value; empty when every added task has been taken.
  Task<std::optional<T>> next() {
    if (taken_ == added_) co_return std::nullopt;
    ++taken_;
    std::optional<T> value = co_await finished_.pop();
    co_return value;
  }

 private:
  template <class Function, class... Arguments>
  static Task<void> collect(Queue<T>* finished, Function function, Arguments... arguments) {
    T value = co_await function(std::move(arguments)...);
    CHECK(finished->push(std::move(value)));
  }
  Queue<T> finished_;
  size_t capacity_;
  size_t added_ = 0;
  size_t taken_ = 0;
  Scope scope_;  // last: children are dropped before the queue they push to
};

}  // namespace portloom
