// Tests of Directory: when names are asked for again, what becomes of the last answer, and what clusters see. The name server is
// a script, time is virtual.
#include "upstream/directory.h"

#include <gtest/gtest.h>

#include <functional>

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
  std::vector<Instant> asked;
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
  shop = directory.registered("shop", "orders");
  EXPECT_EQ(seen(), "");
  directory.use(&source);
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
  EXPECT_EQ(directory.registered("shop", "orders"), shop);
  EXPECT_NE(directory.registered("shop", "users"), shop);
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

TEST_F(Names, InTheRegistryStayWithoutASourceAndGoWithTheService) {
  Registered source;
  source.known = {{"orders", "10.0.0.1:80"}};
  shop = directory.registered("shop", "orders");
  directory.use(&source);
  directory.use(nullptr);
  directory.registered("shop", "orders");
  EXPECT_EQ(seen(), "10.0.0.1:80");
  directory.use(&source);
  shop.reset();
  directory.put_in_force({});
  source.known.clear();
  source.tell_of("orders");  // nobody needs it any more
  directory.use(nullptr);
  source.tell_of("orders");
}

}  // namespace
}  // namespace portloom::upstream
