// Tests of Directory: when names are asked for again, what becomes of the last answer, and what clusters see. The name server is
// a script, time is virtual.
#include "upstream/directory.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <set>

#include "testing/sim_loop.h"

namespace portloom::upstream {
namespace {

io::Address at(std::string_view text) { return *io::Address::parse(std::string(text) + ":0"); }

class Script final : public Lookup {
 public:
  Task<Result<Answer>> lookup(std::string name) override {
    asked.push_back(Agenda::current().now());
    if (takes > Duration{}) co_await sleep_for(takes);
    co_return says(name);
  }
  Task<Result<SrvTargets>> targets(std::string name) override {
    asked_targets.push_back(Agenda::current().now());
    co_return says_targets(name);
  }
  void say_targets(std::vector<SrvTarget> list, Duration ttl = 10s) {
    std::ranges::sort(list);
    says_targets = [list, ttl](const std::string&) { return Result<SrvTargets>(SrvTargets{list, ttl}); };
  }
  void say(std::vector<std::string_view> addresses, Duration ttl = 10s) {
    says = [addresses, ttl](const std::string&) {
      Answer answer;
      for (std::string_view address : addresses) answer.addresses.push_back(at(address));
      answer.ttl = ttl;
      return Result<Answer>(std::move(answer));
    };
  }
  void fail(Code code) {
    says = [code](const std::string& name) { return Result<Answer>(failure(code, Side::upstream, "cannot resolve " + name)); };
  }
  std::function<Result<Answer>(const std::string&)> says;
  std::function<Result<SrvTargets>(const std::string&)> says_targets;
  std::vector<Instant> asked;
  std::vector<Instant> asked_targets;
  Duration takes{0};
};

struct Names : ::testing::Test {
  Names() { directory.use(script, {.keep_stale = 60s}); }
  static std::vector<config::ServiceEndpoint> written(std::vector<std::string_view> texts) {
    std::vector<config::ServiceEndpoint> list;
    for (std::string_view text : texts) list.push_back({*data::parse_address(text), 1});
    return list;
  }
  void begin() {
    shop = directory.endpoints("shop", written({"shop.test:80"}));
    directory.learn("shop.test", script.says("shop.test"), loop.now());
    directory.endpoints("shop", written({"shop.test:80"}));
    directory.put_in_force({{"shop", shop}});
    directory.start();
  }
  std::string seen() const {
    std::string text;
    for (const Instance& one : *shop->get()) text += (text.empty() ? "" : " ") + one.address.text();
    return text;
  }
  testing::SimLoop loop;
  Script script;
  Directory directory;
  std::shared_ptr<Endpoints> shop;
};

TEST_F(Names, AreAskedAgainWhenTheirTimeIsOver) {
  script.say({"10.0.0.1", "10.0.0.2"});
  begin();
  EXPECT_EQ(seen(), "10.0.0.1:80 10.0.0.2:80");
  loop.run_for(8s);
  EXPECT_EQ(script.asked.size(), 0u);
  script.say({"10.0.0.2", "10.0.0.3"});
  uint64_t before = shop->version();
  loop.run_for(3s);
  EXPECT_EQ(script.asked.size(), 1u);
  EXPECT_EQ(seen(), "10.0.0.2:80 10.0.0.3:80");
  EXPECT_EQ(shop->version(), before + 1);
  loop.run_for(20s);
  EXPECT_EQ(script.asked.size(), 3u);
  EXPECT_EQ(shop->version(), before + 1);  // the same answer is no news
}

TEST_F(Names, AShortTimeIsLengthenedAndALongOneCutShort) {
  script.say({"10.0.0.1"}, 0s);
  begin();
  loop.run_for(60s);
  EXPECT_GE(script.asked.size(), 40u);
  EXPECT_LE(script.asked.size(), 70u);
  script.say({"10.0.0.1"}, 24h * 365);
  loop.run_for(2s);
  size_t before = script.asked.size();
  loop.run_for(3h);
  EXPECT_GE(script.asked.size(), before + 2);
}

TEST_F(Names, TheLastAnswerIsKeptWhileNobodyCanSay) {
  script.say({"10.0.0.1"}, 5s);
  begin();
  script.fail(Code::unavailable);
  loop.run_for(50s);
  EXPECT_EQ(seen(), "10.0.0.1:80");
  std::string status;
  directory.write_status(status);
  EXPECT_NE(status.find("\"state\":\"stale\""), std::string::npos) << status;
  EXPECT_NE(status.find("\"error\":\"cannot resolve shop.test\""), std::string::npos);
  EXPECT_LE(script.asked.size(), 8u);  // more and more seldom
  loop.run_for(90s);                   // keep_stale is over
  EXPECT_EQ(seen(), "");
  script.say({"10.0.0.7"});
  loop.run_for(31s);
  EXPECT_EQ(seen(), "10.0.0.7:80");
}

TEST_F(Names, AreGivenUpWhenTheyAreDeniedThreeTimesInARow) {
  script.say({"10.0.0.1"}, 5s);
  begin();
  int answer = 0;
  script.says = [&answer](const std::string&) {
    bool denied = ++answer % 3 != 0;
    if (denied) return Result<Answer>(failure(Code::no_endpoint, Side::upstream, "no such name"));
    return Result<Answer>(failure(Code::unavailable, Side::upstream, "no answer"));  // it does not confirm
  };
  loop.run_for(40s);
  EXPECT_EQ(seen(), "10.0.0.1:80");
  script.fail(Code::no_endpoint);
  loop.run_for(35s);
  EXPECT_EQ(seen(), "");
}

TEST_F(Names, ASlowAnswerIsAskedForOnce) {
  script.say({"10.0.0.1"}, 1s);
  begin();
  script.takes = 30s;
  loop.run_for(20s);
  EXPECT_EQ(script.asked.size(), 1u);
  EXPECT_EQ(seen(), "10.0.0.1:80");
}

TEST_F(Names, StandBesideAddressesInTheOrderWritten) {
  script.say({"10.0.0.9", "10.0.0.1"});
  directory.learn("shop.test", script.says("shop.test"), loop.now());
  auto mixed = directory.endpoints(
      "mixed",
      {{*data::parse_address("unix:/run/b"), 3}, {*data::parse_address("shop.test:81"), 2}, {*data::parse_address("10.0.0.1:81"), 5}});
  const Instances& list = *mixed->get();
  ASSERT_EQ(list.size(), 3u);  // 10.0.0.1:81 twice is one
  EXPECT_EQ(list[0].address.text(), "unix:/run/b");
  EXPECT_EQ(list[0].weight, 3u);
  EXPECT_EQ(list[1].address.text(), "10.0.0.9:81");
  EXPECT_EQ(list[1].weight, 2u);
  EXPECT_EQ(list[1].host, "shop.test");
  EXPECT_EQ(list[2].address.text(), "10.0.0.1:81");
}

TEST_F(Names, AServiceWrittenAsBeforeKeepsItsEndpoints) {
  auto first = directory.endpoints("a", written({"10.0.0.1:1"}));
  EXPECT_EQ(directory.endpoints("a", written({"10.0.0.1:1"})), first);
  auto second = directory.endpoints("a", written({"10.0.0.1:1", "10.0.0.2:1"}));
  EXPECT_NE(second, first);
  EXPECT_EQ(first->get()->size(), 1u);
  EXPECT_EQ(directory.endpoints("a", written({"10.0.0.1:1"})), first);
}

TEST_F(Names, AreFollowedForEveryWritingThatSomebodyUses) {
  script.say({"10.0.0.1"}, 5s);
  begin();
  auto refused = directory.endpoints("shop", written({"shop.test:80", "10.0.0.9:80"}));  // a reload that comes to nothing
  script.say({"10.0.0.2"}, 5s);
  loop.run_for(10s);
  EXPECT_EQ(seen(), "10.0.0.2:80");
  EXPECT_EQ(refused->get()->size(), 2u);
  EXPECT_EQ(directory.endpoints("shop", written({"shop.test:80"})), shop);
  std::string page;
  directory.write_metrics(page);
  EXPECT_NE(page.find("portloom_endpoints{service=\"shop\",state=\"current\"} 1\n"), std::string::npos) << page;
  EXPECT_EQ(page.find("} 2\n"), std::string::npos) << page;
}

TEST_F(Names, ThatNobodyNeedsAreForgotten) {
  script.say({"10.0.0.1"}, 1s);
  begin();
  shop.reset();
  directory.put_in_force({});
  loop.run_for(10s);
  EXPECT_EQ(script.asked.size(), 0u);
}

struct Srvs : Names {
  Srvs() {
    // a, b: one address each; both: two; gone: none.
    script.says = [](const std::string& name) -> Result<Answer> {
      std::map<std::string, std::vector<std::string_view>> hosts = {
          {"a.test", {"10.0.0.1"}}, {"b.test", {"10.0.0.2"}}, {"c.test", {"10.0.0.3"}}, {"both.test", {"10.0.0.4", "10.0.0.5"}}};
      Answer answer{.addresses = {}, .ttl = 30s};
      for (std::string_view address : hosts[name]) answer.addresses.push_back(at(address));
      if (answer.addresses.empty()) return failure(Code::no_endpoint, Side::upstream, "cannot resolve " + name);
      return answer;
    };
  }
  void begin_srv() {
    directory.learn_targets("_http._tcp.shop.test", script.says_targets("_http._tcp.shop.test"), loop.now());
    config::Service service;
    service.dns = config::DnsPlace{{}, "_http._tcp.shop.test"};
    for (const std::string& host : directory.unknown_names(service)) directory.learn(host, script.says(host), loop.now());
    shop = directory.endpoints("shop", {}, {}, "_http._tcp.shop.test");
    directory.put_in_force({{"shop", shop}});
    directory.start();
  }
  std::string weights() const {
    std::string text;
    for (const Instance& one : *shop->get())
      text += (text.empty() ? "" : " ") + one.address.text() + "/" + std::to_string(one.weight) + "/" + one.host;
    return text;
  }
};

TEST_F(Srvs, BecomeEndpointsWithTheirPortsAndWeights) {
  script.say_targets({{0, "a.test", 8001, 30}, {0, "b.test", 8002, 10}, {0, "both.test", 8003, 20}, {0, "gone.test", 1, 60}});
  begin_srv();
  EXPECT_EQ(weights(), "10.0.0.1:8001/250/a.test 10.0.0.2:8002/83/b.test 10.0.0.4:8003/83/both.test 10.0.0.5:8003/83/both.test");
  script.say_targets({{0, "a.test", 8001, 0}, {0, "b.test", 8002, 0}});
  loop.run_for(11s);
  EXPECT_EQ(weights(), "10.0.0.1:8001/1/a.test 10.0.0.2:8002/1/b.test");
}

TEST_F(Srvs, OfTheLowestPriorityThatIsThereAreUsed) {
  script.say_targets({{20, "b.test", 80, 1}, {10, "gone.test", 80, 1}, {30, "c.test", 80, 1}});
  begin_srv();
  EXPECT_EQ(seen(), "10.0.0.2:80");
  script.say_targets({{20, "b.test", 80, 1}, {10, "a.test", 80, 1}});
  loop.run_for(12s);
  EXPECT_EQ(seen(), "10.0.0.1:80");
}

TEST_F(Srvs, HostsThatAreNewAreFoundBeforeTheOldOnesGo) {
  script.say_targets({{0, "a.test", 80, 1}});
  begin_srv();
  script.say_targets({{0, "b.test", 80, 1}});
  script.takes = 2s;
  std::set<std::string> states;
  for (int i = 0; i < 200; ++i) {
    loop.run_for(100ms);
    states.insert(seen());
  }
  EXPECT_EQ(states, (std::set<std::string>{"10.0.0.1:80", "10.0.0.2:80"}));  // never nobody
  EXPECT_EQ(seen(), "10.0.0.2:80");
}

TEST_F(Srvs, AreKeptWhileNobodyCanSayAndGivenUpWhenTheyAreDenied) {
  script.say_targets({{0, "a.test", 80, 1}}, 5s);
  begin_srv();
  auto fail = [&](Code code) {
    script.says_targets = [code](const std::string& name) {
      return Result<SrvTargets>(failure(code, Side::upstream, "cannot resolve " + name));
    };
  };
  fail(Code::unavailable);
  loop.run_for(50s);
  EXPECT_EQ(seen(), "10.0.0.1:80");
  std::string status;
  directory.write_status(status);
  EXPECT_NE(status.find(R"("srv":"_http._tcp.shop.test","srv_error":"cannot resolve _http._tcp.shop.test")"), std::string::npos) << status;
  std::string page;
  directory.write_metrics(page);
  EXPECT_NE(page.find("portloom_endpoints{service=\"shop\",state=\"stale\"} 1\n"), std::string::npos) << page;
  script.say_targets({{0, "a.test", 80, 1}}, 5s);
  loop.run_for(31s);
  fail(Code::no_endpoint);
  loop.run_for(10s);
  EXPECT_EQ(seen(), "");
  shop.reset();
  size_t asked = script.asked_targets.size();
  directory.put_in_force({});
  loop.run_for(1min);
  EXPECT_LE(script.asked_targets.size(), asked + 1);
}

// A source of registered instances that a test plays.
class Registered final : public pipeline::EndpointSource {
 public:
  std::vector<pipeline::FoundEndpoint> endpoints(std::string_view service) const override {
    std::vector<pipeline::FoundEndpoint> list;
    auto [first, last] = known.equal_range(std::string(service));
    for (auto at = first; at != last; ++at) list.push_back({*io::Address::parse(at->second), 2, "", ""});
    return list;
  }
  Instant confirmed() const override { return Agenda::current().now() - 7s; }
  std::string fault() const override { return away; }
  void tell_of(std::string_view service) const { changed(service); }
  std::multimap<std::string, std::string> known;
  std::string away;
};

TEST_F(Names, InTheRegistryAreFollowed) {
  Registered source;
  source.known = {{"orders", "10.0.0.1:80"}};
  shop = directory.found("shop", "registry", "orders");
  EXPECT_EQ(seen(), "");
  directory.use("registry", &source);
  EXPECT_EQ(seen(), "10.0.0.1:80");
  EXPECT_EQ(shop->get()->front().weight, 2u);
  EXPECT_EQ(shop->get()->front().host, "10.0.0.1");
  uint64_t before = shop->version();
  source.known.emplace("orders", "10.0.0.2:80");
  source.tell_of("users");
  EXPECT_EQ(shop->version(), before);
  source.tell_of("orders");
  EXPECT_EQ(seen(), "10.0.0.1:80 10.0.0.2:80");
  source.tell_of("orders");
  EXPECT_EQ(shop->version(), before + 1);
  EXPECT_EQ(directory.found("shop", "registry", "orders"), shop);
  EXPECT_NE(directory.found("shop", "registry", "users"), shop);
  EXPECT_NE(directory.endpoints("shop", {}), shop);
  directory.put_in_force({{"shop", shop}});
  std::string status;
  directory.write_status(status);
  EXPECT_NE(status.find(R"("registry":"orders","state":"current","age_s":7})"), std::string::npos) << status;
  source.away = "it is away";
  std::string page;
  directory.write_metrics(page);
  EXPECT_NE(page.find("portloom_endpoints{service=\"shop\",state=\"stale\"} 2\n"), std::string::npos) << page;
}

TEST_F(Names, OfOneSourceAreNotThoseOfAnother) {
  Registered registry;
  Registered etcd;
  registry.known = {{"/orders", "10.0.0.1:80"}};
  etcd.known = {{"/orders", "10.0.0.2:80"}};
  directory.use("registry", &registry);
  directory.use("etcd", &etcd);
  shop = directory.found("shop", "etcd", "/orders");
  EXPECT_EQ(seen(), "10.0.0.2:80");
  EXPECT_NE(directory.found("shop", "registry", "/orders"), shop);
  etcd.known.clear();
  registry.tell_of("/orders");
  EXPECT_EQ(seen(), "10.0.0.2:80");
  etcd.tell_of("/orders");
  EXPECT_EQ(seen(), "");
  directory.use("etcd", nullptr);
  directory.use("registry", nullptr);
}

TEST_F(Names, InTheRegistryStayWithoutASourceAndGoWithTheService) {
  Registered source;
  source.known = {{"orders", "10.0.0.1:80"}};
  shop = directory.found("shop", "registry", "orders");
  directory.use("registry", &source);
  directory.use("registry", nullptr);
  directory.found("shop", "registry", "orders");
  EXPECT_EQ(seen(), "10.0.0.1:80");
  directory.use("registry", &source);
  shop.reset();
  directory.put_in_force({});
  source.known.clear();
  source.tell_of("orders");  // nobody needs it any more
  directory.use("registry", nullptr);
  source.tell_of("orders");
}

}  // namespace
}  // namespace portloom::upstream
