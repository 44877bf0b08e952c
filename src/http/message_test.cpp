// Tests of RequestHead: target forms and that heads own their bytes.
#include "http/message.h"

#include <gtest/gtest.h>

#include <string>

namespace portloom::http {

TEST(RequestHead, OriginForm) {
  RequestHead head("GET", "/a/b?c=d?e");
  EXPECT_EQ(head.method(), Method::GET);
  EXPECT_EQ(head.form(), TargetForm::origin);
  EXPECT_EQ(head.path(), "/a/b");
  EXPECT_EQ(head.query(), "c=d?e");
  EXPECT_EQ(head.path_and_query(), "/a/b?c=d?e");
  EXPECT_TRUE(RequestHead("GET", "/?").has_query());
  EXPECT_FALSE(RequestHead("GET", "/").has_query());
}

TEST(RequestHead, AbsoluteFormIsTakenApart) {
  RequestHead head("GET", "HTTPS://a:1?x");
  EXPECT_EQ(head.form(), TargetForm::absolute);
  EXPECT_EQ(head.scheme(), "https");
  EXPECT_EQ(head.authority(), "a:1");
  EXPECT_EQ(head.path(), "/");
  EXPECT_EQ(head.path_and_query(), "/?x");
  EXPECT_EQ(RequestHead("OPTIONS", "http://a").path_and_query(), "*");
  EXPECT_EQ(RequestHead("GET", "http://a").path_and_query(), "/");
  head.headers.add(Name::host, "other");
  EXPECT_EQ(head.host(), "a:1");
}

TEST(RequestHead, RefusedTargetsChangeNothing) {
  RequestHead head("PURGE", "/x");
  for (const char* target : {"", "x", "*", "http:/x", "://x", "http://", "http://[::1", "http://a b/", "/\x7f", "/#"})
    EXPECT_FALSE(head.assign("GET", target)) << target;
  EXPECT_FALSE(head.assign("G T", "/"));
  EXPECT_FALSE(head.assign("", "/"));
  EXPECT_EQ(head.method_text(), "PURGE");
  EXPECT_EQ(head.target(), "/x");
}

TEST(RequestHead, PathIsReplacedAndTheRestKept) {
  RequestHead head("PURGE", "http://host.example:8080/a?b");
  ASSERT_TRUE(head.set_path_and_query("/new?q"));
  EXPECT_EQ(head.path(), "/new");
  EXPECT_EQ(head.authority(), "host.example:8080");
  EXPECT_EQ(head.method_text(), "PURGE");
  ASSERT_TRUE(head.set_path_and_query(head.path()));  // from itself
  EXPECT_EQ(head.path_and_query(), "/new");
  EXPECT_FALSE(head.set_path_and_query("new"));
  EXPECT_FALSE(head.set_path_and_query("/a b"));
}

TEST(RequestHead, CopiesAndMovesKeepTheirBytes) {
  RequestHead copy;
  {
    RequestHead head("PROPFIND", "/a-long-target-that-no-small-string-holds?with=query");
    head.headers.add("X", "y");
    RequestHead moved(std::move(head));
    copy = moved;
  }
  EXPECT_EQ(copy.method_text(), "PROPFIND");
  EXPECT_EQ(copy.path(), "/a-long-target-that-no-small-string-holds");
  EXPECT_EQ(copy.query(), "with=query");
  EXPECT_EQ(copy.headers.find("x"), "y");
}

TEST(RequestHead, FromHttp2) {
  RequestHead head;
  ASSERT_TRUE(head.assign("GET", "https", "a", "/x?y"));
  EXPECT_EQ(head.host(), "a");
  EXPECT_EQ(head.scheme(), "https");
  EXPECT_EQ(head.path(), "/x");
  ASSERT_TRUE(head.assign("OPTIONS", "https", "a", "*"));
  EXPECT_EQ(head.form(), TargetForm::asterisk);
  ASSERT_TRUE(head.assign("CONNECT", "", "a:443", ""));
  EXPECT_EQ(head.form(), TargetForm::authority);
  ASSERT_TRUE(head.assign("CONNECT", "https", "a", "/chat"));  // extended CONNECT
  EXPECT_FALSE(head.assign("GET", "https", "a", ""));
  EXPECT_FALSE(head.assign("GET", "https", "u@a", "/"));
  EXPECT_FALSE(head.assign("GET", "", "a", "/"));
  EXPECT_FALSE(head.assign("GET", "https", "a", "/\n"));
}

TEST(Method, TextsAndTraits) {
  for (int i = 0; i < static_cast<int>(Method::other); ++i) EXPECT_EQ(method_of(text_of(static_cast<Method>(i))), static_cast<Method>(i));
  EXPECT_EQ(method_of("get"), Method::other);
  EXPECT_TRUE(is_idempotent(Method::PUT));
  EXPECT_FALSE(is_idempotent(Method::POST));
  EXPECT_FALSE(is_safe(Method::DELETE));
}

}  // namespace portloom::http
