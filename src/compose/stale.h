// compose/stale.h
//
// StaleStore: the last good answers of one call, for the time when it has none. Kept per question: another user's answer is never
// handed out. Bounded in number and in bytes; the one unused for longest goes first. One per call and worker.
#pragma once

#include <list>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/bytes.h"
#include "base/duration.h"

namespace portloom::compose {

class StaleStore {
 public:
  static constexpr size_t entries_max = 1024;
  static constexpr size_t bytes_max = size_t{8} * 1024 * 1024;  // of questions and answers

  struct Kept {
    std::string question;
    Bytes answer;
    Instant at;
    size_t bytes() const { return question.size() + answer.size(); }
  };

  // `answer` replaces an older one. One too large for the store is not kept.
  void keep(std::string question, const Bytes& answer, Instant now);
  // Good until the next call; null when there is none that is at most `age` old.
  const Kept* find(std::string_view question, Duration age, Instant now);
  size_t size() const { return order_.size(); }
  size_t bytes() const { return bytes_; }

 private:
  void drop(std::list<Kept>::iterator one);
  std::list<Kept> order_;  // used last in front
  std::unordered_map<std::string_view, std::list<Kept>::iterator> by_question_;
  size_t bytes_ = 0;
};

}  // namespace portloom::compose
