// Tests of upstream: connections that say whose they are, in virtual time.
#include "upstream/proxy_header.h"
#include "testing/clusters.h"

namespace portloom::upstream {
namespace {

using namespace testing;  // NOLINT: fixtures

class ProxyHeaders : public Clusters {
 protected:
  ProxyHeaders() {
    settings.proxy_header = io::ProxyVersion::v1;
    peer.address = *io::Address::parse("198.51.100.7:4711");
    peer.text = "198.51.100.7";
    peer.local = std::make_unique<io::Address>(*io::Address::parse("192.0.2.1:80"));
  }
  void ask(Cluster& cluster, size_t nth) {
    Call& one = call(cluster);
    ASSERT_TRUE(loop.run_until([&] { return origins[0].count() == nth + 1 && origins[0][nth].has("\r\n\r\n"); }));
    origins[0][nth].say(answer);
    ASSERT_TRUE(loop.run_until([&] { return one.response.has_value(); }));
    EXPECT_EQ(one.response->status, 200);
  }
  std::string said(std::string_view client) {
    Exchange exchange(plan, peer);
    exchange.client = client;
    return proxy_header(*settings.proxy_header, exchange);
  }
};
INSTANTIATE_TEST_SUITE_P(Seeds, ProxyHeaders, ::testing::Values(0, 1, 2, 3));

TEST_P(ProxyHeaders, BeginEachConnectionWhichServesOneRequest) {
  Cluster cluster(settings, {origins[0].address()}, 1);
  for (size_t i = 0; i < 3; ++i) {
    ask(cluster, i);
    calls.clear();
    loop.run_for(1ms);
    EXPECT_TRUE(origins[0][i].over());  // never another client's
    EXPECT_TRUE(origins[0][i].heard.starts_with("PROXY TCP4 198.51.100.7 192.0.2.1 4711 80\r\nGET /a HTTP/1.1\r\n")) << origins[0][i].heard;
    EXPECT_TRUE(origins[0][i].has("\r\nConnection: close\r\n"));
  }
}

TEST_P(ProxyHeaders, OriginThatTakesNothingIsNotWaitedFor) {
  Cluster cluster(settings, {origins[0].address()}, 1);
  loop.blackhole(origins[0].address());
  Call& one = call(cluster);
  ASSERT_TRUE(loop.run_until([&] { return one.response.has_value(); }));
  EXPECT_EQ(one.response->status, 504);
  EXPECT_EQ(active(cluster), 0u);
}

TEST_P(ProxyHeaders, NameWhomWeBelieveIn) {
  EXPECT_EQ(said("198.51.100.7"), "PROXY TCP4 198.51.100.7 192.0.2.1 4711 80\r\n");
  EXPECT_EQ(said("203.0.113.9"), "PROXY TCP4 203.0.113.9 192.0.2.1 0 80\r\n");  // a trusted proxy said so
  EXPECT_EQ(said("2001:db8::9"), "PROXY TCP6 2001:db8::9 :: 0 80\r\n");         // of another family than our end
  peer.local = nullptr;
  EXPECT_EQ(said("198.51.100.7"), "PROXY TCP4 198.51.100.7 0.0.0.0 4711 0\r\n");
  peer.address = *io::Address::parse("unix:/run/x.sock");
  peer.text = "unix";
  EXPECT_EQ(said("unix"), "PROXY UNKNOWN\r\n");
}

}  // namespace
}  // namespace portloom::upstream
