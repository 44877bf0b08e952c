// compose/stale.h
//
// StaleStore: the last good answers of one call, for the time when it has none. Kept per question: another user's answer is never
// handed out. Bounded in number and in bytes; the one unused for longest goes first. One per call, of all workers and of every
// configuration that writes the call alike: what one worker was told is there for the others, and after a reload.
#pragma once

#include <array>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/duration.h"
#include "io/shared.h"

namespace portloom::compose {

class StaleStore {
 public:
  static constexpr size_t shards = 4;                           // a lock each
  static constexpr size_t entries_max = 1024;                   // each shard holds its part of these
  static constexpr size_t bytes_max = size_t{8} * 1024 * 1024;  // of questions and answers, likewise
  // What is asked, as it is written: answers to something else do not count.
  struct Config {
    std::string written;
    bool operator==(const Config&) const = default;
  };
  struct Kept {
    std::shared_ptr<const std::string> answer;
    Instant at;
  };

  explicit StaleStore(Config asked) : config(std::move(asked)) {}
  const Config config;

  // `answer` replaces an older one. One too large for its shard is not kept.
  void keep(std::string question, std::string_view answer, Instant now);
  // Nothing when there is none that is at most `age` old.
  std::optional<Kept> find(std::string_view question, Duration age, Instant now);
  // For tests.
  size_t size();
  size_t bytes();

 private:
  struct Entry {
    std::string question;
    Kept kept;
    size_t bytes() const { return question.size() + kept.answer->size(); }
  };
  using Order = std::list<Entry>;
  using Index = std::unordered_map<std::string_view, Order::iterator>;
  struct Shard {
    Shard() { by_question.reserve(entries_max / shards + 1); }
    bool replace(std::string_view question, Kept& kept);
    void add(Order& fresh, Index::node_type& place);
    void shrink(Order& gone, std::array<Index::node_type, 4>& places);
    bool is_full() const { return bytes > bytes_max / shards || order.size() > entries_max / shards; }
    Order order;        // used last in front
    Index by_question;  // its keys point into `order`
    size_t bytes = 0;
  };
  io::Guarded<Shard>& shard_of(std::string_view question) { return shards_[std::hash<std::string_view>{}(question) % shards]; }
  std::array<io::Guarded<Shard>, shards> shards_;
};

}  // namespace portloom::compose
