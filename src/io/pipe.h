// io/pipe.h
//
// Pipe: a stretch of a body that stays in the kernel between two sockets (splice). Bytes that nobody looks at need not be
// copied into our memory and back; a long one costs half of what reading and sending it does. A pipe holds kernel memory and
// two descriptors only while it holds bytes, and there are at most `pipes_max` on a worker: whoever gets none reads as before.
#pragma once

#include <cstddef>
#include <vector>

namespace portloom::io {

struct Channel;

// A worker's pipes. Owned by its loop.
class Pipes {
 public:
  static constexpr size_t pipes_max = 64;
  static constexpr size_t bytes_each = 256 * 1024;  // the most that one holds; the kernel may grant less
  struct Ends {
    int out = -1;  // what is written to `in` is read from here
    int in = -1;
  };
  Pipes() = default;
  Pipes(const Pipes&) = delete;
  ~Pipes();
  // False when pipes_max are in use or the system has no descriptor left.
  bool lend(Ends& ends);
  // An empty one is kept for the next; one that still holds bytes is closed with them.
  void give_back(Ends ends, bool empty);

 private:
  std::vector<Ends> idle_;
  size_t lent_ = 0;
};

class Pipe {
 public:
  Pipe() = default;
  Pipe(const Pipe&) = delete;
  ~Pipe() {
    if (ends_.in >= 0) give_back();
  }
  enum class Filled { bytes, nothing_yet, end, broken, no_pipe };
  // Takes at most `bytes_max` of what has arrived at `from`. Only while empty(), and on a channel that splices.
  Filled fill(Channel& from, size_t bytes_max);
  // Hands on what it holds as far as `to` takes it; false when that is broken for writing.
  bool drain(Channel& to);
  size_t held() const { return held_; }
  bool empty() const { return held_ == 0; }

 private:
  void give_back();
  Pipes* owner_ = nullptr;
  Pipes::Ends ends_;
  size_t held_ = 0;
};

}  // namespace portloom::io
