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
  EXPECT_EQ(bench.service.seen[1].headers.size(), 2u);  // and which attempt it is
}

TEST(HeaderFields, DoubledBracesAreLiteral) {
  Bench bench(R"([{headers: {request: {set: {x-a: "{{a}}"}}}}])");
  EXPECT_EQ(bench.messages, "");
  EXPECT_EQ(bench.get().status, 200);
  EXPECT_EQ(bench.service.seen[0].headers.find("x-a"), "{a}");
}

TEST(HeaderFields, ValuesAreComputedFromTheRequestAsItCame) {
  Bench bench(R"([{headers: {request: {set: {x-a: "{headers.x-b}", x-b: "{headers.x-a}", x-who: "{client.address} {request.method}"},
                                       add: {x-c: "{query.c}"}, remove: [x-a]}}}])");
  ASSERT_EQ(bench.messages, "");
  Bench::Call call(bench);
  CHECK(call.request.assign("GET", "/?c=%20one%20"));
  for (auto [name, value] : {std::pair("X-A", "a"), std::pair("X-B", "b"), std::pair("X-C", "one")}) call.request.headers.add(name, value);
  EXPECT_EQ(bench.answer(call).status, 200);
  const http::Headers& seen = bench.service.seen[0].headers;
  EXPECT_EQ(seen.find("x-a"), "b");
  EXPECT_EQ(seen.find("x-b"), "a");
  EXPECT_EQ(seen.find("x-who"), "192.0.2.1 GET");
  EXPECT_EQ(seen.find("x-c"), "one");  // it is there already
  EXPECT_EQ(seen.size(), 4u);
}

TEST(HeaderFields, AFieldWhoseValueIsMissingIsLeftOut) {
  Bench bench(R"([{headers: {request: {set: {x-a: "{query.a}", x-b: "{query.b || 'none'}"}, add: {x-c: "is {query.c}"}}}}])");
  Bench::Call call(bench);
  call.request.headers.add("X-A", "from outside");
  EXPECT_EQ(bench.answer(call).status, 200);
  const http::Headers& seen = bench.service.seen[0].headers;
  EXPECT_EQ(seen.find("x-a"), std::nullopt);
  EXPECT_EQ(seen.find("x-b"), "none");
  EXPECT_EQ(seen.size(), 1u);
}

TEST(HeaderFields, AValueCannotBecomeASecondField) {
  Bench bench(R"([{headers: {request: {set: {x-a: "{query.a}"}}}}])");
  Bench::Call call(bench);
  CHECK(call.request.assign("GET", "/?a=b%0D%0Ax-admin:%201"));
  EXPECT_EQ(bench.answer(call).status, 400);
  EXPECT_EQ(call.exchange.record.policy, "headers");
  EXPECT_TRUE(bench.service.seen.empty());
  Bench back(R"([{headers: {response: {set: {x-a: "{query.a}"}}}}])");
  Bench::Call other(back);
  CHECK(other.request.assign("GET", "/?a=b%0D%0Ax-admin:%201"));
  EXPECT_EQ(back.answer(other).headers.find("x-a"), std::nullopt);  // nothing is lost but the field
}

TEST(HeaderFields, AnAnswersValuesAreThoseOnTheWayBack) {
  Bench bench(R"([{headers: {response: {set: {x-consumer: "{consumer}", x-request: "{request.id}"}}}}])");
  Bench::Call call(bench);
  call.exchange.identity.consumer = "acme";
  std::string_view id = "7f3a";
  std::copy(id.begin(), id.end(), call.exchange.record.request_id.begin());
  call.exchange.record.request_id_size = static_cast<uint8_t>(id.size());
  pipeline::Response response = bench.answer(call);
  EXPECT_EQ(response.headers.find("x-consumer"), "acme");
  EXPECT_EQ(response.headers.find("x-request"), "7f3a");
}

TEST(HeaderFields, RefusesWhatIsNotAUsersToChange) {
  for (const char* name :
       {"Content-Length", "transfer-encoding", "connection", "TE", "Trailer", "Upgrade", "host", "Via", "X-Forwarded-For", "a b", ""})
    EXPECT_FALSE(is_changeable_field(name)) << name;
  EXPECT_TRUE(is_changeable_field("content-type"));
  EXPECT_NE(Bench("[{headers: {request: {set: {Content-Length: \"1\"}}}}]").messages, "");
  EXPECT_NE(Bench("[{headers: {response: {remove: [Connection]}}}]").messages, "");
  EXPECT_NE(Bench(R"([{headers: {request: {set: {x-user: "{claims.sub}"}}}}])").messages.find("not in this version"), std::string::npos);
  EXPECT_NE(Bench(R"([{headers: {request: {set: {x-user: "{request.ip}"}}}}])").messages.find("there is no request.ip"), std::string::npos);
  EXPECT_NE(Bench(R"([{headers: {request: {set: {x-a: "{query.a}\r\nb: c"}}}}])").messages, "");
  EXPECT_NE(Bench(R"([{headers: {request: {set: {x-a: "a\r\nb: c"}}}}])").messages, "");
}

}  // namespace
}  // namespace portloom::policy
