// What a composition's record says of each call: whom it speaks for and against, and which call of which composition it was.
#include "testing/kitchen.h"

namespace portloom::compose {
namespace {

using testing::Kitchen;
using enum pipeline::Record::Verdict;

const pipeline::Record::Call& line(const Kitchen& kitchen, size_t index) { return *kitchen.exchange->record.subcalls.at(index); }

// Of one call to a service that does this.
pipeline::Record::Verdict verdict(const std::function<void(testing::Cook&)>& does, std::string_view more = {}) {
  Kitchen kitchen{"    calls:\n      x: {service: a, path: /, fallback: [{value: null}]" + std::string(more) + "}\n"};
  kitchen.cooks["a"].body = "1";
  does(kitchen.cooks["a"]);
  kitchen.said();
  EXPECT_EQ(line(kitchen, 0).part, "x");
  EXPECT_EQ(line(kitchen, 0).part_of, "home");
  EXPECT_EQ(kitchen.exchange->record.call.ran, "home");
  return line(kitchen, 0).verdict;
}

TEST(Verdict, IsAboutTheService) {
  EXPECT_EQ(verdict([](testing::Cook&) {}), delivered);
  EXPECT_EQ(verdict([](testing::Cook& a) { a.status = 503; }), failed);
  EXPECT_EQ(verdict([](testing::Cook& a) { a.status = 404; }), excused);
  EXPECT_EQ(verdict([](testing::Cook& a) { a.status = 429; }), excused);
  EXPECT_EQ(verdict([](testing::Cook& a) { a.body = "<html>"; }), failed);
  EXPECT_EQ(verdict([](testing::Cook& a) { a.breaks = true; }), failed);
  EXPECT_EQ(verdict([](testing::Cook& a) { a.fault = Error{Code::refused, Side::upstream}; }), failed);
  EXPECT_EQ(verdict([](testing::Cook& a) { a.fault = Error{Code::breaker_open, Side::upstream}; }), failed);
  EXPECT_EQ(verdict([](testing::Cook& a) { a.fault = Error{Code::overloaded, Side::gateway}; }), excused);
  EXPECT_EQ(verdict([](testing::Cook& a) { a.after = 1s; }, ", timeout: 300ms"), failed);
}

TEST(Verdict, OfACallThatWasDroppedThereIsNone) {
  Kitchen kitchen{"    calls:\n      x: {service: a, path: /}\n      y: {service: b, path: /}\n"};
  kitchen.cooks["a"].status = 500;
  kitchen.cooks["b"].after = 1s;
  EXPECT_EQ(kitchen.said(), "502 failed: x");
  EXPECT_EQ(line(kitchen, 0).verdict, failed);
  EXPECT_EQ(line(kitchen, 1).part, "y");
  EXPECT_EQ(line(kitchen, 1).verdict, unknown);
}

TEST(Verdict, ACallThatIsNotMadeHasNoLine) {
  Kitchen kitchen{
      "    calls:\n      x: {service: a, path: /, when: query.deep}\n"
      "      y: {service: b, path: \"/{x.id}\", fallback: [{value: null}]}\n"
      "      z: {service: c, path: /}\n"};
  kitchen.cooks["c"].body = "1";
  kitchen.said();
  ASSERT_EQ(kitchen.exchange->record.subcalls.size(), 1u);  // y lacked what it needs, and asked nobody
  EXPECT_EQ(line(kitchen, 0).part, "z");
}

TEST(Verdict, WhatStandsInSpeaksForItsServiceAlone) {
  Kitchen kitchen{"    calls:\n      x: {service: a, path: /, fallback: [{service: b, path: /}]}\n"};
  kitchen.cooks["a"].status = 500;
  kitchen.cooks["b"].body = "1";
  kitchen.said();
  EXPECT_EQ(line(kitchen, 1).part, "");
  EXPECT_EQ(line(kitchen, 1).verdict, delivered);
  EXPECT_TRUE(kitchen.exchange->record.call.degraded);
}

TEST(Verdict, AnInnerCompositionIsACallThatRanOne) {
  Kitchen kitchen{"    calls:\n      in: {composition: inner}\n",
                  "  inner:\n    calls:\n      x: {service: a, path: /, fallback: [{value: 1}]}\n"};
  kitchen.cooks["a"].status = 500;
  kitchen.said();
  EXPECT_EQ(line(kitchen, 0).part, "in");
  EXPECT_EQ(line(kitchen, 0).ran, "inner");
  EXPECT_TRUE(line(kitchen, 0).degraded);
  EXPECT_EQ(line(kitchen, 0).verdict, delivered);
  EXPECT_EQ(line(kitchen, 1).part_of, "inner");
  EXPECT_EQ(kitchen.exchange->record.call.ran, "home");
  EXPECT_TRUE(kitchen.exchange->record.call.degraded);
}

}  // namespace
}  // namespace portloom::compose
