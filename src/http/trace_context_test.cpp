// Trace Context: what is taken, what is begun anew, and that tracestate never outlives its traceparent.
#include "http/trace_context.h"

#include <gtest/gtest.h>

namespace portloom::http {
namespace {

constexpr std::string_view good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

struct Trace : testing::Test {
  Headers headers;
  Random random{1};
  std::string_view parent() const { return *headers.find(Name::traceparent); }
};

TEST_F(Trace, WhatIsValidGoesOnUnchanged) {
  headers.add("Traceparent", good);
  headers.add("tracestate", "vendor=1");
  headers.add("tracestate", "other=2");
  TraceParent trace = continue_trace(headers, random, false);
  EXPECT_EQ(trace.trace(), "0af7651916cd43dd8448eb211c80319c");
  EXPECT_TRUE(trace.sampled);
  EXPECT_EQ(parent(), good);
  EXPECT_EQ(headers.count(Name::tracestate), 2u);
}

TEST_F(Trace, WhereThereIsNoneOneBegins) {
  headers.add("tracestate", "orphan=1");
  TraceParent trace = continue_trace(headers, random, true);
  EXPECT_EQ(parent().size(), 55u);
  EXPECT_EQ(parent().substr(3, 32), trace.trace());
  EXPECT_TRUE(parent().ends_with("-01"));
  EXPECT_TRUE(parse_traceparent(parent()));
  EXPECT_FALSE(headers.contains(Name::tracestate));

  Headers next;
  EXPECT_NE(continue_trace(next, random, false).trace(), trace.trace());
  EXPECT_TRUE(next.find(Name::traceparent)->ends_with("-00"));
}

TEST_F(Trace, WhatCannotBeReadIsReplacedWithItsState) {  // §3.4
  for (std::string_view bad :
       {"", "00", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331", "00-0AF7651916CD43DD8448EB211C80319C-B7AD6B7169203331-01",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01", "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0g", "00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01.more"}) {
    EXPECT_FALSE(parse_traceparent(bad)) << bad;
    Headers received;
    received.add("traceparent", bad);
    received.add("tracestate", "vendor=1");
    continue_trace(received, random, false);
    EXPECT_EQ(received.count(Name::traceparent), 1u);
    EXPECT_TRUE(parse_traceparent(*received.find(Name::traceparent))) << bad;
    EXPECT_NE(received.find(Name::traceparent)->substr(3, 32), "0af7651916cd43dd8448eb211c80319c") << bad;
    EXPECT_FALSE(received.contains(Name::tracestate)) << bad;
  }
}

TEST_F(Trace, OfTwoNeitherIsTaken) {
  headers.add("traceparent", good);
  headers.add("traceparent", "00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
  EXPECT_NE(continue_trace(headers, random, false).trace(), "0af7651916cd43dd8448eb211c80319c");
  EXPECT_EQ(headers.count(Name::traceparent), 1u);
}

TEST_F(Trace, ALaterVersionIsReadAsFarAsOursGoes) {  // §4.3: and written as ours
  headers.add("traceparent", "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-ff-what-comes");
  headers.add("tracestate", "vendor=1");
  EXPECT_EQ(continue_trace(headers, random, false).trace(), "0af7651916cd43dd8448eb211c80319c");
  EXPECT_EQ(parent(), good);
  EXPECT_TRUE(headers.contains(Name::tracestate));
}

TEST_F(Trace, UnknownFlagsAreNotPassedOn) {
  headers.add("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-06");
  EXPECT_FALSE(continue_trace(headers, random, true).sampled);
  EXPECT_TRUE(parent().ends_with("b7ad6b7169203331-00"));
}

}  // namespace
}  // namespace portloom::http
