// Tests of SRV records as a name server writes them, and of what their weights become.
#include "upstream/srv_records.h"

#include <gtest/gtest.h>

namespace portloom::upstream {
namespace {

std::string two(unsigned number) { return {static_cast<char>(number >> 8), static_cast<char>(number & 255)}; }

std::string name(std::string_view text) {
  std::string encoded;
  while (!text.empty()) {
    std::string_view label = text.substr(0, text.find('.'));
    text.remove_prefix(std::min(text.size(), label.size() + 1));
    encoded += static_cast<char>(label.size());
    encoded += label;
  }
  return encoded + '\0';
}

std::string record(unsigned type, std::string_view data, unsigned ttl = 60, std::string_view owner = "\xc0\x0c") {
  return std::string(owner) + two(type) + two(1) + two(ttl >> 16) + two(ttl & 0xffff) + two(static_cast<unsigned>(data.size())) +
         std::string(data);
}

std::string srv(unsigned priority, unsigned weight, unsigned port, std::string_view host, unsigned ttl = 60) {
  return record(33, two(priority) + two(weight) + two(port) + name(host), ttl);
}

std::string message(const std::vector<std::string>& answers, unsigned count = 0) {
  std::string text = two(7) + two(0x8180) + two(1) + two(count == 0 ? static_cast<unsigned>(answers.size()) : count) + two(0) + two(0);
  text += name("_http._tcp.shop.test") + two(33) + two(1);
  for (const std::string& answer : answers) text += answer;
  return text;
}

std::optional<SrvTargets> parse(const std::string& text) {
  return parse_srv({reinterpret_cast<const unsigned char*>(text.data()), text.size()});
}

TEST(SrvRecords, AreReadSortedWithTheShortestTime) {
  std::optional<SrvTargets> found =
      parse(message({srv(20, 0, 81, "B.shop.test"), record(5, name("other.test"), 9), srv(10, 5, 80, "a.shop.test", 30),
                     srv(10, 5, 80, "a.shop.test", 30), record(1, "\x0a\x01\x01\x01", 1)}));
  ASSERT_TRUE(found.has_value());
  ASSERT_EQ(found->list.size(), 2u);
  EXPECT_EQ(found->list[0], (SrvTarget{.priority = 10, .host = "a.shop.test", .port = 80, .weight = 5}));
  EXPECT_EQ(found->list[1], (SrvTarget{.priority = 20, .host = "b.shop.test", .port = 81, .weight = 0}));
  EXPECT_EQ(found->ttl, 9s);
}

TEST(SrvRecords, NoServiceAndNoHostAreLeftOut) {
  std::optional<SrvTargets> found =
      parse(message({srv(0, 0, 0, ""), srv(0, 0, 0, "a.test"), srv(0, 0, 80, "a b.test"), srv(0, 0, 80, "a\n.test")}));
  ASSERT_TRUE(found.has_value());
  EXPECT_TRUE(found->list.empty());
}

TEST(SrvRecords, WhatIsCutOrLoopsIsNone) {
  std::string whole = message({srv(1, 2, 80, "a.shop.test"), srv(1, 2, 81, "b.shop.test")});
  for (size_t size = 0; size < whole.size(); ++size) EXPECT_FALSE(parse(whole.substr(0, size)).has_value()) << size;
  EXPECT_FALSE(parse(message({srv(1, 2, 80, "a.test")}, 2)).has_value());  // says more than there is
  std::string loop = message({record(33, two(1) + two(2) + two(80) + "\xc0\x0c")});
  EXPECT_TRUE(parse(loop).has_value());  // a name may be written elsewhere
  std::string self = message({});
  self[7] = 1;
  self += std::string("\xc0") + static_cast<char>(self.size());  // it is at itself
  EXPECT_FALSE(parse(self + two(33) + two(1) + two(0) + two(1) + two(0)).has_value());
  std::string longer = message({record(33, two(1) + two(2) + two(80) + name("a.test") + "x")});
  EXPECT_FALSE(parse(longer).has_value());
}

TEST(SrvRecords, WeightsBecomeSharesOfTheLargest) {
  auto weight = [](uint16_t own, uint16_t most, size_t addresses) { return weight_of({.weight = own}, most, addresses); };
  EXPECT_EQ(weight(0, 0, 1), 1000u);
  EXPECT_EQ(weight(65535, 65535, 1), 1000u);
  EXPECT_EQ(weight(0, 65535, 1), 1u);
  EXPECT_EQ(weight(30, 60, 1), 500u);
  EXPECT_EQ(weight(60, 60, 4), 250u);  // a host's share is that of all its addresses
  EXPECT_EQ(weight(1, 60000, 9), 1u);
}

}  // namespace
}  // namespace portloom::upstream
