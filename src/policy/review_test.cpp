// policy/review_test.cpp
//
// What is legal and unwise where it stands: said once, at the place that should change.
#include "policy/review.h"

#include <gtest/gtest.h>

#include "config/load.h"
#include "policy/build.h"

namespace portloom::policy {
namespace {

const std::string authenticate = "{authenticate: [{api_key: x-key}]}";

// The messages for a listener with these policies and a route with these, which leads to a service with those.
std::string said(const std::string& listener, const std::string& route, const std::string& service = "[]",
                 const std::string& match = "path: /a", const std::string& more = "") {
  config::Catalogue catalogue;
  add_policies(catalogue);
  config::Loaded loaded = config::load_text("f",
                                            "version: 1\nlisteners:\n  edge: {port: 1, policies: " + listener +
                                                "}\nservices:\n  s: {endpoints: [\"a:1\"], policies: " + service +
                                                "}\nroutes:\n  - {match: {" + match + "}, policies: " + route + ", to: s" + more +
                                                "}\n  - {match: {path: /b}, policies: " + route + ", to: s" + more + "}\n",
                                            catalogue);
  std::string text;
  for (const data::ConfigProblem& problem : loaded.problems)
    text += std::to_string(problem.line) + ": " + problem.message + (problem.hint.empty() ? "" : "; " + problem.hint) + "\n";
  return text;
}

TEST(Review, SaysNothingAboutWhatIsWise) {
  EXPECT_EQ(said("[{cors: {origins: [\"https://a.example\"]}}, " + authenticate +
                     ", {rate_limit: {requests: 1, per: 1m, key: consumer}}, {timeout: 30s}]",
                 "[{timeout: 10s}]", "[{timeout: 2s}, {retry: {attempts: 2}}]"),
            "");
}

TEST(Review, CorsBehindAuthenticate) {
  EXPECT_EQ(said("[" + authenticate + ", {cors: {origins: [\"https://a.example\"]}}]", "[]"),
            "3: a preflight carries no credentials: the `authenticate` at f:3 refuses it before `cors` is asked; write cors before it\n");
  EXPECT_EQ(said("[" + authenticate + "]", "[{cors: {origins: [\"https://a.example\"]}}]", "[]", "path: /a", ", skip: [authenticate]"), "");
}

TEST(Review, CorsWhereNoPreflightComes) {
  EXPECT_EQ(said("[]", "[{cors: {origins: [\"https://a.example\"]}}]", "[]", "path: /a, method: [GET, POST]"),
            "7: no preflight comes here: the route takes no OPTIONS; write cors at the listener, or OPTIONS among the methods\n");
}

TEST(Review, WhoeverAsksForTheCallerBeforeItIsKnown) {
  EXPECT_EQ(said("[{rate_limit: {requests: 1, per: 1m, key: consumer || tenant}}]", "[]"),
            "3: nobody finds out who calls: the consumer is never there; write authenticate before it\n");
  EXPECT_EQ(said("[{rate_limit: {requests: 1, per: 1m, key: consumer || client.address}}]", "[]"), "");
  EXPECT_EQ(said("[]", "[" + authenticate + ", {rate_limit: {requests: 1, per: 1m, key: consumer.plan}}]"), "");
}

TEST(Review, ARouteThatSkipsAuthenticate) {
  config::Catalogue catalogue;
  add_policies(catalogue);
  auto text = [&](const std::string& policy) {
    config::Loaded loaded =
        config::load_text("f",
                          "version: 1\nlisteners:\n  edge: {port: 1, policies: [" + authenticate + ", " + policy +
                              "]}\nservices: {s: {endpoints: [\"a:1\"]}}\nconsumers: {c: {}}\nroutes:\n  - {match: {path: /a}, "
                              "to: s}\n  - {match: {path: /b}, skip: [authenticate], to: s}\n",
                          catalogue);
    return loaded.problems.empty() ? "" : loaded.problems[0].message;
  };
  EXPECT_EQ(text("{rate_limit: {requests: 1, per: 1m, key: consumer}}"), "");  // a stranger is counted by the address
  EXPECT_EQ(text("{authorize: {consumers: c}}"), "nobody finds out who calls: `authorize` refuses every request");
}

TEST(Review, RetriesOnTwoLevels) {
  EXPECT_EQ(said("[{retry: {attempts: 2}}]", "[]", "[{retry: {attempts: 3}}]"),
            "3: retries on two levels: with the one at f:5 a request is sent up to 6 times; write retry at the service alone\n");
  EXPECT_EQ(said("[{retry: {attempts: 2}}]", "[]"),
            "3: retries on two levels: with the service's usual one a request is sent up to 4 times; write retry at the service alone\n");
  EXPECT_EQ(said("[{retry: {attempts: 2}}]", "[]", "[{retry: {attempts: 1}}]"), "");
}

TEST(Review, ATimeoutLongerThanItsParents) {
  EXPECT_EQ(said("[{timeout: 5s}]", "[{timeout: 10s}]"),
            "7: this timeout of 10s never ends anything: the one of 5s at f:3 ends first; the outer one is the longer one\n"
            "8: this timeout of 10s never ends anything: the one of 5s at f:3 ends first; the outer one is the longer one\n");
  EXPECT_EQ(said("[]", "[{timeout: 5s}]", "[{timeout: 6s}]"),
            "5: this timeout of 6s never ends anything: the one of 5s at f:7 ends first; the outer one is the longer one\n");
  EXPECT_EQ(said("[]", "[]", "[{timeout: 20s}]"),
            "5: this timeout of 20s never ends anything: a route has one of 15s unless it says otherwise; write the longer timeout at the "
            "route\n");
  EXPECT_EQ(said("[]", "[{timeout: 20s}]", "[{timeout: 20s}]"), "");
}

}  // namespace
}  // namespace portloom::policy
