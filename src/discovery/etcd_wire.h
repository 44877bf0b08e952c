// discovery/etcd_wire.h
//
// What etcd's JSON gateway is asked and what it answers (etcd v3 API, rpc.proto and kv.proto as proto3 JSON: bytes in base64, 64-bit
// numbers as texts, what is zero left out). Plain values and pure functions; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/duration.h"

namespace portloom::discovery::etcd {

// The first key behind all that begin with `prefix`; "\0" (every key) where there is none.
std::string end_of(std::string_view prefix);

struct Range {
  std::string key;
  std::string end;        // empty: `key` alone
  uint64_t limit = 0;     // 0: all
  uint64_t revision = 0;  // 0: now
  bool keys_only = false;
};
std::string write_range(const Range& range);
// Every change from `revision` on; what is told of it carries `id`, which is not 0.
struct Watch {
  std::string key;
  std::string end;
  uint64_t revision = 0;
  uint64_t id = 1;
};
std::string write_watch(const Watch& watch);
std::string write_put(std::string_view key, std::string_view value, uint64_t lease);
std::string write_grant(Duration ttl);  // in whole seconds, at least one
std::string write_lease(uint64_t id);   // for keepalive and revoke
std::string write_login(std::string_view user, std::string_view password);

struct Header {
  uint64_t cluster = 0;
  uint64_t revision = 0;
};
struct Pair {
  std::string key;
  std::string value;
  uint64_t revision = 0;  // of its last change
};

struct Pairs {
  Header header;
  std::vector<Pair> pairs;
  bool more = false;
};
// Each of these is empty where `text` is no such answer.
std::optional<Pairs> read_range(std::string_view text);
std::optional<std::string> read_token(std::string_view text);
struct Lease {
  uint64_t id = 0;
  Duration ttl{};  // 0: the lease is no more
};
std::optional<Lease> read_grant(std::string_view text);
std::optional<Lease> read_keepalive(std::string_view text);

// One line of a watch.
struct News {
  struct Event {
    Pair pair;  // of a key that was deleted no value
    bool deleted = false;
  };
  Header header;
  uint64_t id = 0;
  bool created = false;
  bool canceled = false;
  uint64_t compacted = 0;  // not 0: changes up to there are known no more
  std::string why;         // of `canceled`, or of an error, which ends everything
  bool failed = false;
  std::vector<Event> events;
};
std::optional<News> read_news(std::string_view line);
// What an answer with an error says, for people: "etcdserver: no leader"; empty: nothing.
std::string read_error(std::string_view text);

}  // namespace portloom::discovery::etcd
