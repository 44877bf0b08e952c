// Tests of headers: what is changed, on which answers, and what may not be.
#include "policy/bench_for_tests.h"
#include "policy/field_names.h"

namespace portloom::policy {
namespace {

TEST(HeaderFields, ChangesTheRequestBeforeItGoesOn) {
  Bench bench("[{headers: {request: {set: {x-a: one}, add: {x-b: two}, remove: [x-c]}}}]");
  Bench::Call call(bench);
  call.request.headers.add("X-A", "old");
  call.request.headers.add("X-B", "old");
  call.request.headers.add("X-C", "old");
  EXPECT_EQ(bench.answer(call).status, 200);
  const http::Headers& seen = bench.service.seen[0].headers;
  EXPECT_EQ(seen.find("x-a"), "one");
  EXPECT_EQ(seen.find("x-b"), "old");
  EXPECT_EQ(seen.find("x-c"), std::nullopt);
  EXPECT_EQ(seen.size(), 3u);
}

TEST(HeaderFields, ChangesWhateverAnswerComesBack) {
  Bench bench("[{headers: {response: {set: {x-frame-options: DENY}, remove: [server]}}}]");
  bench.service.script = {{.status = 502, .fault = Error{Code::refused, Side::upstream, Progress::nothing, {}}, .after = 1s}};
  pipeline::Response response = bench.get();
  EXPECT_EQ(response.status, 502);
  EXPECT_EQ(response.headers.find("X-Frame-Options"), "DENY");
}

TEST(HeaderFields, ARepeatedCallDoesNotAddTwice) {
  Bench bench("[{retry: {attempts: 2}}, {headers: {request: {add: {x-a: one}}}}]");
  bench.service.script = {{.status = 502, .fault = Error{Code::refused, Side::upstream, Progress::nothing, {}}}};
  EXPECT_EQ(bench.get().status, 200);
  ASSERT_EQ(bench.service.seen.size(), 2u);
  EXPECT_EQ(bench.service.seen[1].headers.size(), 1u);
}

TEST(HeaderFields, DoubledBracesAreLiteral) {
  Bench bench(R"([{headers: {request: {set: {x-a: "{{a}}"}}}}])");
  EXPECT_EQ(bench.messages, "");
  EXPECT_EQ(bench.get().status, 200);
  EXPECT_EQ(bench.service.seen[0].headers.find("x-a"), "{a}");
}

TEST(HeaderFields, RefusesWhatIsNotAUsersToChange) {
  for (const char* name :
       {"Content-Length", "transfer-encoding", "connection", "TE", "Trailer", "Upgrade", "host", "Via", "X-Forwarded-For", "a b", ""})
    EXPECT_FALSE(is_changeable_field(name)) << name;
  EXPECT_TRUE(is_changeable_field("content-type"));
  EXPECT_NE(Bench("[{headers: {request: {set: {Content-Length: \"1\"}}}}]").messages, "");
  EXPECT_NE(Bench("[{headers: {response: {remove: [Connection]}}}]").messages, "");
  EXPECT_NE(Bench(R"([{headers: {request: {set: {x-user: "{claims.sub}"}}}}])").messages.find("not in this version"), std::string::npos);
  EXPECT_NE(Bench(R"([{headers: {request: {set: {x-a: "a\r\nb: c"}}}}])").messages, "");
}

}  // namespace
}  // namespace portloom::policy
