// Tests of the admin API: pages, verbs, doors and what a browser may not do.
#include <gtest/gtest.h>

#include "admin/services.h"
#include "admin/status.h"
#include "pipeline/exchange.h"

namespace portloom::admin {
namespace {

class Process final : public Control {
 public:
  bool ready() override { return reason.empty(); }
  std::string not_ready_reason() override { return reason; }
  void drain() override { ++drains; }
  Result<void> reload() override {
    if (!refusal.empty()) return failure(Code::invalid, Side::gateway, refusal);
    return {};
  }
  Result<std::string> explain(std::string_view query) override {
    if (query.empty()) return failure(Code::bad_request, Side::client, "no question");
    return query.starts_with("json") ? "{}\n" : "asked " + std::string(query) + "\n";
  }
  Result<void> hold_breaker(std::string_view service, std::string_view state) override {
    held = std::string(service) + "=" + std::string(state);
    if (service != "orders") return failure(Code::not_found, Side::client, "there is no breaker " + std::string(service));
    return {};
  }
  void write_status(std::string& json) override { json += "{}"; }
  void write_status_text(std::string& text) override { text += "portloom\n"; }
  void write_metrics(std::string& page) override { page += "up 1\n"; }

  std::string reason;
  std::string refusal;
  std::string held;
  int drains = 0;
};

class Admin : public testing::Test {
 protected:
  pipeline::Response ask(pipeline::Service& service, std::string_view method, std::string_view target, bool from_page = false) {
    pipeline::Request request(exchange_, exchange_.record.call);
    EXPECT_TRUE(request.assign(method, target));
    if (from_page) request.headers.add(http::Name::origin, "https://evil.example");
    auto task = service.call(request);
    EXPECT_TRUE(task.done());
    return task.take();
  }
  static std::string text(const pipeline::Response& response) { return std::string(response.body.bytes().view()); }

  pipeline::Plan plan_{std::make_shared<pipeline::Snapshot>()};
  pipeline::Peer peer_;
  pipeline::Exchange exchange_{plan_, peer_};
  Process process_;
  AdminService admin_{process_};
  ProbesService probes_{process_};
};

TEST_F(Admin, PagesAnswer) {
  EXPECT_EQ(text(ask(admin_, "GET", "/healthz")), "ok\n");
  EXPECT_EQ(text(ask(admin_, "GET", "/readyz?verbose")), "ok\n");
  pipeline::Response metrics = ask(admin_, "GET", "/metrics");
  EXPECT_EQ(metrics.headers.find(http::Name::content_type), "text/plain; version=0.0.4; charset=utf-8");
  EXPECT_EQ(text(metrics), "up 1\n");
  pipeline::Response status = ask(admin_, "GET", "/status");
  EXPECT_EQ(status.headers.find(http::Name::content_type), "application/json");
  EXPECT_EQ(text(status), "{}\n");
  EXPECT_EQ(ask(admin_, "HEAD", "/healthz").status, 200);
}

TEST_F(Admin, NotReadySaysWhy) {
  process_.reason = "draining";
  pipeline::Response response = ask(probes_, "GET", "/readyz");
  EXPECT_EQ(response.status, 503);
  EXPECT_FALSE(response.fault);
  EXPECT_EQ(text(response), "draining\n");
  EXPECT_EQ(ask(probes_, "GET", "/healthz").status, 200);
}

TEST_F(Admin, DrainAndReloadAreAskedByPostAlone) {
  EXPECT_EQ(ask(admin_, "GET", "/drain").status, 405);
  EXPECT_EQ(process_.drains, 0);
  EXPECT_EQ(ask(admin_, "POST", "/drain").status, 202);
  EXPECT_EQ(process_.drains, 1);
  EXPECT_EQ(ask(admin_, "POST", "/reload").status, 200);
  process_.refusal = "portloom.yaml:3:1: error: no";
  pipeline::Response refused = ask(admin_, "POST", "/reload");
  EXPECT_EQ(refused.status, 422);
  ASSERT_TRUE(refused.fault);
  EXPECT_EQ(refused.fault->detail, process_.refusal);
  EXPECT_EQ(ask(admin_, "POST", "/status").headers.find(http::Name::allow), "GET, HEAD");
}

TEST_F(Admin, BreakersAreHeldByPostAlone) {
  EXPECT_EQ(ask(admin_, "GET", "/breakers/orders?state=open").status, 405);
  EXPECT_EQ(ask(admin_, "POST", "/breakers/orders?state=open", true).status, 403);
  EXPECT_EQ(process_.held, "");
  EXPECT_EQ(text(ask(admin_, "POST", "/breakers/orders?state=open")), "open\n");
  EXPECT_EQ(process_.held, "orders=open");
  EXPECT_EQ(ask(admin_, "POST", "/breakers/users?state=auto").status, 404);
  EXPECT_EQ(ask(probes_, "POST", "/breakers/orders?state=closed").status, 404);
}

TEST_F(Admin, AWebPageMayNotChangeAnything) {
  EXPECT_EQ(ask(admin_, "POST", "/drain", true).status, 403);
  EXPECT_EQ(ask(admin_, "POST", "/reload", true).status, 403);
  EXPECT_EQ(process_.drains, 0);
  EXPECT_EQ(ask(admin_, "GET", "/status", true).status, 200);
}

TEST_F(Admin, UnknownPagesAndTheProbesDoor) {
  EXPECT_EQ(ask(admin_, "GET", "/").status, 404);
  EXPECT_EQ(ask(admin_, "GET", "/healthz/").status, 404);
  EXPECT_EQ(ask(probes_, "GET", "/metrics").status, 200);
  EXPECT_EQ(ask(probes_, "GET", "/status").status, 404);
  EXPECT_EQ(ask(probes_, "POST", "/drain").status, 404);
  EXPECT_EQ(process_.drains, 0);
}

class Services final : public pipeline::StatusSource {
 public:
  std::string_view name() const override { return "services"; }
  void write_status(std::string& json) const override { json += R"({"orders":{"endpoints":[]}})"; }
  void write_metrics(std::string&) const override {}
};

TEST(Status, IsOneObjectWithTheSourcesAsMembers) {
  Status status{.version = "0.1.0",
                .state = "ready",
                .uptime = 90s + 5ms,
                .config_hash = "abc",
                .config_loaded = WallTime(951782400000ms),
                .config_files = {"portloom.yaml"},
                .engine = "io_uring",
                .workers = 2,
                .listeners = {{"edge", "127.0.0.1:8080"}}};
  Services services;
  std::string json;
  write_status(json, status, {&services});
  EXPECT_EQ(json, R"({
  "version": "0.1.0",
  "state": "ready",
  "uptime": "1m30s",
  "config": {
    "hash": "abc",
    "loaded_at": "2000-02-29T00:00:00Z",
    "last_reload_ok": true,
    "files": [
      "portloom.yaml"
    ]
  },
  "engine": "io_uring",
  "workers": 2,
  "listeners": {
    "edge": {
      "address": "127.0.0.1:8080"
    }
  },
  "services": {"orders":{"endpoints":[]}}
})");
}

}  // namespace
}  // namespace portloom::admin
