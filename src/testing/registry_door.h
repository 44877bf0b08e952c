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
#include "server/server.h"
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
      : registry(std::move(settings), Agenda::current().now(), wall) {
    auto snapshot = std::make_shared<pipeline::Snapshot>();
    snapshot->table = *pipeline::RouteTable::compile({}, {});
    snapshot->listeners = {"registry"};
    plan_ = std::make_unique<pipeline::Plan>(std::move(snapshot));
    auto service = std::make_unique<discovery::RegistryService>(registry);
    auto entry = std::make_unique<pipeline::Entry>();
    entry->chain = std::make_unique<pipeline::Chain>(std::vector<pipeline::Policy*>{}, *service);
    entry->internal_errors = true;
    plan_->owned_services.push_back(std::move(service));
    plan_->entries.push_back(std::move(entry));
    workplace_.plan = plan_.get();
    workplace_.admission = &admission_;
    server::Door door;
    door.internal_errors = door.quiet = true;
    server_ = std::make_unique<server::Server>(workplace_, std::move(door), std::move(*io::listen(at, false)));
    registry.start();
  }
  const io::Address& address() const { return server_->address(); }
  std::string url() const { return "http://" + address().text(); }

  LocalRegistry registry;

 private:
  server::Admission admission_{{}};
  std::unique_ptr<pipeline::Plan> plan_;
  server::Workplace workplace_;
  std::unique_ptr<server::Server> server_;
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
