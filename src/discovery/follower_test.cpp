// Tests of Follower and of what files keep: a registry that changes, goes away, forgets, and comes back; all in virtual time.
#include "discovery/follower.h"

#include <filesystem>
#include <fstream>

#include "testing/registry_door.h"
#include "testing/wire.h"

namespace portloom::discovery {
namespace {

using testing::NoNames;
using testing::RegistryDoor;

namespace fs = std::filesystem;

struct Following : ::testing::Test {
  Following() { fs::create_directories(folder); }
  ~Following() override {
    follower.reset();
    door.reset();
    fs::remove_all(folder);
  }
  void open(WallTime wall = WallTime(1s), std::string file = {}) {
    door.reset();
    door = std::make_unique<RegistryDoor>(LocalRegistry::Settings{.file = std::move(file)}, at, wall);
  }
  void follow(std::string file = {}) {
    auto fetcher = std::make_unique<http::Fetcher>(*http::Origin::parse("http://" + at.text()), names);
    follower = std::make_unique<Follower>(std::move(fetcher), Follower::Settings{std::move(file)}, loop.now());
    follower->tell([this](std::string_view service) { told.emplace_back(service); });
    follower->start();
  }
  std::string enter(std::string_view service, std::string_view id, std::string_view address, Duration ttl = 1h) {
    Instance one;
    one.id = id;
    one.address = *io::Address::parse(address);
    Registry::Outcome<Registry::Lease> lease = door->registry.state().enter(service, std::move(one), ttl, {}, loop.now());
    door->registry.stir();
    return lease ? lease->token : std::string();
  }
  std::string seen(std::string_view service) const {
    std::string text;
    for (const pipeline::FoundEndpoint& one : follower->endpoints(service)) text += (text.empty() ? "" : " ") + one.address.text();
    return text;
  }
  testing::SimLoop loop;
  NoNames names;
  io::Address at = io::Address::loopback(9910);
  std::string folder = (fs::temp_directory_path() / ("portloom-follower-" + std::to_string(::getpid()))).string();
  std::unique_ptr<RegistryDoor> door;
  std::unique_ptr<Follower> follower;
  std::vector<std::string> told;
};

TEST_F(Following, ChangesArriveAtOnce) {
  open();
  follow();
  loop.run_for(10ms);
  EXPECT_TRUE(follower->complete());
  std::string lease = enter("orders", "a", "10.0.0.1:80");
  enter("orders", "b", "10.0.0.2:80");
  loop.run_for(1ms);
  EXPECT_EQ(seen("orders"), "10.0.0.1:80 10.0.0.2:80");
  EXPECT_EQ(told, std::vector<std::string>{"orders"});
  ASSERT_TRUE(door->registry.state().drain("orders", "a", lease, loop.now()));
  door->registry.stir();
  loop.run_for(1ms);
  EXPECT_EQ(seen("orders"), "10.0.0.2:80");
  loop.run_for(1min);
  EXPECT_LT(loop.now() - follower->confirmed(), Follower::poll_wait + 1s);
  EXPECT_EQ(follower->fault(), "");
}

TEST_F(Following, WhatWasKnownIsUsedWhileTheRegistryIsAway) {
  open();
  follow();
  enter("orders", "a", "10.0.0.1:80");
  loop.run_for(1s);
  door.reset();
  loop.run_for(10min);
  EXPECT_EQ(seen("orders"), "10.0.0.1:80");
  EXPECT_NE(follower->fault(), "");
  EXPECT_GE(loop.now() - follower->confirmed(), 9min);
  open(WallTime(700s));
  enter("orders", "b", "10.0.0.2:80");
  loop.run_for(6s);  // asked again soon
  EXPECT_EQ(follower->fault(), "");
}

TEST_F(Following, ARegistryThatForgotIsGivenTheTimeToLearn) {
  open();
  follow();
  enter("orders", "a", "10.0.0.1:80");
  enter("orders", "b", "10.0.0.2:80");
  enter("users", "a", "10.0.0.9:80");
  loop.run_for(1s);
  open(WallTime(60s));  // started anew without a snapshot
  loop.run_for(10s);
  EXPECT_EQ(seen("orders"), "10.0.0.1:80 10.0.0.2:80");
  enter("orders", "b", "10.0.0.22:80");
  loop.run_for(1s);
  EXPECT_EQ(seen("orders"), "10.0.0.22:80 10.0.0.1:80");  // b has moved, a may come back
  EXPECT_EQ(seen("users"), "10.0.0.9:80");
  loop.run_for(40s);  // it has had the time
  EXPECT_EQ(seen("orders"), "10.0.0.22:80");
  EXPECT_EQ(seen("users"), "");
}

TEST_F(Following, ManyServicesComePageByPage) {
  open();
  for (int i = 0; i < 9000; ++i) enter("s" + std::to_string(i), "a", "10.0.0.1:80");
  follow();
  loop.run_for(1s);
  EXPECT_TRUE(follower->complete());
  EXPECT_EQ(seen("s8999"), "10.0.0.1:80");
  EXPECT_EQ(told.size(), 9000u);
  told.clear();
  enter("s77", "b", "10.0.0.2:80");
  loop.run_for(1ms);
  EXPECT_EQ(told, std::vector<std::string>{"s77"});
}

TEST_F(Following, AnswersThatAreNoneChangeNothing) {
  testing::Origin liar;
  at = liar.address();
  follow();
  std::string_view good =
      R"({"version":7,"more":false,"settling":false,"reset":true,"services":{"orders":[{"id":"a","address":"10.0.0.1","port":80}]}})";
  size_t asked = 0;
  auto say = [&](std::string_view body, int status = 200) {
    ASSERT_TRUE(loop.run_until([&] { return liar.count() > 0 && liar[0].count("GET ") > asked; }, 20s));
    ++asked;
    liar[0].say("HTTP/1.1 " + std::to_string(status) + " X\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
                std::string(body));
    loop.run_for(1ms);
  };
  say(good);
  EXPECT_EQ(seen("orders"), "10.0.0.1:80");
  EXPECT_TRUE(liar[0].has("GET /v1/changes?version=7&wait=10s HTTP/1.1\r\n")) << liar[0].heard;
  for (std::string_view bad : {"", "{", "[]", "{}", R"({"version":8})", R"({"services":{}})", R"({"version":8,"services":{"orders":7}})",
                               R"({"version":8,"services":{"or/ders":[]}})"}) {
    say(bad);
    EXPECT_EQ(seen("orders"), "10.0.0.1:80") << bad;
    EXPECT_EQ(follower->fault(), "the registry's answer is not one") << bad;
  }
  say(R"({"version":8,"services":{"orders":[]}})", 500);
  EXPECT_EQ(seen("orders"), "10.0.0.1:80");
  EXPECT_EQ(follower->fault(), "the registry answers 500");
  say(R"({"version":9,"services":{"orders":[]}})");
  EXPECT_EQ(seen("orders"), "");
  EXPECT_EQ(follower->fault(), "");
}

TEST_F(Following, EndpointsAreKeptOverARestart) {
  std::string file = folder + "/endpoints";
  open();
  follow(file);
  enter("orders", "a", "10.0.0.1:80");
  loop.run_for(1s);
  follower.reset();
  door.reset();
  follow(file);
  EXPECT_EQ(seen("orders"), "10.0.0.1:80");
  loop.run_for(1min);
  EXPECT_EQ(seen("orders"), "10.0.0.1:80");
  EXPECT_FALSE(follower->complete());
}

TEST_F(Following, ADamagedFileIsToldAndSetAside) {
  std::string file = folder + "/endpoints";
  open();
  follow(file);
  enter("orders", "a", "10.0.0.1:80");
  loop.run_for(1s);
  follower.reset();
  std::string text;
  std::getline(std::ifstream(file), text, '\0');
  ASSERT_GT(text.size(), 40u);
  text[text.size() / 2] ^= 1;
  std::ofstream(file) << text;
  door.reset();
  follow(file);
  EXPECT_EQ(seen("orders"), "");
  EXPECT_NE(follower->warning().find("is damaged and not used; it is now"), std::string::npos) << follower->warning();
  EXPECT_TRUE(fs::exists(file + ".damaged"));
}

TEST_F(Following, ARegistryKeepsItsLeasesOverARestart) {
  std::string file = folder + "/registry";
  open(WallTime(1s), file);
  std::string lease = enter("orders", "a", "10.0.0.1:80", 10s);
  loop.run_for(3s);
  uint64_t version = door->registry.state().version();
  open(WallTime(20s), file);
  EXPECT_EQ(door->registry.warning(), "");
  EXPECT_GT(door->registry.state().version(), version);
  EXPECT_FALSE(door->registry.settling(loop.now()));
  loop.run_for(9s);
  EXPECT_EQ(door->registry.endpoints("orders").size(), 1u);
  EXPECT_TRUE(door->registry.state().beat("orders", "a", lease, loop.now()));
  loop.run_for(9s);
  EXPECT_EQ(door->registry.endpoints("orders").size(), 1u);
  loop.run_for(12s);
  EXPECT_EQ(door->registry.endpoints("orders").size(), 0u);
  open(WallTime(60s), file);
  EXPECT_EQ(door->registry.endpoints("orders").size(), 0u);
}

TEST_F(Following, ARegistrysDamagedSnapshotIsToldAndSetAside) {
  std::string file = folder + "/registry";
  std::ofstream(file) << "portloom-kept 1 3 17\n{}\n";
  open(WallTime(1s), file);
  EXPECT_NE(door->registry.warning().find("is damaged"), std::string::npos);
  EXPECT_TRUE(fs::exists(file + ".damaged"));
  EXPECT_TRUE(door->registry.settling(loop.now()));
}

}  // namespace
}  // namespace portloom::discovery
