// Tests of what does not travel further (R7 l).
#include "http/hop_by_hop.h"

#include <gtest/gtest.h>

#include <string>

namespace portloom::http {

namespace {

std::string names(const Headers& headers) {
  std::string text;
  for (auto field : headers) text.append(field.name).append(" ");
  return text;
}

}  // namespace

TEST(HopByHop, NamedAndWellKnownFieldsGo) {
  Headers headers;
  for (const char* name :
       {"Host", "X-Mine", "Keep-Alive", "X-Stays", "Proxy-Connection", "Transfer-Encoding", "Upgrade", "Proxy-Authorization", "X-Other"})
    headers.add(name, "v");
  headers.add(Name::connection, "close, x-mine ,, keep-alive");
  headers.add(Name::te, "gzip, Trailers");
  headers.add(Name::connection, "X-Other");  // a second Connection counts as well
  HopByHop said = strip_hop_by_hop(headers);
  EXPECT_TRUE(said.te_trailers);
  EXPECT_EQ(names(headers), "Host X-Stays ");
}

TEST(HopByHop, AClientCannotTakeOffWhatWeRelyOn) {
  Headers headers;
  std::string kept;
  for (const char* name :
       {"Host", "Content-Length", "X-Forwarded-For", "X-Forwarded-Anything", "Forwarded", "Via", "Authorization", "Cookie", "traceparent",
        "Cache-Control", "grpc-timeout", "Content-Disposition", "X-Request-Id", "X-Real-IP", "Origin"}) {
    headers.add(name, "v");
    kept.append(name).append(" ");
  }
  std::string all;
  for (auto field : headers) all.append(field.name).append(",");
  headers.add(Name::connection, all);
  strip_hop_by_hop(headers);
  EXPECT_EQ(names(headers), kept);
}

TEST(HopByHop, UpgradeStaysWhenItIsOne) {
  Headers headers;
  headers.add(Name::connection, "Upgrade");
  headers.add(Name::upgrade, "websocket");
  headers.add("Sec-WebSocket-Key", "k");
  strip_hop_by_hop(headers, true);
  EXPECT_EQ(names(headers), "Upgrade Sec-WebSocket-Key ");
}

TEST(HopByHop, MoreOptionsThanFramingAllowsAreNoHarm) {
  Headers headers;
  std::string options;
  for (int i = 0; i < 200; ++i) options.append("x").append(std::to_string(i)).append(",");
  headers.add(Name::connection, options);
  headers.add(Name::connection, options);
  headers.add("X0", "v");
  strip_hop_by_hop(headers);
  EXPECT_TRUE(headers.empty());
}

}  // namespace portloom::http
