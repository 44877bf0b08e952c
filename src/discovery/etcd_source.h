// discovery/etcd_source.h
//
// EtcdSource: the instances that stand in etcd under the keys of services: all of them are listed, then every change is watched from the
// next revision on. While etcd is away, and over a restart of ours, what was known last is used on. Lives on the control thread.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "async/event.h"
#include "async/scope.h"
#include "discovery/etcd_client.h"
#include "discovery/etcd_wire.h"
#include "discovery/instance.h"
#include "discovery/source.h"

namespace portloom::discovery {

class EtcdSource final : public Source {
 public:
  static constexpr Duration confirm_every = 5s;  // etcd is asked whether it still has a leader
  static constexpr Duration list_every = 5min;   // all is listed again, whatever the watch has told
  static constexpr Duration denied_again = 30s;  // the same while we may not read some of it
  static constexpr Duration tell_every = 10s;    // a line about values that are no instances, at most
  static constexpr uint64_t page_keys = 500;     // of a list, in one answer; fewer where its values are large
  static constexpr size_t key_max = 1024;        // bytes; what is longer is no instance
  static constexpr size_t value_max = 16 * 1024;
  static constexpr size_t line_max = 64 << 20;  // bytes that a watch tells at once
  static constexpr size_t instances_of_a_service = 100'000;
  // A service of so many instances is told of again after so long at the earliest: telling of it costs in proportion.
  static constexpr Duration pause_per_instance = 10us;

  struct Settings {
    EtcdClient::Settings client;
    std::string file;  // where what is known is kept; empty: nowhere
    std::function<void(std::string)> say;
  };
  // Reads the file. `names` outlives it.
  EtcdSource(Settings settings, http::Names& names, const std::shared_ptr<io::TlsClientContext>& tls, Instant now);
  ~EtcdSource() override;
  // The services' paths: "/services/orders" stands for the keys that begin with "/services/orders/". Those that were there keep what is
  // known of them; the others are listed next.
  void follow(const std::vector<std::string>& paths);
  void use(std::string password) { client_.use(std::move(password)); }
  void start() override;
  void stop();
  const std::string& warning() const override { return contact_.warning(); }
  bool complete() const override;
  const Contact& contact() const { return contact_; }
  size_t refused() const;

  // By path.
  std::vector<pipeline::FoundEndpoint> endpoints(std::string_view path) const override;
  Instant confirmed() const override { return contact_.confirmed(); }
  std::string fault() const override { return contact_.fault(); }
  std::string_view name() const override { return "etcd"; }
  void write_status(std::string& json) const override;
  void write_metrics(std::string& page) const override;

 private:
  using Fault = EtcdClient::Fault;
  using Instances = std::map<std::string, Instance, std::less<>>;
  struct Service {
    Instances instances;                         // by what follows the path in the key
    std::set<std::string, std::less<>> refused;  // keys whose value is no instance, as above
    uint64_t revision = 0;                       // all up to it is known; 0: it must be listed
    bool listed = false;                         // since start()
    std::string denied;                          // why we may not read it; empty: we may
    Instant told{};
  };
  static Task<void> work(EtcdSource* self);
  static Task<void> publish(EtcdSource* self);
  // One attempt, which ends when something failed (why), or when it is time to begin anew (empty).
  Task<Fault> attempt();
  Task<Fault> list();
  Task<Fault> list_one(std::string path);
  Task<Fault> watch();
  Task<Fault> confirm(std::string member);
  Task<Fault> other_paths();
  // False: nothing more is to be heard on this watch; `why` says it.
  bool hear(std::string_view line, Fault& why);
  void take(const std::string& path, Service& service, const etcd::News& news);
  // What one key says; whether that is another instance than before.
  bool put(std::string_view path, Service& service, std::string_view key, std::string_view value);
  bool remove(Service& service, std::string_view key);
  void refuse(std::string_view path, Service& service, std::string_view key, const std::string& why);
  void deny(const std::string& path, std::string why);
  const std::string* denied() const;
  void touch(const std::string& path);
  void list_all_anew();
  void remember(Instant now);
  bool read(std::string_view text);
  std::string text() const;

  EtcdClient client_;
  Contact contact_;
  std::function<void(std::string)> say_;
  std::map<std::string, Service, std::less<>> services_;  // by path
  std::vector<std::string> watched_;                      // paths; a watch's id is its place, from 1 on
  uint64_t cluster_ = 0;
  Event paths_changed_;
  std::set<std::string> dirty_;  // paths of services that are to be told of
  Event dirtied_;
  Instant tell_at_{};
  size_t untold_ = 0;
  Random random_{random_seed()};
  Scope scope_;
};

}  // namespace portloom::discovery
