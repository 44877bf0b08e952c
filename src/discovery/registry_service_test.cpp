// Tests of the registry's HTTP API over a network in memory, in virtual time: who may do what, what is told and when.
#include "discovery/registry_service.h"

#include "testing/registry_door.h"
#include "testing/wire.h"

namespace portloom::discovery {
namespace {

using testing::Asker;
using testing::RegistryDoor;

struct Api : ::testing::Test {
  testing::SimLoop loop;
  std::unique_ptr<RegistryDoor> door = std::make_unique<RegistryDoor>();
  std::unique_ptr<Asker> asker = std::make_unique<Asker>(*door);

  http::Fetcher::Answer ask(std::string method, std::string target, std::string body = {}, Asker::Fields fields = {}) {
    return asker->ask(loop, std::move(method), std::move(target), std::move(body), std::move(fields));
  }
  // Its lease.
  std::string enter(const std::string& place, const std::string& body) {
    http::Fetcher::Answer answer = ask("PUT", "/v1/services/" + place, body);
    EXPECT_TRUE(answer.status == 200 || answer.status == 201) << answer.status << answer.body;
    size_t at = answer.body.find("\"lease\":\"");
    return at == std::string::npos ? answer.body : answer.body.substr(at + 9, 32);
  }
  std::string instances(const std::string& service) {
    std::string body = ask("GET", "/v1/services/" + service).body;
    return body.substr(body.find("\"instances\":"));
  }
};

TEST_F(Api, AnInstanceRegistersBeatsDrainsAndLeaves) {
  std::string lease = enter("orders/a", R"({"address":"10.0.0.1","port":80,"zone":"eu","ttl":"2s"})");
  EXPECT_EQ(instances("orders"),
            "\"instances\":[{\"id\":\"a\",\"address\":\"10.0.0.1\",\"port\":80,\"weight\":1,\"state\":\"up\","
            "\"zone\":\"eu\"}]}\n");
  for (int i = 0; i < 5; ++i) {
    loop.run_for(1500ms);
    EXPECT_EQ(ask("POST", "/v1/services/orders/a/heartbeat", {}, {{"Lease", lease}}).status, 204);
  }
  EXPECT_EQ(ask("POST", "/v1/services/orders/a/drain", {}, {{"Lease", lease}}).status, 204);
  EXPECT_NE(instances("orders").find("\"state\":\"draining\""), std::string::npos);
  EXPECT_TRUE(door->registry.endpoints("orders").empty());
  EXPECT_EQ(ask("DELETE", "/v1/services/orders/a", {}, {{"Lease", lease}}).status, 204);
  EXPECT_EQ(instances("orders"), "\"instances\":[]}\n");
  EXPECT_EQ(ask("POST", "/v1/services/orders/a/heartbeat", {}, {{"Lease", lease}}).status, 404);
}

TEST_F(Api, WithoutABeatItIsGone) {
  enter("orders/a", R"({"address":"10.0.0.1","port":80,"ttl":"2s"})");
  loop.run_for(1990ms);
  EXPECT_EQ(door->registry.endpoints("orders").size(), 1u);
  loop.run_for(20ms);
  EXPECT_EQ(instances("orders"), "\"instances\":[]}\n");
}

TEST_F(Api, AForgedLeaseAndATakenIdAreRefused) {
  enter("orders/a", R"({"address":"10.0.0.1","port":80})");
  EXPECT_EQ(ask("POST", "/v1/services/orders/a/heartbeat", {}, {{"Lease", std::string(32, 'a')}}).status, 403);
  EXPECT_EQ(ask("DELETE", "/v1/services/orders/a").status, 403);
  http::Fetcher::Answer taken = ask("PUT", "/v1/services/orders/a", R"({"address":"10.0.0.2","port":80})");
  EXPECT_EQ(taken.status, 409);
  EXPECT_NE(taken.body.find("the id a belongs to the instance at 10.0.0.1:80"), std::string::npos) << taken.body;
}

TEST_F(Api, WithoutAnAddressItIsWhereItAsksFrom) {
  enter("orders/a", R"({"port":8080})");
  ASSERT_EQ(door->registry.endpoints("orders").size(), 1u);
  EXPECT_EQ(door->registry.endpoints("orders")[0].address.text(), "127.0.0.1:8080");
}

TEST_F(Api, BadInputIsAProblemThatSaysWhatIsWrong) {
  http::Fetcher::Answer answer = ask("PUT", "/v1/services/orders/a", "{\"port\":");
  EXPECT_EQ(answer.status, 400);
  EXPECT_NE(answer.body.find("\"detail\":\"not JSON: "), std::string::npos) << answer.body;
  EXPECT_EQ(ask("PUT", "/v1/services/orders/a", std::string(20'000, ' ')).status, 413);
  EXPECT_EQ(ask("PUT", "/v1/services/orders/a", R"({"id":"b","port":1})").status, 400);
  EXPECT_EQ(ask("PUT", "/v1/services/or%20ders/a", R"({"port":1})").status, 400);
  EXPECT_EQ(ask("GET", "/v1/services/orders?version=x").status, 400);
  EXPECT_EQ(ask("GET", "/v1/services/orders?version=1&wait=30").status, 400);
  EXPECT_EQ(ask("GET", "/v1/services/orders?wait=1h").status, 400);
  EXPECT_EQ(ask("GET", "/v1/services/").status, 404);
  EXPECT_EQ(ask("GET", "/v2").status, 404);
  EXPECT_EQ(ask("POST", "/v1/services").status, 405);
  EXPECT_EQ(ask("POST", "/v1/services/orders/a").status, 405);
  EXPECT_EQ(ask("PUT", "/v1/services/orders/a/heartbeat").status, 405);
  EXPECT_EQ(ask("POST", "/v1/services/orders/a/dance").status, 404);
  EXPECT_EQ(ask("PUT", "/v1/services/orders/a", R"({"port":1})", {{"Origin", "https://evil.example"}}).status, 403);
}

TEST_F(Api, WritingTakesTheToken) {
  door->registry.use("a-long-enough-token");
  std::string body = R"({"port":1})";
  EXPECT_EQ(ask("PUT", "/v1/services/orders/a", body).status, 401);
  EXPECT_EQ(ask("PUT", "/v1/services/orders/a", body, {{"Authorization", "Bearer a-long-enough-tokem"}}).status, 401);
  EXPECT_EQ(ask("PUT", "/v1/services/orders/a", body, {{"Authorization", "Bearer a-long-enough-token"}}).status, 201);
  EXPECT_EQ(ask("DELETE", "/v1/services/orders/a").status, 401);
  EXPECT_EQ(ask("GET", "/v1/services/orders").status, 200);
}

TEST_F(Api, ALongPollAnswersWhenTheServiceChanges) {
  std::string lease = enter("orders/a", R"({"address":"10.0.0.1","port":80,"ttl":"1h"})");
  http::Fetcher::Answer first = ask("GET", "/v1/services/orders?version=0&wait=30s");
  size_t at = first.body.find("\"version\":") + 10;
  std::string version = first.body.substr(at, first.body.find(',', at) - at);
  Asker watcher(*door);
  watcher.begin("GET", "/v1/services/orders?version=" + version + "&wait=30s");
  loop.run_for(10s);
  EXPECT_FALSE(watcher.answer);
  enter("users/a", R"({"address":"10.0.0.9","port":80})");
  loop.run_for(1s);
  EXPECT_FALSE(watcher.answer);  // another service
  ask("DELETE", "/v1/services/orders/a", {}, {{"Lease", lease}});
  loop.run_for(1ms);
  ASSERT_TRUE(watcher.answer);
  EXPECT_NE(watcher.answer->body.find("\"instances\":[]"), std::string::npos) << watcher.answer->body;
}

TEST_F(Api, ALongPollEndsWithItsTime) {
  enter("orders/a", R"({"address":"10.0.0.1","port":80,"ttl":"1h"})");
  std::string version = std::to_string(door->registry.state().version());
  for (std::string target : {"/v1/services/orders?version=", "/v1/changes?version="}) {
    Asker watcher(*door);
    watcher.begin("GET", target + version + "&wait=30s");
    loop.run_for(29990ms);
    EXPECT_FALSE(watcher.answer) << target;
    loop.run_for(20ms);
    ASSERT_TRUE(watcher.answer) << target;
    EXPECT_NE(watcher.answer->body.find("\"version\":" + version), std::string::npos) << watcher.answer->body;
  }
}

TEST_F(Api, ChangesAreThoseSinceAVersionAndPagesWhereThereAreMany) {
  enter("orders/a", R"({"address":"10.0.0.1","port":80,"ttl":"1h"})");
  std::string version = std::to_string(door->registry.state().version());
  enter("users/a", R"({"address":"10.0.0.2","port":80,"ttl":"1h"})");
  std::string body = ask("GET", "/v1/changes?version=" + version).body;
  EXPECT_NE(body.find("\"more\":false,\"settling\":true,\"reset\":false,\"services\":{\"users\":["), std::string::npos) << body;
  EXPECT_NE(ask("GET", "/v1/changes?version=77").body.find("\"reset\":true,\"services\":{\"orders\":["), std::string::npos);
  std::string long_one = R"({"address":"10.0.0.3","port":80,"ttl":"1h","metadata":{"a":")" + std::string(4000, 'x') + "\"}}";
  for (int i = 0; i < 400; ++i) enter("s" + std::to_string(i) + "/a", long_one);
  body = ask("GET", "/v1/changes").body;
  EXPECT_NE(body.find("\"more\":true"), std::string::npos);
  EXPECT_LT(body.size(), 1'100'000u);
  std::string next = body.substr(11, body.find(',') - 11);
  body = ask("GET", "/v1/changes?version=" + next).body;
  EXPECT_NE(body.find("\"more\":false"), std::string::npos);
  EXPECT_NE(body.find("\"s399\""), std::string::npos);
  EXPECT_EQ(body.find("\"orders\""), std::string::npos);
  loop.run_for(30s);
  EXPECT_NE(ask("GET", "/v1/changes").body.find("\"settling\":false"), std::string::npos);
}

TEST_F(Api, AnEventStreamTellsOfEachChange) {
  std::string lease = enter("orders/a", R"({"address":"10.0.0.1","port":80,"ttl":"1h"})");
  testing::Wire wire(door->address());
  wire.say("GET /v1/services/orders HTTP/1.1\r\nHost: r\r\nAccept: text/event-stream\r\n\r\n");
  loop.run_for(1ms);
  EXPECT_TRUE(wire.has("Content-Type: text/event-stream"));
  EXPECT_TRUE(wire.has("event: service\ndata: {\"orders\":[{\"id\":\"a\""));
  wire.take();
  enter("users/a", R"({"address":"10.0.0.2","port":80})");
  loop.run_for(1ms);
  EXPECT_EQ(wire.take(), "");
  ask("DELETE", "/v1/services/orders/a", {}, {{"Lease", lease}});
  loop.run_for(1ms);
  EXPECT_TRUE(wire.has("data: {\"orders\":[]}\n\n")) << wire.heard;
  loop.run_for(16s);
  EXPECT_TRUE(wire.has(":\n\n"));
  EXPECT_FALSE(wire.over());
  testing::Wire other(door->address());  // goes on where another broke off
  other.say("GET /v1/changes HTTP/1.1\r\nHost: r\r\nAccept: text/event-stream\r\nLast-Event-ID: " +
            std::to_string(door->registry.state().version()) + "\r\n\r\n");
  loop.run_for(1ms);
  EXPECT_FALSE(other.has("event:")) << other.heard;
}

TEST_F(Api, WatchersAreBounded) {
  asker.reset();
  door = nullptr;
  door = std::make_unique<RegistryDoor>(LocalRegistry::Settings{.watchers_max = 1});
  asker = std::make_unique<Asker>(*door);
  std::string target = "/v1/changes?version=" + std::to_string(door->registry.state().version()) + "&wait=1m";
  Asker first(*door);
  first.begin("GET", target);
  loop.run_for(1ms);
  EXPECT_EQ(ask("GET", target).status, 503);
  loop.run_for(61s);
  ASSERT_TRUE(first.answer);
  EXPECT_EQ(first.answer->status, 200);
}

}  // namespace
}  // namespace portloom::discovery
