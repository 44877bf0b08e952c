// testing/bench.h
//
// Bench: a Server on a SimLoop in front of a Cluster whose origins the test speaks by hand. Records are kept as the test can
// compare them. Change `settings` and `door` before the first use of anything else.
#pragma once

#include "pipeline/exchange.h"
#include "policy/kind.h"
#include "server/server.h"
#include "testing/wire.h"
#include "upstream/cluster.h"

namespace portloom::testing {

// What a test asks of a Record.
struct Account {
  uint16_t status;
  bool complete;
  std::optional<Code> fault;
  std::optional<Side> side;
  uint64_t bytes_in;
  uint64_t bytes_out;
  uint32_t attempts;
  Duration duration;
};

class Accounts final : public pipeline::RecordSink {
 public:
  void write(const pipeline::Record& record) override {
    std::optional<Code> code;
    std::optional<Side> side;
    if (record.fault) code = record.fault->code, side = record.fault->side;
    list.push_back({record.status, record.complete, code, side, record.bytes_in, record.bytes_out, record.call.attempts, record.duration});
  }
  std::vector<Account> list;
};

class Bench {
 public:
  explicit Bench(uint64_t seed = 0, size_t origin_count = 1) : loop(seed) {
    for (size_t i = 0; i < origin_count; ++i) origins.push_back(std::make_unique<Origin>());
    settings.name = "shop";
    door.name = "public";
    workplace.sink = &accounts;
  }
  Bench(const Bench&) = delete;
  ~Bench() {
    clients_.clear();
    server_.reset();
    nobody_.reset();
  }

  SimLoop loop;
  Accounts accounts;
  server::Door door;
  upstream::ClusterSettings settings;
  server::Admission admission{{}};
  server::Workplace workplace;
  std::vector<std::unique_ptr<pipeline::Policy>> policies;  // in front of the cluster
  std::vector<std::unique_ptr<Origin>> origins;

  server::Server& server() {
    if (server_ == nullptr) start();
    return *server_;
  }
  upstream::Cluster& cluster() {
    if (cluster_ == nullptr) start();
    return *cluster_;
  }
  // A client that is connected (or will be, as the loop turns).
  Wire& client() { return *clients_.emplace_back(std::make_unique<Wire>(server().address())); }
  Wire& client(std::string_view says) {
    Wire& wire = client();
    wire.say(says);
    return wire;
  }
  bool until(const std::function<bool()>& done, Duration limit = 10s) { return loop.run_until(done, limit); }
  // The origin's connection number `i`, once `text` was heard on it.
  Wire& origin(size_t i = 0, std::string_view text = "\r\n\r\n", size_t which = 0) {
    bool there = until([&] { return origins[which]->count() > i && (*origins[which])[i].has(text); });
    EXPECT_TRUE(there) << "origin " << which << " did not hear " << text << " on connection " << i;
    if (origins[which]->count() > i) return (*origins[which])[i];
    nobody_ = std::make_unique<Wire>(origins[which]->address());
    return *nobody_;
  }
  ::testing::AssertionResult hears(Wire& wire, std::string_view text, Duration limit = 10s) {
    if (until([&] { return wire.has(text); }, limit)) return ::testing::AssertionSuccess();
    return ::testing::AssertionFailure() << "not heard: " << text << "\nbut: " << wire.heard.substr(0, 2000);
  }
  ::testing::AssertionResult is_over(Wire& wire, Duration limit = 10s) {
    if (until([&] { return wire.over(); }, limit)) return ::testing::AssertionSuccess();
    return ::testing::AssertionFailure() << "still open; heard: " << wire.heard.substr(0, 2000);
  }
  // The one record so far (waits for it). Nothing is in flight afterwards.
  Account account(size_t count = 1) {
    EXPECT_TRUE(until([&] { return accounts.list.size() >= count; }));
    loop.run_for(1ms);
    EXPECT_EQ(accounts.list.size(), count);
    return accounts.list.size() < count ? Account{} : accounts.list[count - 1];
  }
  void drop_server() { server_.reset(); }
  size_t active() {
    size_t sum = 0;
    if (cluster_ == nullptr) return 0;
    for (const auto& endpoint : cluster_->endpoints()) sum += endpoint->active;
    return sum;
  }
  size_t pooled() {
    size_t sum = 0;
    for (const auto& endpoint : cluster().endpoints()) sum += endpoint->idle.size();
    return sum;
  }

 private:
  void start() {
    auto snapshot = std::make_shared<pipeline::Snapshot>();
    snapshot->table =
        *pipeline::RouteTable::compile({{.index = 0, .name = "all", .config = "test"}},
                                       {{.route = 0, .listener = 0, .host = "", .path = "/", .form = pipeline::Pattern::Form::prefix}});
    snapshot->listeners = {"public"};
    plan_ = std::make_unique<pipeline::Plan>(snapshot);
    std::vector<upstream::Target> addresses;
    for (const auto& one : origins) addresses.push_back(one->address());
    auto cluster = std::make_unique<upstream::Cluster>(settings, std::move(addresses), 7);
    cluster_ = cluster.get();
    std::vector<pipeline::Policy*> front;
    for (const auto& policy : policies) front.push_back(policy.get());
    auto chain = std::make_unique<pipeline::Chain>(std::move(front), *cluster);
    auto router = std::make_unique<pipeline::Router>();
    auto entry = std::make_unique<pipeline::Entry>();
    entry->chain = std::make_unique<pipeline::Chain>(std::vector<pipeline::Policy*>{}, *router);
    plan_->routes.push_back(chain.get());
    plan_->owned_services.push_back(std::move(cluster));
    plan_->owned_services.push_back(std::move(router));
    plan_->owned_services.push_back(std::move(chain));
    plan_->entries.push_back(std::move(entry));
    workplace.plan = plan_.get();
    workplace.admission = &admission;
    server_ = std::make_unique<server::Server>(workplace, door, std::move(*io::listen(io::Address::loopback(0), false)));
  }

  std::unique_ptr<pipeline::Plan> plan_;
  upstream::Cluster* cluster_ = nullptr;
  std::unique_ptr<server::Server> server_;
  std::vector<std::unique_ptr<Wire>> clients_;
  std::unique_ptr<Wire> nobody_;  // stands in where an origin was not asked
};

}  // namespace portloom::testing
