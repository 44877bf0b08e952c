// discovery/registry.h
//
// Registry: who is there, by service, each for as long as its lease is renewed. Pure state: the time is handed in, nothing waits and
// nothing is sent. What changes is told by settle(), several changes of one service as one; each gets the next version.
// Who was there and is not stays known by name for a while, so that whoever watches learns of it. One thread.
#pragma once

#include <expected>
#include <functional>
#include <map>
#include <queue>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/random.h"
#include "discovery/instance.h"

namespace portloom::discovery {

class Registry {
 public:
  struct Limits {
    size_t names = 20'000;                 // those included that have no instance any more
    size_t instances = 250'000;            // of all names
    size_t instances_of_a_name = 100'000;  // beyond it: full
  };
  enum class Refusal : uint8_t {
    invalid,    // a name, an id
    unknown,    // no such instance: never, or its lease has ended
    not_yours,  // another lease
    taken,      // the id belongs to an instance at another address
    full,       // a limit
  };
  struct Refused {
    Refusal why;
    std::string detail;
  };
  template <class T>
  using Outcome = std::expected<T, Refused>;

  struct Lease {
    std::string token;  // 32 hex digits, from the system's randomness
    Duration ttl;
    bool fresh = true;  // false: the instance was there
  };
  struct Entry {
    Instance instance;
    std::string token;
    Duration ttl;
    Instant ends{};
    Instant looked_at{};  // when the queue of ends comes to it
    uint64_t serial = 0;
  };
  struct Service {
    std::string name;
    std::map<std::string, Entry, std::less<>> entries;  // by id
    uint64_t version = 0;                               // of the last change that was told; 0: none was
    uint64_t edits = 0;                                 // changes, told or not
    Instant told{};
    bool dirty = false;
  };
  struct Counts {
    uint64_t registered = 0;
    uint64_t beats = 0;
    uint64_t left = 0;
    uint64_t expired = 0;
    uint64_t refused = 0;
  };

  // Versions begin above `version`, so that nobody takes one of an earlier life for one of this.
  Registry(Limits limits, uint64_t version, uint64_t seed) : limits_(limits), version_(version), floor_(version), random_(seed) {}
  Registry(const Registry&) = delete;

  // The same id again: by its lease, or from the same address (a process that was started again), it takes the other's place.
  Outcome<Lease> enter(std::string_view service, Instance instance, Duration ttl, std::string_view token, Instant now);
  // The lease lasts its ttl from `now` on; returned.
  Outcome<Duration> beat(std::string_view service, std::string_view id, std::string_view token, Instant now);
  // It stays, and is handed out no more.
  Outcome<void> drain(std::string_view service, std::string_view id, std::string_view token, Instant now);
  Outcome<void> leave(std::string_view service, std::string_view id, std::string_view token, Instant now);
  // From a snapshot: its lease lasts from once to twice its ttl, so that it has time to be renewed and not all come at once.
  void restore(std::string_view service, Instance instance, std::string token, Duration ttl, Instant now);

  // Ends leases that are over and tells what has changed. To be called when due(), and at least once a second: a longer pause means
  // that this process was stopped, and leases that ended meanwhile get a ttl more.
  void turn(Instant now);
  // When turn() has something to do; `never`: nothing.
  Instant due() const;
  // Called by turn() for each service that has changed; it changes nothing here.
  std::function<void(const Service&)> on_change;

  // Null: never heard of, or forgotten.
  const Service* find(std::string_view service) const;
  uint64_t version() const { return version_; }
  // What changed since then is known: it is neither too long ago nor of another life.
  bool knows(uint64_t version) const { return version >= floor_ && version <= version_; }
  // Services that were told of after `version`, in that order, until `visit` returns false.
  void each_since(uint64_t version, const std::function<bool(const Service&)>& visit) const;
  size_t names() const { return services_.size() - gone_.size(); }
  size_t instances() const { return live_.size(); }
  const Counts& counts() const { return counts_; }

  // A service of so many instances is told of again after so long at the earliest: telling of it costs in proportion.
  static constexpr Duration pause_per_instance = 1us;
  static constexpr Duration stopped_after = 3s;

 private:
  struct Due {
    Instant at;
    uint64_t serial;
    bool operator>(const Due& other) const { return at > other.at; }
  };
  struct Place {
    Service* service;
    std::string id;
  };
  std::unexpected<Refused> refuse(Refusal why, std::string detail);
  Outcome<Entry*> owned(std::string_view service, std::string_view id, std::string_view token, Instant now);
  Outcome<Service*> room_for(std::string_view service);
  void remove(Service& service, std::map<std::string, Entry, std::less<>>::iterator entry);
  void touch(Service& service);
  void look_at(Entry& entry);
  void expire(Instant now);
  void tell(Service& service, Instant now);
  void forget_oldest();
  static Instant may_tell(const Service& service) {
    return service.told + pause_per_instance * static_cast<int64_t>(service.entries.size());
  }

  Limits limits_;
  uint64_t version_;
  uint64_t floor_;
  Random random_;
  std::map<std::string, Service, std::less<>> services_;
  std::map<uint64_t, Service*> by_version_;
  std::map<uint64_t, Service*> gone_;  // those without instances, by version
  std::vector<Service*> dirty_;
  std::unordered_map<uint64_t, Place> live_;  // by serial
  // An entry's first end; when it comes, the entry is looked at, and comes again if it was renewed.
  std::priority_queue<Due, std::vector<Due>, std::greater<>> ends_;
  uint64_t serial_ = 0;
  Instant looked_{};    // when anybody looked last
  Instant pardoned_{};  // what ended until then gets a ttl more
  Counts counts_;
};

// A token of 128 random bits as hex.
std::string make_token();
// In a time that does not depend on where they differ.
bool same_secret(std::string_view one, std::string_view other);

}  // namespace portloom::discovery
