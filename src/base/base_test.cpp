// Tests of base/: durations as text, the nearest word, byte slices.
#include <gtest/gtest.h>

#include "base/base64.h"
#include "base/bytes.h"
#include "base/duration.h"
#include "base/error.h"
#include "base/text.h"

namespace portloom {

TEST(Duration, ReadsUnitsAndNothingElse) {
  EXPECT_EQ(parse_duration("3s"), Duration{3s});
  EXPECT_EQ(parse_duration("250ms"), Duration{250ms});
  EXPECT_EQ(parse_duration("1h30m"), Duration{90min});
  for (const char* text : {"", "3", "s", "3 s", "-3s", "1s1h", "1s1s", "3S", "1.5s", "99999999999999999999s", "999999d"})
    EXPECT_EQ(parse_duration(text), std::nullopt) << text;
}

TEST(Duration, WritesWhatItReads) {
  for (const char* text : {"0s", "1ns", "250ms", "1h30m", "1d2h3m4s5ms6us7ns"}) EXPECT_EQ(format_duration(*parse_duration(text)), text);
}

TEST(Text, NearestWordToleratesTransposition) {
  EXPECT_EQ(nearest("enpdoints", {"endpoints", "policies"}), "endpoints");
  EXPECT_EQ(nearest("banana", {"endpoints", "policies"}), std::nullopt);
}

TEST(Bytes, SlicesShareTheBlockAndOutliveTheWhole) {
  Bytes part;
  {
    Bytes whole = Bytes::copy("hello world");
    part = whole.slice(6, 5);
  }
  EXPECT_EQ(part.view(), "world");
  part.remove_prefix(1);
  EXPECT_EQ(part.view(), "orld");
}

TEST(Base64, BothWays) {
  for (auto [bytes, text] : std::vector<std::pair<std::string_view, std::string_view>>{
           {"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"foob", "Zm9vYg=="}, {"\xff\xfe\xfd", "//79"}}) {
    EXPECT_EQ(to_base64(bytes), text);
    EXPECT_EQ(from_base64(text), bytes) << text;
  }
  for (std::string_view bad : {"Zg", "Zg=", "Zg===", "Z===", "====", "Zh==", "Zm9=", "Zg==Zg==", "Zm 9", "Zm9-", "Z\xff==", "=m9v"})
    EXPECT_FALSE(from_base64(bad).has_value()) << bad;
}

}  // namespace portloom
