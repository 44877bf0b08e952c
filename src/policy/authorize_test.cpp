// Tests of authorize: who passes, who is asked who it is, and what a document may not say.
#include "policy/bench_for_tests.h"

namespace portloom::policy {
namespace {

// SHA-256 of "secret" and of "another" (FIPS 180-4).
const std::string consumers =
    "consumers:\n"
    "  acme: {groups: [partners, beta], keys: [\"sha256:2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b\"]}\n"
    "  other: {groups: [staff]}\n";

struct Verdict {
  uint16_t status;
  std::string policy;
};
Verdict ask(Bench& bench, std::string_view consumer, std::vector<std::string> groups = {}) {
  EXPECT_EQ(bench.messages, "");
  Bench::Call call(bench);
  call.exchange.identity.consumer = consumer;
  call.exchange.identity.groups = std::move(groups);
  pipeline::Response response = bench.answer(call);
  EXPECT_EQ(response.status == 401, response.headers.contains(http::Name::www_authenticate));
  return {response.status, std::string(call.exchange.record.policy)};
}

TEST(Authorize, WhoIsNamedOrInAGroupPasses) {
  Bench bench("[{authenticate: [{api_key: x-key}]}, {authorize: {consumers: [acme], groups: [staff]}}]", consumers);
  EXPECT_EQ(ask(bench, "acme").status, 200);
  EXPECT_EQ(ask(bench, "other", {"partners", "staff"}).status, 200);
  EXPECT_EQ(ask(bench, "other", {"partners"}).status, 403);
  EXPECT_EQ(ask(bench, "other").policy, "authorize");
  EXPECT_EQ(ask(bench, "staff").status, 403);            // a consumer named like the group
  EXPECT_EQ(ask(bench, "other", {"acme"}).status, 403);  // a group named like the consumer
}

TEST(Authorize, AnUnknownCallerIsAskedWhoItIs) {
  Bench bench("[{authenticate: [{api_key: x-key}]}, {authorize: {groups: [partners]}}]", consumers);
  EXPECT_EQ(ask(bench, "").policy, "authenticate");
  pipeline::Chain alone({bench.chain().policies()[1]}, bench.service);
  Bench::Call call(bench);
  call.exchange.identity.groups = {"partners"};  // without a name it is nobody's
  pipeline::Response response = bench.answer(call, alone);
  EXPECT_EQ(response.status, 401);
  EXPECT_EQ(response.fault->code, Code::unauthenticated);
  EXPECT_EQ(response.headers.find("WWW-Authenticate"), "ApiKey realm=\"portloom\"");
  EXPECT_EQ(call.exchange.record.policy, "authorize");
  EXPECT_EQ(call.exchange.record.config, "test.yaml:1");
}

TEST(Authorize, KnowsWhomAKeyBelongsTo) {
  Bench bench("[{authenticate: [{api_key: x-key}]}, {authorize: {groups: [beta]}}]", consumers);
  Bench::Call call(bench);
  call.request.headers.add("x-key", "secret");
  EXPECT_EQ(bench.answer(call).status, 200);
}

TEST(Authorize, RefusesNamesThatAreNobodys) {
  auto says = [](const char* lists) {
    return Bench("[{authenticate: [{api_key: x-key}]}, {authorize: " + std::string(lists) + "}]", consumers).messages;
  };
  EXPECT_EQ(says("{consumers: [acne]}"), "there is no consumer \"acne\"\n");
  EXPECT_EQ(says("{groups: [partners, staf]}"), "no consumer is in a group \"staf\"\n");
  EXPECT_EQ(says("{consumers: [acme], groups: [staff]}"), "");
}

TEST(Authorize, RefusesListsThatNobodyIsOn) {
  EXPECT_NE(Bench("[{authorize: {}}]").messages, "");
  EXPECT_NE(Bench("[{authorize: {groups: []}}]").messages, "");
  EXPECT_NE(Bench("[{authorize: {scopes: [a]}}]").messages.find("not in this version"), std::string::npos);
}

}  // namespace
}  // namespace portloom::policy
