// Tests of authenticate: who gets in, what the service sees, and what a stranger learns.
#include "policy/bench_for_tests.h"

namespace portloom::policy {
namespace {

// SHA-256 of "secret" and of "another" (FIPS 180-4).
const char* consumers =
    "consumers:\n"
    "  acme: {tenant: acme-tenant, plan: pro, groups: [beta], keys: "
    "[\"sha256:2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b\"]}\n"
    "  nobody: {tenant: none}\n";

class Authentication : public testing::Test {
 protected:
  pipeline::Response with_key(const char* key) {
    Bench::Call call(bench);
    if (key != nullptr) call.request.headers.add("X-Api-Key", key);
    pipeline::Response response = bench.answer(call);
    consumer = call.exchange.identity.consumer;
    tenant = call.exchange.record.tenant;
    policy = std::string(call.exchange.record.policy);
    plan = call.exchange.identity.plan;
    groups = call.exchange.identity.groups;
    return response;
  }
  Bench bench{"[{authenticate: [{api_key: {header: x-api-key}}]}]", consumers};
  std::string consumer, tenant, policy, plan;
  std::vector<std::string> groups;
};

TEST_F(Authentication, AKnownKeyNamesItsConsumerAndStaysHere) {
  ASSERT_EQ(bench.messages, "");
  EXPECT_EQ(with_key("secret").status, 200);
  EXPECT_EQ(consumer, "acme");
  EXPECT_EQ(tenant, "acme-tenant");
  EXPECT_EQ(plan, "pro");
  EXPECT_EQ(groups, std::vector<std::string>{"beta"});
  EXPECT_TRUE(bench.service.seen[0].headers.empty());
}

TEST_F(Authentication, NobodyLearnsWhetherAKeyWasMissingOrWrong) {
  pipeline::Response missing = with_key(nullptr);
  EXPECT_EQ(policy, "authenticate");
  for (std::string key : {std::string("wrong"), std::string(), std::string(512, 'x'), std::string(513, 'x'), std::string("Secret")}) {
    pipeline::Response wrong = with_key(key.c_str());
    EXPECT_EQ(wrong.status, 401);
    EXPECT_EQ(wrong.fault->code, missing.fault->code);
    EXPECT_EQ(wrong.fault->detail, missing.fault->detail);
    EXPECT_EQ(wrong.headers.find("WWW-Authenticate"), "ApiKey realm=\"portloom\"");
    EXPECT_EQ(wrong.headers.size(), missing.headers.size());
    EXPECT_EQ(consumer, "");
  }
  EXPECT_EQ(missing.status, 401);
  EXPECT_TRUE(bench.service.seen.empty());
}

TEST_F(Authentication, TwoKeysAreNoKey) {
  Bench::Call call(bench);
  call.request.headers.add("x-api-key", "secret");
  call.request.headers.add("x-api-key", "wrong");
  EXPECT_EQ(bench.answer(call).status, 401);
}

TEST(Authenticate, TheFirstWayThatAppliesDecides) {
  Bench bench("[{authenticate: [{api_key: x-first}, {api_key: x-second}]}]", consumers);
  ASSERT_EQ(bench.messages, "");
  Bench::Call second(bench);
  second.request.headers.add("x-second", "secret");
  EXPECT_EQ(bench.answer(second).status, 200);
  Bench::Call both(bench);
  both.request.headers.add("x-second", "secret");
  both.request.headers.add("x-first", "wrong");
  EXPECT_EQ(bench.answer(both).status, 401);
}

TEST(Authenticate, ACallThatIsRepeatedIsStillKnown) {
  Bench bench("[{retry: {attempts: 2}}, {authenticate: [{api_key: x-api-key}]}]", consumers);
  bench.service.script = {{.status = 502, .fault = Error{Code::refused, Side::upstream, Progress::nothing, {}}}};
  Bench::Call call(bench);
  call.request.headers.add("x-api-key", "secret");
  EXPECT_EQ(bench.answer(call).status, 200);
  EXPECT_EQ(bench.service.seen.size(), 2u);
}

TEST(Authenticate, OtherWaysAreOfALaterVersion) {
  EXPECT_NE(Bench("[{authenticate: [{token: shop}]}]").messages.find("not in this version"), std::string::npos);
  EXPECT_NE(Bench("[{authenticate: [{api_key: {query: key}}]}]").messages.find("not in this version"), std::string::npos);
  EXPECT_NE(Bench("[{authenticate: [{api_key: host}]}]").messages, "");
  EXPECT_NE(Bench("[{authenticate: []}]").messages, "");
  EXPECT_NE(Bench("[{authenticate: [{}]}]").messages, "");
}

}  // namespace
}  // namespace portloom::policy
