// Tests of ip_filter: which addresses pass, of both families, at the borders of their ranges.
#include "policy/bench_for_tests.h"

namespace portloom::policy {
namespace {

uint16_t status(Bench& bench, std::string_view client) {
  EXPECT_EQ(bench.messages, "");
  Bench::Call call(bench);
  call.exchange.client = client;
  return bench.answer(call).status;
}

TEST(IpFilter, AllowLetsOnlyThesePass) {
  Bench bench("[{ip_filter: {allow: [10.0.0.0/8, 192.0.2.7, \"2001:db8::/32\"]}}]");
  for (const char* in :
       {"10.0.0.0", "10.255.255.255", "192.0.2.7", "2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "::ffff:10.1.2.3"})
    EXPECT_EQ(status(bench, in), 200) << in;
  for (const char* out : {"9.255.255.255", "11.0.0.0", "192.0.2.6", "192.0.2.8", "2001:db7:ffff::", "2001:db9::", "::a00:1", ""})
    EXPECT_EQ(status(bench, out), 403) << out;
}

TEST(IpFilter, DenyWins) {
  Bench bench("[{ip_filter: {allow: 10.0.0.0/8, deny: [10.1.0.0/16, 10.1.2.0/24, 10.2.0.1]}}]");
  EXPECT_EQ(status(bench, "10.0.0.1"), 200);
  EXPECT_EQ(status(bench, "10.1.2.3"), 403);
  EXPECT_EQ(status(bench, "10.1.255.255"), 403);  // beyond the range within its range
  EXPECT_EQ(status(bench, "10.2.0.1"), 403);
  EXPECT_EQ(status(bench, "10.2.0.2"), 200);
}

TEST(IpFilter, DenyAloneLetsTheOthersPass) {
  Bench bench("[{ip_filter: {deny: [0.0.0.0/1]}}]");
  EXPECT_EQ(status(bench, "127.255.255.255"), 403);
  EXPECT_EQ(status(bench, "128.0.0.0"), 200);
  EXPECT_EQ(status(bench, "::1"), 200);
  EXPECT_EQ(status(bench, "unix"), 200);
}

TEST(IpFilter, SaysWhoRefusedAndNothingToTheClient) {
  Bench bench("[{ip_filter: {allow: 10.0.0.0/8}}]");
  Bench::Call call(bench);
  pipeline::Response response = bench.answer(call);
  ASSERT_TRUE(response.fault.has_value());
  EXPECT_EQ(response.fault->code, Code::forbidden);
  EXPECT_EQ(response.fault->side, Side::client);
  EXPECT_EQ(response.fault->detail, "");
  EXPECT_EQ(call.exchange.record.policy, "ip_filter");
  EXPECT_EQ(call.exchange.record.config, "test.yaml:1");
  EXPECT_TRUE(bench.service.seen.empty());
}

TEST(IpFilter, RefusesListsThatMeanSomethingElse) {
  for (const char* wrong : {"{}", "{allow: 10.0.0.1/8}", "{allow: [shop.example]}", "{deny: 10.0.0.0/33}", "{allow: [], deny: []}"})
    EXPECT_NE(Bench("[{ip_filter: " + std::string(wrong) + "}]").messages, "") << wrong;
}

}  // namespace
}  // namespace portloom::policy
