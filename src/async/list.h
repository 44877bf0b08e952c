// async/list.h
//
// An intrusive, circular, doubly linked list. A Link unlinks itself in its destructor, so what waits can be dropped
// at any moment. Not thread-safe: a list and its links belong to one worker.
#pragma once

namespace portloom {

class Link {
 public:
  Link() : previous_(this), next_(this) {}
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;
  ~Link() { unlink(); }

  bool linked() const { return next_ != this; }
  void unlink() {
    previous_->next_ = next_;
    next_->previous_ = previous_;
    previous_ = next_ = this;
  }
  void insert_before(Link& place) {
    unlink();
    previous_ = place.previous_;
    next_ = &place;
    previous_->next_ = this;
    place.previous_ = this;
  }
  Link* next() const { return next_; }
  Link* previous() const { return previous_; }

 private:
  Link* previous_;
  Link* next_;
};

// T derives from Link.
template <class T>
class List {
 public:
  bool empty() const { return !head_.linked(); }
  void push_back(T& item) { static_cast<Link&>(item).insert_before(head_); }
  T* after(T& item) {
    Link* next = static_cast<Link&>(item).next();
    return next == &head_ ? nullptr : static_cast<T*>(next);
  }
  T* front() { return empty() ? nullptr : static_cast<T*>(head_.next()); }
  T* pop_front() {
    T* item = front();
    if (item != nullptr) static_cast<Link*>(item)->unlink();
    return item;
  }
  // Moves everything of `other` behind what is here.
  void take_all(List& other) {
    while (T* item = other.pop_front()) push_back(*item);
  }

 private:
  Link head_;
};

}  // namespace portloom
