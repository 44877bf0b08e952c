// Tests of the one normal form of a path.
#include "http/path.h"

#include <gtest/gtest.h>

#include <string>

namespace portloom::http {

namespace {

std::string normal(std::string_view target) {
  Result<Target> result = normalize(target);
  return result ? std::string(result->text) : "error " + std::string(name_of(result.error().code));
}

}  // namespace

TEST(Path, NormalOnesAreNotTouched) {
  for (std::string_view target :
       {"/", "/a/b", "/a/", "/.well-known/x", "/...", "/a..b/.c", "/a;b=c/d", "/%20%2F%C3%A9", "/a?b//../%zz", "/~x", "/|{}^"}) {
    Result<Target> result = normalize(target);
    ASSERT_TRUE(result) << target;
    EXPECT_FALSE(result->changed) << target;
    EXPECT_EQ(result->text.data(), target.data());
  }
}

TEST(Path, Table) {
  const struct {
    const char* given;
    const char* due;
  } cases[] = {
      {"/a/./b", "/a/b"},
      {"/a/../b", "/b"},
      {"/a/b/..", "/a/"},
      {"/a/b/.", "/a/b/"},
      {"/..", "/"},
      {"/../../a", "/a"},
      {"/a/b/../../../c", "/c"},
      {"/a//b///c", "/a/b/c"},
      {"//a", "/a"},
      {"/a//..//b", "/b"},
      {"/%2e%2e/a", "/a"},
      {"/a/%2E%2e/b", "/b"},
      {"/a/.%2e/b", "/b"},
      {"/a/%2e/b", "/a/b"},
      {"/%61%7E", "/a~"},
      {"/%c3%a9", "/%C3%A9"},
      {"/a%2fb", "/a%2Fb"},
      {"/a%2f..%2fb", "/a%2F..%2Fb"},
      {"/a%252e%252e/b", "/a%252e%252e/b"},
      {"/a/..?x=/../%2e", "/?x=/../%2e"},
      {"/a//?", "/a/?"},
      {"/a;x=1/../b;y", "/b;y"},
      {"/%3b", "/%3B"},
  };
  for (const auto& one : cases) {
    EXPECT_EQ(normal(one.given), one.due) << one.given;
    EXPECT_EQ(normal(one.due), one.due) << "normalising twice is normalising once";
  }
}

TEST(Path, Refused) {
  for (std::string_view target : {"", "a", "*", "/%", "/%4", "/%g1", "/%00", "/a%0a", "/%7f", "/a b", "/a#b", "/\x01", "/\xc3\xa9",
                                  "/a?b c", "/a/..;x/b", "/a/.;/b", "/a/%2e%2e;x"})
    EXPECT_EQ(normal(target), "error bad_request") << target;
}

TEST(Path, PartsAreApart) {
  Result<Target> changed = normalize("/a/../b?c=/d");
  ASSERT_TRUE(changed);
  Target moved = std::move(*changed);
  EXPECT_EQ(moved.path, "/b");
  EXPECT_EQ(moved.query, "c=/d");
  EXPECT_TRUE(moved.has_query);
}

}  // namespace portloom::http
