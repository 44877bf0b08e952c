// testing/etcd_door.h
//
// Etcd: what an etcd cluster knows, in memory: keys with revisions, changes up to where they were compacted, leases, users. EtcdDoor: one
// member's JSON gateway over it, on the SimLoop of the test. It answers as etcd 3.4 does, in what our clients ask of it.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "async/event.h"
#include "base/base64.h"
#include "base/text.h"
#include "data/json.h"
#include "data/json_members.h"
#include "data/slicer.h"
#include "discovery/instance.h"
#include "pipeline/exchange.h"
#include "pipeline/service.h"
#include "testing/service_at.h"
#include "testing/sim_loop.h"

namespace portloom::testing {

struct Etcd {
  struct Change {
    uint64_t revision;
    std::string key;
    std::string value;
    bool deleted;
  };
  struct Value {
    std::string text;
    uint64_t revision;
    uint64_t lease;
  };
  void put(const std::string& key, const std::string& value, uint64_t lease = 0) {
    keys[key] = {value, ++revision, lease};
    tell({revision, key, value, false});
  }
  void remove(const std::string& key) {
    if (keys.erase(key) == 0) return;
    tell({++revision, key, {}, true});
  }
  // A lease is over: its keys go, all with one revision.
  void end(uint64_t lease) {
    leases.erase(lease);
    ++revision;
    for (auto at = keys.begin(); at != keys.end();) {
      bool of_it = at->second.lease == lease;
      if (of_it) changes.push_back({revision, at->first, {}, true});
      at = of_it ? keys.erase(at) : std::next(at);
    }
    stir();
  }
  void compact() { compacted = revision; }
  void stir() {
    std::set<Event*> all = watchers;
    for (Event* one : all) one->set();
  }
  void tell(Change change) {
    changes.push_back(std::move(change));
    stir();
  }
  std::string header() const {
    return R"("header":{"cluster_id":")" + std::to_string(cluster) + R"(","member_id":"7","revision":")" + std::to_string(revision) +
           R"(","raft_term":"2"})";
  }

  uint64_t cluster = 14841639068965178418U;
  uint64_t revision = 1;
  uint64_t compacted = 0;
  std::map<std::string, Value> keys;
  std::vector<Change> changes;
  std::map<uint64_t, uint64_t> leases;  // their seconds
  uint64_t next_lease = 7587848943239472391U;
  std::map<std::string, std::string> users;  // their passwords; none: nobody logs in
  std::set<std::string> tokens;
  std::string forbidden;  // keys that begin so nobody may read; empty: none
  bool leader = true;
  std::set<Event*> watchers;
};

class EtcdDoor {
 public:
  explicit EtcdDoor(Etcd& etcd, io::Address at = io::Address::loopback(0))
      : state_(std::make_shared<State>(State{etcd})), door_(std::make_unique<Gateway>(state_), std::move(at)) {}
  const io::Address& address() const { return door_.address(); }
  std::string url() const { return "http://" + address().text(); }
  const std::vector<std::string>& asked() const { return state_->asked; }
  size_t count(std::string_view path) const { return static_cast<size_t>(std::ranges::count(state_->asked, path)); }
  size_t watches() const { return state_->watches; }
  void be_silent(bool whether) { state_->silent = whether; }

 private:
  using Response = pipeline::Response;
  struct State {
    Etcd& etcd;
    std::vector<std::string> asked{};  // paths
    size_t watches = 0;                // that are open
    bool silent = false;
  };
  // Members of a JSON object, texts and base64 as what they stand for.
  class Body {
   public:
    explicit Body(std::string_view text) {
      std::expected<data::JsonSpan, data::JsonFault> span = data::slice(text);
      EXPECT_TRUE(span.has_value()) << text;
      if (!span) return;
      data::each_json_member(span->in(text), [this](std::string_view name, std::string_view member) {
        std::string_view value = data::json_value_of(name, member);
        if (value.starts_with('"')) value = value.substr(1, value.size() - 2);
        members_[std::string(name)] = value;
      });
    }
    std::string text(const std::string& name) const {
      auto found = members_.find(name);
      return found == members_.end() ? std::string() : found->second;
    }
    std::string bytes(const std::string& name) const { return from_base64(text(name)).value_or("no base64"); }
    uint64_t number(const std::string& name) const { return parse_number(text(name)).value_or(0); }

   private:
    std::map<std::string, std::string> members_;
  };
  struct Watcher {
    std::string key;
    std::string end;
    uint64_t next;
    uint64_t id;
    bool created = false;
    bool over = false;
  };
  class Stream final : public http::BodySource {
   public:
    Stream(std::shared_ptr<State> state, std::vector<Watcher> watchers) : state_(std::move(state)), watchers_(std::move(watchers)) {
      state_->etcd.watchers.insert(&changed_);
      ++state_->watches;
    }
    ~Stream() override {
      state_->etcd.watchers.erase(&changed_);
      --state_->watches;
    }
    Task<Result<Bytes>> read() override {
      while (true) {
        changed_.reset();
        std::string text = next();
        if (!text.empty()) co_return Bytes::copy(text);
        if (over_) co_return Bytes();
        co_await changed_.wait();
      }
    }

   private:
    std::string next() {
      std::string text;
      Etcd& etcd = state_->etcd;
      if (over_) return text;
      if (!etcd.leader) {
        over_ = true;
        return R"({"error":{"grpc_code":14,"http_code":503,"message":"etcdserver: no leader","http_status":"Service Unavailable"}})"
               "\n";
      }
      for (Watcher& one : watchers_) {
        std::string head = R"({"result":{)" + etcd.header() + R"(,"watch_id":")" + std::to_string(one.id) + '"';
        if (!one.created) text += head + R"(,"created":true}})" + "\n";
        one.created = true;
        if (!one.over && !etcd.forbidden.empty() && one.key.starts_with(etcd.forbidden)) {
          one.over = true;
          text += head + R"(,"canceled":true,"cancel_reason":"rpc error: code = PermissionDenied desc = etcdserver: permission denied"}})" +
                  "\n";
        }
        if (!one.over && one.next <= etcd.compacted) {
          one.over = true;
          text += head + R"(,"canceled":true,"compact_revision":")" + std::to_string(etcd.compacted) + "\"}}\n";
        }
        if (one.over) continue;
        std::string events;
        for (const Etcd::Change& change : etcd.changes) {
          if (change.revision < one.next || change.key < one.key || change.key >= one.end) continue;
          events += std::string(events.empty() ? "" : ",") + "{" + (change.deleted ? R"("type":"DELETE",)" : "") + R"("kv":{"key":")" +
                    to_base64(change.key) + R"(","mod_revision":")" + std::to_string(change.revision) + '"';
          if (!change.value.empty()) events += R"(,"value":")" + to_base64(change.value) + '"';
          events += "}}";
        }
        one.next = etcd.revision + 1;
        if (!events.empty()) text += head + R"(,"events":[)" + events + "]}}\n";
      }
      return text;
    }
    std::shared_ptr<State> state_;
    std::vector<Watcher> watchers_;
    Event changed_;
    bool over_ = false;
  };

  class Gateway final : public pipeline::Service {
   public:
    explicit Gateway(std::shared_ptr<State> state) : state_(std::move(state)) {}
    Task<Response> call(pipeline::Request& request) override {
      std::string path(request.path());
      state_->asked.push_back(path);
      std::string text;
      while (true) {
        Result<Bytes> piece = co_await request.body.read();
        if (!piece || piece->empty()) break;
        text += piece->view();
      }
      while (state_->silent) co_await sleep_for(1s);
      Etcd& etcd = state_->etcd;
      if (path == "/v3/auth/authenticate") co_return log_in(Body(text));
      std::string token(request.headers.find("authorization").value_or(std::string_view()));
      if (!etcd.users.empty() && token.empty()) co_return error(400, "etcdserver: user name is empty");
      if (!etcd.users.empty() && !etcd.tokens.contains(token)) co_return error(401, "etcdserver: invalid auth token");
      if (path == "/v3/watch") co_return watch(text, request.headers.find("grpc-metadata-hasleader").has_value());
      if (!etcd.leader) co_return error(503, "etcdserver: no leader");
      Body body(text);
      if (path == "/v3/kv/range") co_return range(body);
      if (path == "/v3/kv/put") co_return put(body);
      co_return lease(path, body);
    }

   private:
    static Response json(uint16_t status, const std::string& text) {
      Response response(status);
      response.body = http::Body(Bytes::copy(text));
      return response;
    }
    static Response error(uint16_t status, const std::string& what) {
      return json(status, R"({"error":")" + what + R"(","message":")" + what + R"(","code":9})");
    }
    Response log_in(const Body& body) {
      Etcd& etcd = state_->etcd;
      if (etcd.users.empty()) return error(400, "etcdserver: authentication is not enabled");
      auto user = etcd.users.find(body.text("name"));
      if (user == etcd.users.end() || user->second != body.text("password"))
        return error(400, "etcdserver: authentication failed, invalid user ID or password");
      std::string token = "token." + std::to_string(etcd.tokens.size() + 1);
      etcd.tokens.insert(token);
      return json(200, "{" + etcd.header() + R"(,"token":")" + token + "\"}");
    }
    Response range(const Body& body) {
      Etcd& etcd = state_->etcd;
      std::string key = body.bytes("key");
      std::string end = body.text("range_end").empty() ? key + '\0' : body.bytes("range_end");
      if (!etcd.forbidden.empty() && key.starts_with(etcd.forbidden)) return error(403, "etcdserver: permission denied");
      if (uint64_t at = body.number("revision"); at != 0 && at < etcd.compacted)
        return error(400, "etcdserver: mvcc: required revision has been compacted");
      std::string pairs;
      uint64_t count = 0;
      bool more = false;
      for (auto one = etcd.keys.lower_bound(key); one != etcd.keys.end() && one->first < end; ++one) {
        more = body.number("limit") != 0 && count == body.number("limit");
        if (more) break;
        ++count;
        pairs += std::string(pairs.empty() ? "" : ",") + R"({"key":")" + to_base64(one->first) +
                 R"(","create_revision":"2","mod_revision":")" + std::to_string(one->second.revision) + R"(","version":"1")";
        if (!one->second.text.empty() && body.text("keys_only").empty()) pairs += R"(,"value":")" + to_base64(one->second.text) + '"';
        pairs += '}';
      }
      return json(200, "{" + etcd.header() + (pairs.empty() ? "" : R"(,"kvs":[)" + pairs + "]") + (more ? R"(,"more":true)" : "") +
                           (count == 0 ? "" : R"(,"count":")" + std::to_string(count) + '"') + "}");
    }
    Response put(const Body& body) {
      Etcd& etcd = state_->etcd;
      uint64_t lease = body.number("lease");
      if (lease != 0 && !etcd.leases.contains(lease)) return error(404, "etcdserver: requested lease not found");
      etcd.put(body.bytes("key"), body.bytes("value"), lease);
      return json(200, "{" + etcd.header() + "}");
    }
    Response lease(const std::string& path, const Body& body) {
      Etcd& etcd = state_->etcd;
      uint64_t id = body.number("ID");
      if (path == "/v3/lease/grant") {
        id = etcd.next_lease++;
        etcd.leases[id] = body.number("TTL");
        return json(200, "{" + etcd.header() + R"(,"ID":")" + std::to_string(id) + R"(","TTL":")" + body.text("TTL") + "\"}");
      }
      bool there = etcd.leases.contains(id);
      if (path == "/v3/lease/keepalive")
        return json(200, R"({"result":{)" + etcd.header() + R"(,"ID":")" + std::to_string(id) + '"' +
                             (there ? R"(,"TTL":")" + std::to_string(etcd.leases[id]) + '"' : "") + "}}\n");
      if (path == "/v3/lease/revoke" && !there) return error(404, "etcdserver: requested lease not found");
      if (path == "/v3/lease/revoke") etcd.end(id);
      return path == "/v3/lease/revoke" ? json(200, "{" + etcd.header() + "}") : error(404, "Not Found");
    }
    Response watch(std::string_view text, bool wants_leader) {
      EXPECT_TRUE(wants_leader);
      std::vector<Watcher> watchers;
      while (!text.empty()) {
        std::string_view line = text.substr(0, text.find('\n'));
        text.remove_prefix(std::min(text.size(), line.size() + 1));
        constexpr std::string_view before = R"({"create_request":)";
        EXPECT_TRUE(line.starts_with(before)) << line;
        Body body(line.substr(before.size(), line.size() - before.size() - 1));
        watchers.push_back({body.bytes("key"), body.bytes("range_end"), body.number("start_revision"), body.number("watch_id")});
      }
      Response response(200);
      response.body = http::Body(std::make_unique<Stream>(state_, std::move(watchers)), std::nullopt);
      return response;
    }
    std::shared_ptr<State> state_;
  };

  std::shared_ptr<State> state_;
  ServiceAt door_;
};

}  // namespace portloom::testing
