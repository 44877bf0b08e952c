// Tests of EtcdSource: lists, changes, members that go, compaction, users, values that are no instances; all in virtual time against a
// cluster in memory. The real one is in tests/e2e/etcd_test.py.
#include "discovery/etcd_source.h"

#include <filesystem>
#include <fstream>

#include "testing/etcd_door.h"
#include "testing/registry_door.h"

namespace portloom::discovery {
namespace {

using testing::Etcd;
using testing::EtcdDoor;
using testing::NoNames;

namespace fs = std::filesystem;

std::string instance(std::string_view address, std::string_view more = {}) {
  std::optional<io::Address> at = io::Address::parse(std::string(address));
  return R"({"address":")" + at->host() + R"(","port":)" + std::to_string(at->port()) + std::string(more) + "}";
}

struct FromEtcd : ::testing::Test {
  FromEtcd() { fs::create_directories(folder); }
  ~FromEtcd() override {
    source.reset();
    members.clear();
    fs::remove_all(folder);
  }
  void open(size_t count = 1) {
    for (size_t i = 0; i < count; ++i) {
      if (at.size() <= i) at.push_back(io::Address::loopback(static_cast<uint16_t>(2379 + i)));
      members.push_back(std::make_unique<EtcdDoor>(etcd, at[i]));
    }
  }
  void follow(std::vector<std::string> paths = {"/services/orders"}, std::string file = {}, std::string user = {},
              std::string password = {}) {
    EtcdClient::Settings client{
        .endpoints = {}, .user = std::move(user), .password = std::move(password), .answer_bytes_max = answer_bytes_max};
    for (const io::Address& one : at) client.endpoints.push_back("http://" + one.text());
    EtcdSource::Settings settings{
        .client = std::move(client), .file = std::move(file), .say = [this](std::string line) { said.push_back(std::move(line)); }};
    source = std::make_unique<EtcdSource>(std::move(settings), names, nullptr, loop.now());
    source->tell([this](std::string_view path) { told.emplace_back(path); });
    source->follow(paths);
    source->start();
  }
  std::string seen(std::string_view path = "/services/orders") const {
    std::string text;
    for (const pipeline::FoundEndpoint& one : source->endpoints(path)) text += (text.empty() ? "" : " ") + one.address.text();
    return text;
  }
  size_t asked(std::string_view path) const {
    size_t count = 0;
    for (const auto& member : members) count += member->count(path);
    return count;
  }
  size_t answer_bytes_max = EtcdClient::Settings{}.answer_bytes_max;
  testing::SimLoop loop;
  NoNames names;
  Etcd etcd;
  std::vector<io::Address> at;
  std::string folder = (fs::temp_directory_path() / ("portloom-etcd-" + std::to_string(::getpid()))).string();
  std::vector<std::unique_ptr<EtcdDoor>> members;
  std::unique_ptr<EtcdSource> source;
  std::vector<std::string> told;
  std::vector<std::string> said;
};

TEST_F(FromEtcd, WhatIsThereIsListedAndChangesArriveAtOnce) {
  etcd.put("/services/orders/a", instance("10.0.0.1:80", R"(,"weight":7,"zone":"eu-1","version":"2")"));
  etcd.put("/services/ordersX", "another service's");
  etcd.put("/services/users/a", instance("10.0.0.9:80"));
  open();
  follow();
  EXPECT_FALSE(source->complete());
  loop.run_for(10ms);
  EXPECT_TRUE(source->complete());
  EXPECT_EQ(seen(), "10.0.0.1:80");
  EXPECT_EQ(source->endpoints("/services/orders").front().weight, 7u);
  EXPECT_EQ(source->endpoints("/services/orders").front().zone, "eu-1");
  EXPECT_EQ(source->fault(), "");
  told.clear();
  etcd.put("/services/orders/b", instance("10.0.0.2:80"));
  etcd.put("/services/users/b", instance("10.0.0.8:80"));
  loop.run_for(1ms);
  EXPECT_EQ(seen(), "10.0.0.1:80 10.0.0.2:80");
  EXPECT_EQ(told, std::vector<std::string>{"/services/orders"});
  etcd.put("/services/orders/a", instance("10.0.0.1:80", R"(,"state":"draining")"));
  loop.run_for(1ms);
  EXPECT_EQ(seen(), "10.0.0.2:80");
  etcd.remove("/services/orders/b");
  loop.run_for(1ms);
  EXPECT_EQ(seen(), "");
  EXPECT_EQ(asked("/v3/kv/range"), 1u);
  EXPECT_TRUE(said.empty()) << said.front();
}

TEST_F(FromEtcd, ALeaseThatEndsTakesItsInstances) {
  etcd.leases[5] = 15;
  etcd.put("/services/orders/a", instance("10.0.0.1:80"), 5);
  etcd.put("/services/orders/b", instance("10.0.0.2:80"), 5);
  etcd.put("/services/orders/c", instance("10.0.0.3:80"));
  open();
  follow();
  loop.run_for(10ms);
  told.clear();
  etcd.end(5);
  loop.run_for(1ms);
  EXPECT_EQ(seen(), "10.0.0.3:80");
  EXPECT_EQ(told.size(), 1u);  // one revision is one change
}

TEST_F(FromEtcd, AMemberThatGoesIsReplacedAndNothingIsMissed) {
  etcd.put("/services/orders/a", instance("10.0.0.1:80"));
  open(3);
  follow();
  loop.run_for(6s);
  size_t lists = asked("/v3/kv/range");
  ASSERT_EQ(members[0]->watches(), 1u);
  loop.refuse(at[0]);
  loop.reset_all(at[0]);
  etcd.put("/services/orders/b", instance("10.0.0.2:80"));  // while nobody watches
  loop.run_for(200ms);
  EXPECT_EQ(seen(), "10.0.0.1:80 10.0.0.2:80");
  EXPECT_EQ(members[1]->watches(), 1u);
  EXPECT_EQ(asked("/v3/kv/range"), lists);  // taken up where it was
  EXPECT_EQ(source->fault(), "");
}

TEST_F(FromEtcd, AMemberThatIsSilentIsLeft) {
  etcd.put("/services/orders/a", instance("10.0.0.1:80"));
  open(2);
  follow();
  loop.run_for(6s);
  members[0]->be_silent(true);  // its watch stays open and says nothing more: this stands for a process that was stopped
  loop.run_for(EtcdSource::confirm_every + 3s + 500ms);
  EXPECT_EQ(members[1]->watches(), 1u);
  EXPECT_EQ(members[0]->watches(), 0u);
}

TEST_F(FromEtcd, WithoutALeaderWhatWasKnownIsUsedAndItIsAskedAgain) {
  etcd.put("/services/orders/a", instance("10.0.0.1:80"));
  open(3);
  follow();
  loop.run_for(6s);
  etcd.leader = false;
  etcd.stir();
  loop.run_for(10min);
  EXPECT_EQ(seen(), "10.0.0.1:80");
  EXPECT_NE(source->fault().find("etcdserver: no leader"), std::string::npos) << source->fault();
  EXPECT_GE(loop.now() - source->confirmed(), 9min);
  size_t before = asked("/v3/watch") + asked("/v3/kv/range");
  loop.run_for(1min);
  EXPECT_LE(asked("/v3/watch") + asked("/v3/kv/range") - before, 30u);  // seldom: up to 5 s, by chance half of it
  etcd.leader = true;
  etcd.put("/services/orders/b", instance("10.0.0.2:80"));
  loop.run_for(6s);
  EXPECT_EQ(seen(), "10.0.0.1:80 10.0.0.2:80");
  EXPECT_EQ(source->fault(), "");
}

TEST_F(FromEtcd, WhatWasCompactedIsListedAgain) {
  etcd.put("/services/orders/a", instance("10.0.0.1:80"));
  etcd.put("/services/orders/b", instance("10.0.0.2:80"));
  open();
  follow();
  loop.run_for(10ms);
  loop.refuse(at[0]);
  loop.reset_all(at[0]);
  etcd.remove("/services/orders/a");
  etcd.put("/services/orders/c", instance("10.0.0.3:80"));
  etcd.compact();
  etcd.changes.clear();  // nobody can tell them
  loop.allow(at[0]);
  loop.run_for(1s);
  EXPECT_EQ(seen(), "10.0.0.2:80 10.0.0.3:80");
  etcd.put("/services/orders/d", instance("10.0.0.4:80"));
  loop.run_for(1ms);
  EXPECT_EQ(seen(), "10.0.0.2:80 10.0.0.3:80 10.0.0.4:80");
}

TEST_F(FromEtcd, ManyInstancesComePageByPageOfOneRevision) {
  for (int i = 0; i < 1700; ++i) etcd.put("/services/orders/" + std::to_string(i), instance("10.0.0.1:" + std::to_string(1000 + i)));
  open();
  follow();
  loop.run_for(1s);
  EXPECT_EQ(source->endpoints("/services/orders").size(), 1700u);
  EXPECT_EQ(asked("/v3/kv/range"), 4u);
  for (int i = 0; i < 100; ++i) etcd.put("/services/orders/new" + std::to_string(i), instance("10.0.1.1:" + std::to_string(1000 + i)));
  told.clear();
  loop.run_for(100ms);
  EXPECT_EQ(source->endpoints("/services/orders").size(), 1800u);
  EXPECT_LE(told.size(), 2u);  // several changes of many instances are told as one
}

TEST_F(FromEtcd, ManyServicesShareOneWatch) {
  std::vector<std::string> paths;
  for (int i = 0; i < 300; ++i) paths.push_back("/services/s" + std::to_string(i));
  open();
  follow(paths);
  loop.run_for(1s);
  EXPECT_TRUE(source->complete());
  EXPECT_EQ(members[0]->watches(), 1u);
  etcd.put("/services/s299/a", instance("10.0.0.1:80"));
  loop.run_for(1ms);
  EXPECT_EQ(seen("/services/s299"), "10.0.0.1:80");
}

TEST_F(FromEtcd, OtherPathsAreFollowedAndThoseThatStayKeepWhatIsKnown) {
  etcd.put("/services/orders/a", instance("10.0.0.1:80"));
  etcd.put("/services/users/a", instance("10.0.0.9:80"));
  open();
  follow();
  loop.run_for(10ms);
  source->follow({"/services/orders", "/services/users"});
  EXPECT_EQ(seen(), "10.0.0.1:80");
  loop.run_for(50ms);
  EXPECT_EQ(seen("/services/users"), "10.0.0.9:80");
  EXPECT_EQ(asked("/v3/kv/range"), 2u);  // the one that is new
  etcd.put("/services/orders/b", instance("10.0.0.2:80"));
  loop.run_for(1ms);
  EXPECT_EQ(seen(), "10.0.0.1:80 10.0.0.2:80");
  source->follow({"/services/users"});
  loop.run_for(50ms);
  EXPECT_EQ(seen(), "");
}

TEST_F(FromEtcd, OtherPathsMayComeAtAnyMoment) {
  etcd.put("/services/orders/a", instance("10.0.0.1:80"));
  etcd.put("/services/users/a", instance("10.0.0.9:80"));
  open();
  loop.network.latency = 3ms;
  follow({});
  EXPECT_TRUE(source->complete());
  for (int i = 0; i < 60; ++i) {
    loop.run_for(1ms);
    source->follow({i % 2 == 0 ? "/services/orders" : "/services/users"});
  }
  loop.run_for(1s);
  EXPECT_EQ(seen("/services/users"), "10.0.0.9:80");
  EXPECT_EQ(source->fault(), "");
}

TEST_F(FromEtcd, ValuesThatAreNoInstancesArePassedOverAndTold) {
  etcd.put("/services/orders/a", instance("10.0.0.1:80"));
  etcd.put("/services/orders/b", "{\"port\":80}");
  etcd.put("/services/orders/c\n\xff", "garbage");
  open();
  follow();
  loop.run_for(10ms);
  EXPECT_EQ(seen(), "10.0.0.1:80");
  EXPECT_EQ(source->refused(), 2u);
  ASSERT_EQ(said.size(), 1u);
  EXPECT_EQ(said[0], "portloom: discovery.etcd: \"/services/orders/b\" is no instance and is passed over: \"address\" is missing");
  loop.run_for(20s);
  for (std::string_view bad : {"", "[]", "{", "7", "\"x\"", R"({"address":"evil.example","port":1})", R"({"address":"10.0.0.1"})"})
    etcd.put("/services/orders/d", std::string(bad));
  etcd.put("/services/orders/e", std::string(EtcdSource::value_max + 1, ' '));
  etcd.put("/services/orders/" + std::string(EtcdSource::key_max + 1, 'k'), instance("10.0.0.2:80"));
  loop.run_for(10ms);
  EXPECT_EQ(seen(), "10.0.0.1:80");
  EXPECT_EQ(source->refused(), 5u);
  EXPECT_EQ(said.size(), 2u);  // however many they are
  std::string page;
  source->write_metrics(page);
  EXPECT_NE(page.find("portloom_discovery_refused{source=\"etcd\"} 5\n"), std::string::npos) << page;
  etcd.put("/services/orders/d", instance("10.0.0.4:80"));
  etcd.put("/services/orders/a", "garbage");
  etcd.remove("/services/orders/e");
  loop.run_for(10ms);
  EXPECT_EQ(seen(), "10.0.0.4:80");
  EXPECT_EQ(source->refused(), 4u);
}

TEST_F(FromEtcd, LargeValuesComeInSmallerPages) {
  open();
  answer_bytes_max = 100'000;
  std::string large(20'000, 'x');
  for (int i = 0; i < 20; ++i) etcd.put("/services/orders/" + std::to_string(1000 + i), large);
  etcd.put("/services/orders/a", instance("10.0.0.1:80"));
  follow();
  ASSERT_TRUE(loop.run_until([&] { return source->complete(); }, 60s));
  EXPECT_EQ(seen(), "10.0.0.1:80");
  EXPECT_EQ(source->refused(), 20u);
  EXPECT_EQ(source->fault(), "");
}

TEST_F(FromEtcd, AUserLogsInAndAgainWhenItsTokenIsNoLongerTaken) {
  etcd.users["gateway"] = "secret";
  etcd.put("/services/orders/a", instance("10.0.0.1:80"));
  open();
  follow({"/services/orders"}, {}, "gateway", "secret");
  loop.run_for(10ms);
  EXPECT_EQ(seen(), "10.0.0.1:80");
  EXPECT_EQ(asked("/v3/auth/authenticate"), 1u);
  etcd.tokens = {"another"};
  loop.run_for(EtcdSource::confirm_every + 1s);
  EXPECT_EQ(asked("/v3/auth/authenticate"), 2u);
  EXPECT_EQ(source->fault(), "");
  etcd.users["gateway"] = "other";
  etcd.tokens = {"another"};
  loop.run_for(EtcdSource::confirm_every + 1s);
  EXPECT_NE(source->fault().find("authentication failed"), std::string::npos) << source->fault();
  EXPECT_EQ(seen(), "10.0.0.1:80");
  source->use("other");
  loop.run_for(10s);
  EXPECT_EQ(source->fault(), "");
}

TEST_F(FromEtcd, WhereNobodyHasToLogInAUserDoesNoHarm) {
  etcd.put("/services/orders/a", instance("10.0.0.1:80"));
  open();
  follow({"/services/orders"}, {}, "gateway", "secret");
  loop.run_for(10ms);
  EXPECT_EQ(seen(), "10.0.0.1:80");
  etcd.users["gateway"] = "secret";  // from now on
  loop.run_for(EtcdSource::confirm_every + 1s);
  EXPECT_EQ(source->fault(), "");
  EXPECT_EQ(etcd.tokens.size(), 1u);
}

TEST_F(FromEtcd, WhatWeMayNotReadHindersNoOtherService) {
  etcd.forbidden = "/secret/";
  etcd.put("/services/orders/a", instance("10.0.0.1:80"));
  etcd.put("/secret/users/a", instance("10.0.0.9:80"));
  open();
  follow({"/secret/users", "/services/orders"});
  loop.run_for(10ms);
  EXPECT_TRUE(source->complete());
  EXPECT_EQ(seen(), "10.0.0.1:80");
  EXPECT_EQ(source->fault(), "");
  ASSERT_EQ(said.size(), 1u);
  EXPECT_NE(said[0].find("permission denied"), std::string::npos);
  etcd.put("/services/orders/b", instance("10.0.0.2:80"));
  loop.run_for(1ms);
  EXPECT_EQ(seen(), "10.0.0.1:80 10.0.0.2:80");
  etcd.forbidden.clear();
  loop.run_for(1min);
  EXPECT_EQ(seen("/secret/users"), "10.0.0.9:80");
  etcd.forbidden = "/secret/";  // taken away again: what was known stays, and the other goes on
  loop.run_for(6min);
  EXPECT_EQ(seen("/secret/users"), "10.0.0.9:80");
  etcd.remove("/services/orders/a");
  loop.run_for(10ms);
  EXPECT_EQ(seen(), "10.0.0.2:80");
}

TEST_F(FromEtcd, AnotherClusterIsListedAnew) {
  etcd.put("/services/orders/a", instance("10.0.0.1:80"));
  etcd.revision = 1000;
  open();
  follow();
  loop.run_for(6s);
  members.clear();
  loop.run_for(1s);
  etcd.cluster = 9;  // restored from a copy: fewer revisions
  etcd.revision = 20;
  etcd.changes.clear();
  etcd.put("/services/orders/b", instance("10.0.0.2:80"));
  open();
  loop.run_for(6s);
  EXPECT_EQ(seen(), "10.0.0.1:80 10.0.0.2:80");
  etcd.put("/services/orders/c", instance("10.0.0.3:80"));
  loop.run_for(10ms);
  EXPECT_EQ(seen(), "10.0.0.1:80 10.0.0.2:80 10.0.0.3:80");
}

TEST_F(FromEtcd, AllIsListedAgainFromTimeToTime) {
  open();
  follow();
  loop.run_for(6s);
  etcd.keys["/services/orders/a"] = {instance("10.0.0.1:80"), ++etcd.revision, 0};  // no watch tells of it
  loop.run_for(1min);
  EXPECT_EQ(seen(), "");
  loop.run_for(EtcdSource::list_every + EtcdSource::list_every / 5);
  EXPECT_EQ(seen(), "10.0.0.1:80");
}

TEST_F(FromEtcd, EndpointsAreKeptOverARestart) {
  std::string file = folder + "/endpoints";
  etcd.put("/services/orders/a", instance("10.0.0.1:80", R"(,"weight":3)"));
  etcd.put("/services/orders/b/c \"", instance("[fd00::1]:80"));
  open();
  follow({"/services/orders"}, file);
  loop.run_for(2s);
  source.reset();
  members.clear();
  follow({"/services/orders"}, file);
  EXPECT_EQ(seen(), "10.0.0.1:80 [fd00::1]:80");
  EXPECT_EQ(source->endpoints("/services/orders").front().weight, 3u);
  loop.run_for(1min);
  EXPECT_EQ(seen(), "10.0.0.1:80 [fd00::1]:80");
  EXPECT_FALSE(source->complete());
  EXPECT_NE(source->fault(), "");
  etcd.remove("/services/orders/b/c \"");
  open();
  loop.run_for(10s);
  EXPECT_EQ(seen(), "10.0.0.1:80");
}

TEST_F(FromEtcd, AFileOfSomethingElseIsTold) {
  std::string file = folder + "/endpoints";
  {
    KeptFile kept(file);
    kept.write(R"({"version":7,"services":{}})");
  }
  open();
  follow({"/services/orders"}, file);
  EXPECT_NE(source->warning().find("holds no endpoints of etcd"), std::string::npos);
}

TEST_F(FromEtcd, AnswersThatAreNoneChangeNothing) {
  etcd.put("/services/orders/a", instance("10.0.0.1:80"));
  open();
  follow();
  loop.run_for(6s);
  for (std::string_view bad :
       {"", "{", "[]", "{}", R"({"header":{}})", R"({"header":{"revision":"x"}})", R"({"header":{"revision":"5"},"kvs":[7]})",
        R"({"header":{"revision":"5"},"kvs":[{"key":"!"}]})", R"({"header":{"revision":"5"},"kvs":[{"value":"YQ=="}]})"})
    EXPECT_FALSE(etcd::read_range(bad).has_value()) << bad;
  for (std::string_view bad :
       {"", "{", "[]", "{}", R"({"result":7})", R"({"result":{"events":[7]}})", R"({"result":{"events":[{"kv":{}}]}})"})
    EXPECT_FALSE(etcd::read_news(bad).has_value()) << bad;
  EXPECT_EQ(seen(), "10.0.0.1:80");
}

TEST(EtcdWire, PrefixesHaveAnEnd) {
  EXPECT_EQ(etcd::end_of("/services/orders/"), "/services/orders0");
  EXPECT_EQ(etcd::end_of("a\xff\xff"), "b");
  EXPECT_EQ(etcd::end_of("\xff"), std::string(1, '\0'));
}

TEST(EtcdWire, RequestsAreAsEtcdReadsThem) {
  EXPECT_EQ(etcd::write_range({.key = "a", .end = "b", .limit = 5, .revision = 7}),
            R"({"key":"YQ==","range_end":"Yg==","limit":"5","revision":"7"})");
  EXPECT_EQ(etcd::write_watch({.key = "a", .end = "b", .revision = 8, .id = 3}),
            R"({"create_request":{"key":"YQ==","range_end":"Yg==","start_revision":"8","watch_id":"3","progress_notify":true}})"
            "\n");
  EXPECT_EQ(etcd::write_put("a", "v", 9), R"({"key":"YQ==","value":"dg==","lease":"9"})");
  EXPECT_EQ(etcd::write_grant(1500ms), R"({"TTL":"2"})");
}

TEST(EtcdWire, LeasesAreRead) {
  std::optional<etcd::Lease> granted = etcd::read_grant(R"({"header":{"revision":"2"},"ID":"7587848943239472392","TTL":"15"})");
  ASSERT_TRUE(granted.has_value());
  EXPECT_EQ(granted->id, 7587848943239472392U);
  EXPECT_EQ(granted->ttl, 15s);
  EXPECT_FALSE(etcd::read_grant(R"({"header":{"revision":"2"}})").has_value());
  std::optional<etcd::Lease> gone = etcd::read_keepalive(R"({"result":{"header":{"revision":"2"},"ID":"7"}})");
  ASSERT_TRUE(gone.has_value());
  EXPECT_EQ(gone->ttl, 0s);
}

}  // namespace
}  // namespace portloom::discovery
