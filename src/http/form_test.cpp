// Query parameters: what is found, what is equal, and that encoding comes back.
#include "http/form.h"

#include <gtest/gtest.h>

namespace portloom::http {

TEST(Form, FindsTheFirstByItsDecodedName) {
  EXPECT_EQ(find_parameter("a=1&b=2&a=3", "a"), "1");
  EXPECT_EQ(find_parameter("%61=1", "a"), "1");
  EXPECT_EQ(find_parameter("x+y=%26&z", "x y"), "%26");
  EXPECT_EQ(find_parameter("&&a&b=", "a"), "");
  EXPECT_EQ(find_parameter("a=b=c", "a"), "b=c");
  EXPECT_EQ(find_parameter("ab=1", "a"), std::nullopt);
  EXPECT_EQ(find_parameter("", "a"), std::nullopt);
  EXPECT_EQ(find_parameter("=1", ""), "1");
}

TEST(Form, ComparesAndDecodes) {
  EXPECT_TRUE(form_equals("a+b%2fc", "a b/c"));
  EXPECT_TRUE(form_equals("100%", "100%"));
  EXPECT_TRUE(form_equals("%zz", "%zz"));
  EXPECT_FALSE(form_equals("ab", "a"));
  EXPECT_FALSE(form_equals("a", "ab"));
  EXPECT_EQ(form_decode("a+%c3%A9%2"), "a \xc3\xa9%2");
}

TEST(Form, EncodingComesBack) {
  std::string all;
  for (int i = 0; i < 256; ++i) all += static_cast<char>(i);
  std::string encoded;
  append_form_encoded(encoded, all);
  EXPECT_EQ(form_decode(encoded), all);
  EXPECT_EQ(encoded.find_first_of("&=+#? "), std::string::npos);
}

}  // namespace portloom::http
