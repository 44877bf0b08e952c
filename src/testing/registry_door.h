// testing/registry_door.h
//
// RegistryDoor: a registry behind its door on the SimLoop of the test. Asker: a client of it, one question after the other.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>

#include "async/scope.h"
#include "discovery/registry_service.h"
#include "http/fetch.h"
#include "testing/service_at.h"
#include "testing/sim_loop.h"

namespace portloom::testing {

using discovery::LocalRegistry;

class NoNames final : public http::Names {
 public:
  Task<Result<std::vector<io::Address>>> addresses(std::string host) override {
    co_return failure(Code::no_endpoint, Side::upstream, host + " is nowhere");
  }
};

class RegistryDoor {
 public:
  explicit RegistryDoor(LocalRegistry::Settings settings = {}, io::Address at = io::Address::loopback(0), WallTime wall = WallTime(1s))
      : registry(std::move(settings), Agenda::current().now(), wall),
        door_(std::make_unique<discovery::RegistryService>(registry), std::move(at)) {
    registry.start();
  }
  const io::Address& address() const { return door_.address(); }
  std::string url() const { return "http://" + address().text(); }

  LocalRegistry registry;

 private:
  ServiceAt door_;
};

class Asker {
 public:
  explicit Asker(const RegistryDoor& door) : fetcher_(*http::Origin::parse(door.url()), names_) {}
  using Fields = std::vector<std::pair<std::string, std::string>>;
  // What is asked now, and answered as the loop turns.
  void begin(std::string method, std::string target, std::string body = {}, Fields fields = {}) {
    answer.reset();
    scope_.spawn(run, this, http::Fetcher::Question{std::move(method), std::move(target), std::move(fields), std::move(body)});
  }
  http::Fetcher::Answer ask(SimLoop& loop, std::string method, std::string target, std::string body = {}, Fields fields = {}) {
    begin(std::move(method), std::move(target), std::move(body), std::move(fields));
    EXPECT_TRUE(loop.run_until([this] { return answer.has_value(); }, 10s));
    return answer ? *answer : http::Fetcher::Answer();
  }
  std::optional<http::Fetcher::Answer> answer;

 private:
  static Task<void> run(Asker* self, http::Fetcher::Question question) {
    Result<http::Fetcher::Answer> got = co_await self->fetcher_.ask(std::move(question), Agenda::current().now() + 1h);
    self->answer = got ? std::move(*got) : http::Fetcher::Answer{0, got.error().detail};
  }
  NoNames names_;
  http::Fetcher fetcher_;
  Scope scope_;
};

}  // namespace portloom::testing
