// discovery/etcd_client.h
//
// EtcdClient: questions to an etcd cluster over its JSON gateway: to one member, to the next where that one is away or has no leader.
// Logs in where there is a user, and again when its token is no longer taken. Used on one loop, one question at a time beside one watch.
#pragma once

#include <expected>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "http/fetch.h"

namespace portloom::discovery {

class EtcdClient {
 public:
  static constexpr Duration silence_max = 10min;  // of a watch; whoever watches ends it before

  struct Settings {
    std::vector<std::string> endpoints;  // origins, at least one
    std::string user;                    // empty: nobody logs in
    std::string password;
    Duration answer_max = 3s;  // then a member counts as away
    size_t answer_bytes_max = 64 * 1024 * 1024;
  };
  struct Fault {
    enum class Kind : uint8_t {
      away,       // no member answers, or none has a leader
      refused,    // the user is not let in, or may not do it
      token,      // what was shown is no longer taken
      compacted,  // the revision asked for is known no more
      gone,       // there is no such lease
      too_large,  // the answer
    };
    Kind kind = Kind::away;
    std::string text;  // for people, with the member's name
  };
  template <class T>
  using Outcome = std::expected<T, Fault>;

  // `names` outlives it; `tls` is there where an endpoint is https.
  EtcdClient(Settings settings, http::Names& names, const std::shared_ptr<io::TlsClientContext>& tls);
  EtcdClient(const EtcdClient&) = delete;

  // The body of the answer to a POST. Each member is asked once at most.
  Task<Outcome<std::string>> ask(std::string path, std::string body);
  // What a stream brings, piece by piece, from the member in use, which must have a leader. Returns why it is over; empty text:
  // `hear` said so, by false.
  Task<Fault> listen(std::string path, std::string body, std::function<bool(std::string_view)> hear);
  // Another password for the same user.
  void use(std::string password);
  void forget_token() { token_.reset(); }
  void next_member();
  std::string member() const { return members_[at_]->origin().authority(); }
  // Our own end of the connection to it, while there is one; else empty.
  std::string local_host() const { return members_[at_]->local_host(); }
  // What the words of an error mean.
  static Fault::Kind kind_of(uint16_t status, std::string_view text);

 private:
  Task<Outcome<std::string>> ask_member(const std::string& path, const std::string& body);
  Task<Outcome<void>> log_in();
  http::Fetcher::Question question(const std::string& path, const std::string& body) const;
  Fault fault(const Error& error) const;
  Fault fault(uint16_t status, std::string_view body) const;

  Settings settings_;
  std::vector<std::unique_ptr<http::Fetcher>> members_;
  size_t at_ = 0;
  std::optional<std::string> token_;  // empty text: none is needed
};

}  // namespace portloom::discovery
