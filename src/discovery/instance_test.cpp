// Tests of Instance's form on the wire: what is read back, and what a registration may not say.
#include "discovery/instance.h"

#include <gtest/gtest.h>

namespace portloom::discovery {
namespace {

std::string wrong(std::string_view text) {
  std::expected<Registration, std::string> read = read_registration(text);
  return read ? "nothing" : read.error();
}

TEST(Instance, IsReadBackAsItWasWritten) {
  Instance one{.id = "a-1",
               .address = *io::Address::parse("[2001:db8::1]:8080"),
               .weight = 7,
               .zone = "eu \"1\"",
               .version = "v2",
               .metadata = R"({"a": [1, {"b": "}"}]})",
               .draining = true};
  std::string text;
  data::JsonWriter json(text);
  write_instance(json, one);
  EXPECT_EQ(text, R"({"id":"a-1","address":"2001:db8::1","port":8080,"weight":7,"state":"draining","zone":"eu \"1\"",)"
                  R"("version":"v2","metadata":{"a": [1, {"b": "}"}]}})");
  std::expected<Instance, std::string> read = read_instance(text);
  ASSERT_TRUE(read) << read.error();
  EXPECT_EQ(*read, one);
}

TEST(Instance, OfALaterVersionIsUnderstood) {
  EXPECT_TRUE(read_instance(R"({"id":"a","address":"10.0.0.1","port":1,"colour":["blue"]})"));
  EXPECT_FALSE(read_instance(R"({"address":"10.0.0.1","port":1})"));
  EXPECT_FALSE(read_instance(R"({"id":"a","port":1})"));
}

TEST(Registration, HasDefaults) {
  std::expected<Registration, std::string> read = read_registration(R"( {"port" : 80} )");
  ASSERT_TRUE(read) << read.error();
  EXPECT_FALSE(read->has_address);
  EXPECT_EQ(read->instance.address.port(), 80);
  EXPECT_EQ(read->ttl, 15s);
  EXPECT_EQ(read->instance.weight, 1u);
  EXPECT_FALSE(read->instance.draining);
}

TEST(Registration, SaysWhatIsWrongWithIt) {
  EXPECT_EQ(wrong(""), "not JSON: there is no value at byte 0");
  EXPECT_EQ(wrong("[1]"), "expected a JSON object");
  EXPECT_EQ(wrong("{}"), "\"port\" is missing");
  EXPECT_EQ(wrong(R"({"port":0})"), "\"port\": expected a whole number from 1 to 65535");
  EXPECT_EQ(wrong(R"({"port":65536})"), "\"port\": expected a whole number from 1 to 65535");
  EXPECT_EQ(wrong(R"({"port":"80"})"), "\"port\": expected a whole number from 1 to 65535");
  EXPECT_EQ(wrong(R"({"port":1,"weight":1.5})"), "\"weight\": expected a whole number from 1 to 1000");
  EXPECT_EQ(wrong(R"({"port":1,"address":"shop.test"})"), "\"address\": expected an IP address, found \"shop.test\"");
  EXPECT_EQ(wrong(R"({"port":1,"address":"unix:/run/x"})"), "\"address\": expected an IP address, found \"unix:/run/x\"");
  EXPECT_EQ(wrong(R"({"port":1,"ttl":15})"), "\"ttl\": expected a text");
  EXPECT_EQ(wrong(R"({"port":1,"ttl":"15"})"), "\"ttl\": expected a duration with its unit, for instance \"15s\"");
  EXPECT_EQ(wrong(R"({"port":1,"ttl":"1ms"})"), "\"ttl\": from 1s to 1h");
  EXPECT_EQ(wrong(R"({"port":1,"zone":"\ud800"})"), "\"zone\": expected a text");
  EXPECT_EQ(wrong(R"({"port":1,"zone":"a\nb"})"), "\"zone\": control characters");
  EXPECT_EQ(wrong(R"({"port":1,"metadata":[]})"), "\"metadata\": expected an object");
  EXPECT_EQ(wrong(R"({"port":1,"prot":1})"), "unknown member \"prot\"");
  EXPECT_EQ(wrong(R"({"port":1,"metadata":{"a":")" + std::string(metadata_max, 'x') + "\"}}"), "\"metadata\": at most 4096 bytes");
  EXPECT_EQ(wrong(R"({"port":1,"zone":")" + std::string(129, 'x') + "\"}"), "\"zone\": at most 128 bytes");
}

}  // namespace
}  // namespace portloom::discovery
