// io/permits.cpp
//
// Who waits is counted in the same word as what is out: a permit cannot come back unseen by somebody who begins to wait.
#include "io/permits.h"

#include <algorithm>

#include "async/race.h"
#include "io/loop.h"

namespace portloom::io {

// The waiters of one line. Only its worker touches `waiting`; others hold it while a wake is on its way.
struct Permits::Queue : std::enable_shared_from_this<Queue> {
  explicit Queue(std::shared_ptr<Permits> of) : permits(std::move(of)) {}
  std::shared_ptr<Permits> permits;  // until the line goes, which takes the queue out of them
  List<Waiting> waiting;
  bool announced = false;  // others know that somebody waits here

  void grant(Waiting& first) {
    first.unlink();
    first.granted = true;
    Agenda::current().make_ready(first.node);
  }
  // After somebody left the queue.
  void settle() {
    if (!waiting.empty() || !announced) return;
    announced = false;
    permits->lines_.with([this](std::vector<Entry>& lines) {
      for (Entry& line : lines)
        if (line.queue.get() == this) line.waits = false;
    });
  }
  // A wake: takes what is free, and passes the word on.
  void serve() {
    while (!waiting.empty() && permits->take_for_waiting()) grant(*waiting.front());
    settle();
    if (waiting.empty()) permits->wake_one(this);
  }
};

bool Permits::take() {
  auto [before, after] = word_.advance([this](uint64_t word) { return out_of(word) < out_max() ? word + 1 : word; });
  return before != after;
}

bool Permits::take_for_waiting() {
  auto [before, after] = word_.advance([this](uint64_t word) { return out_of(word) < out_max() ? word + 1 - one_waiting : word; });
  return before != after;
}

Permits::Joined Permits::join(bool may_overtake) {
  auto [before, after] = word_.advance([this, may_overtake](uint64_t word) {
    if (may_overtake && out_of(word) < out_max()) return word + 1;
    return waiting_of(word) < waiting_max_ ? word + one_waiting : word;
  });
  if (before == after) return Joined::full;
  return waiting_of(before) == waiting_of(after) ? Joined::entered : Joined::waits;
}

bool Permits::pass_on() {
  auto [before, after] = word_.advance([this](uint64_t word) { return out_of(word) <= out_max() ? word - one_waiting : word - 1; });
  return out_of(before) == out_of(after);
}

void Permits::resize(uint32_t out_max) {
  auto [before, after] = out_max_.advance([out_max](uint64_t) { return uint64_t{out_max}; });
  if (after > before) wake_one(nullptr);
}

void Permits::give_back() {
  word_.advance([](uint64_t word) { return word - 1; });
}

void Permits::wake_one(const Queue* but) {
  uint64_t word = word_.load();
  if (waiting_of(word) == 0 || out_of(word) >= out_max()) return;
  std::shared_ptr<Queue> chosen;
  Mailbox* mailbox = nullptr;
  lines_.with([&](std::vector<Entry>& lines) {
    auto found = std::find_if(lines.begin(), lines.end(), [but](const Entry& line) { return line.waits && line.queue.get() != but; });
    if (found == lines.end()) return;
    chosen = found->queue;
    mailbox = found->mailbox;
    std::rotate(found, found + 1, lines.end());  // next time another's turn
  });
  // A mailbox that is full loses the wake; those who wait there are woken by the next, or give up in time.
  if (chosen != nullptr) mailbox->post([queue = std::move(chosen)] { queue->serve(); });
}

// co_await: until it is this one's turn. One that is dropped leaves the line, and passes on what it was granted.
class Permits::Line::Turn {
 public:
  explicit Turn(Line& line) : line_(line) {}
  Turn(const Turn&) = delete;
  ~Turn() {
    if (taken_) return;
    if (waiting_.granted) {
      line_.leave();
    } else {
      waiting_.unlink();
      line_.permits_->word_.advance([](uint64_t word) { return word - one_waiting; });
      line_.queue_->settle();
    }
  }
  bool await_ready() const { return false; }
  void await_suspend(std::coroutine_handle<> awaiting) {
    waiting_.node.handle = awaiting;
    line_.queue_->waiting.push_back(waiting_);
  }
  bool await_resume() {
    taken_ = true;
    return true;
  }

 private:
  Line& line_;
  Waiting waiting_;
  bool taken_ = false;
};

Permits::Line::Line(std::shared_ptr<Permits> permits) : permits_(std::move(permits)) {}

Permits::Line::~Line() {
  if (queue_ == nullptr) return;
  permits_->lines_.with(
      [this](std::vector<Entry>& lines) { std::erase_if(lines, [this](const Entry& line) { return line.queue == queue_; }); });
}

bool Permits::Line::try_enter() { return (queue_ == nullptr || queue_->waiting.empty()) && permits_->take(); }

// Before it waits: whoever gives a permit back from now on finds this line.
void Permits::Line::announce() {
  if (queue_ == nullptr) {
    queue_ = std::make_shared<Queue>(permits_);
    Entry entry{queue_, &Loop::current().mailbox(), false};
    permits_->lines_.with([&entry](std::vector<Entry>& lines) { lines.push_back(std::move(entry)); });
  }
  if (std::exchange(queue_->announced, true)) return;
  permits_->lines_.with([this](std::vector<Entry>& lines) {
    for (Entry& line : lines)
      if (line.queue == queue_) line.waits = true;
  });
}

Task<bool> Permits::Line::stand(Line* self) { co_return co_await Turn(*self); }

Task<bool> Permits::Line::enter(Instant deadline) {
  if (try_enter()) co_return true;
  announce();
  Joined joined = permits_->join(queue_->waiting.empty());
  if (joined != Joined::waits) queue_->settle();
  if (joined == Joined::entered) co_return true;
  if (joined == Joined::full) co_return false;
  std::optional<bool> entered = co_await before(deadline, stand(this));
  co_return entered.has_value();
}

void Permits::Line::leave() {
  if (queue_ != nullptr && !queue_->waiting.empty()) {
    if (!permits_->pass_on()) return;
    queue_->grant(*queue_->waiting.front());
    queue_->settle();
    return;
  }
  permits_->give_back();
  permits_->wake_one(nullptr);
}

}  // namespace portloom::io
