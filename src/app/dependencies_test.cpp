// Tests of what routes and compositions depend on, as their configuration says it.
#include "app/dependencies.h"

#include <gtest/gtest.h>

#include "app/wiring.h"
#include "config/load.h"

namespace portloom::app {
namespace {

TEST(Dependencies, FollowWhatIsWritten) {
  config::Loaded loaded = config::load_text("t.yaml", R"(version: 1
listeners: {edge: {address: "127.0.0.1:0"}}
services: {a: {endpoints: ["10.0.0.1:1"]}, b: {endpoints: ["10.0.0.1:2"]}}
compositions:
  outer:
    calls:
      one: {service: a, path: /}
      two: {service: a, path: /, fallback: [{service: b, path: /}, {value: 1}]}
      three: {service: a, path: /, fallback: [{service: b, path: /}]}
      four: {composition: inner, fallback: [{omit: true}]}
  inner: {calls: {five: {service: b, path: /, fallback: [{stale: 1m}]}}}
routes:
  - match: {path_prefix: /api}
    objective: {latency: 300ms}
    routes:
      - {name: plain, match: {method: GET}, to: a}
      - {name: own, match: {method: POST}, objective: {latency: 1s}, to: {split: [{service: a, share: 90%}, {service: b, share: 10%}]}}
  - {name: fixed, match: {path: /health}, to: {response: {status: 200}}}
  - {name: page, match: {path: /page}, to: {composition: outer}}
  - {name: inline, match: {path: /inline}, to: {composition: {calls: {six: {service: a, path: /}}}}}
)",
                                            make_catalogue());
  ASSERT_TRUE(loaded) << data::render(loaded.problems);
  telemetry::Dependencies all = dependencies_of(*loaded.document);
  ASSERT_EQ(all.compositions.size(), 3u);
  EXPECT_EQ(all.compositions[0].name, "inner");  // before the one that asks it
  const auto& calls = all.compositions[1].calls;
  ASSERT_EQ(calls.size(), 4u);
  EXPECT_TRUE(calls[0].required);
  EXPECT_FALSE(calls[1].required || calls[2].required || calls[3].required);
  EXPECT_TRUE(calls[1].stand_ins.empty());
  EXPECT_EQ(calls[2].stand_ins, std::vector<std::string>{"b"});
  EXPECT_EQ(calls[3].composition, "inner");
  EXPECT_TRUE(all.compositions[0].calls[0].stand_ins.empty());
  ASSERT_EQ(all.routes.size(), 5u);
  EXPECT_EQ(all.routes[0].latency, 300ms);  // the group's
  EXPECT_EQ(all.routes[0].sides[0].service, "a");
  EXPECT_EQ(all.routes[1].latency, 1s);
  EXPECT_DOUBLE_EQ(all.routes[1].sides[1].share, 0.1);
  EXPECT_TRUE(all.routes[2].sides.empty() && all.routes[2].composition.empty());
  EXPECT_EQ(all.routes[2].latency, Duration{});
  EXPECT_EQ(all.routes[3].composition, "outer");
  EXPECT_EQ(all.routes[4].composition, "routes[3].to.composition");
  EXPECT_EQ(all.compositions[2].name, "routes[3].to.composition");
}

}  // namespace
}  // namespace portloom::app
