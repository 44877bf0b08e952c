// Tests of Headers: order, names, replacing, growth, and that a value cannot split a head.
#include "http/headers.h"

#include <gtest/gtest.h>

#include <string>

namespace portloom::http {

namespace {

std::string lines(const Headers& headers) {
  std::string text;
  for (size_t i = 0; i < headers.size(); ++i) text.append(headers.line(i));
  return text;
}

}  // namespace

TEST(Names, EveryKnownNameIsFoundInAnyCase) {
  for (size_t i = 1; i < name_count; ++i) {
    auto name = static_cast<Name>(i);
    std::string text(text_of(name));
    EXPECT_EQ(name_of_field(text), name) << text;
    for (char& c : text) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
    EXPECT_EQ(name_of_field(text), name) << text;
    EXPECT_EQ(name_of_field(text + "x"), Name::other);
    text[text.size() / 2] = '_';
    EXPECT_EQ(name_of_field(text), Name::other) << text;
  }
  EXPECT_EQ(name_of_field(""), Name::other);
}

TEST(Headers, KeepOrderAndCase) {
  Headers headers;
  headers.add("X-b", "1");
  headers.add("hOST", " a ");
  headers.add("x-B", "2");
  EXPECT_EQ(lines(headers), "X-b: 1\r\nhOST: a\r\nx-B: 2\r\n");
  EXPECT_EQ(headers.byte_size(), lines(headers).size());
  EXPECT_EQ(headers.find(Name::host), "a");
  EXPECT_EQ(headers.find("X-B"), "1");
  EXPECT_EQ(headers.find("X-C"), std::nullopt);
  EXPECT_EQ(headers.find(Name::via), std::nullopt);
}

TEST(Headers, SetReplacesAllAndMayReadFromItself) {
  Headers headers;
  headers.add(Name::via, "1");
  headers.add("X", "keep");
  headers.add(Name::via, "2");
  headers.set(Name::via, *headers.find(Name::via));
  EXPECT_EQ(lines(headers), "X: keep\r\nVia: 1\r\n");
  headers.set("y", "1");
  headers.set("Y", "2");
  EXPECT_EQ(headers.find("y"), "2");
  EXPECT_EQ(headers.size(), 3U);
}

TEST(Headers, SetReadsFromItselfWhileItGrows) {
  Headers headers;
  headers.add("Long", std::string(900, 'a'));
  headers.set("Long", *headers.find("Long"));  // does not fit: the block is copied
  EXPECT_EQ(headers.find("long"), std::string(900, 'a'));
  EXPECT_EQ(headers.size(), 1U);
}

TEST(Headers, RemoveForgetsTheName) {
  Headers headers;
  headers.add(Name::te, "a");
  headers.add("X", "b");
  headers.add(Name::te, "c");
  EXPECT_EQ(headers.remove(Name::te), 2U);
  EXPECT_FALSE(headers.contains(Name::te));
  EXPECT_EQ(headers.remove("x"), 1U);
  EXPECT_EQ(headers.remove("x"), 0U);
  EXPECT_TRUE(headers.empty());
  EXPECT_EQ(headers.byte_size(), 0U);
}

TEST(Headers, GrowthKeepsEverything) {
  Headers headers;
  for (int i = 0; i < 500; ++i) headers.add("X-" + std::to_string(i), std::string(static_cast<size_t>(i % 50), 'v'));
  for (int i = 0; i < 500; ++i) EXPECT_EQ(headers.find("x-" + std::to_string(i))->size(), static_cast<size_t>(i % 50));
}

TEST(Headers, ReplacingForEverDoesNotGrowForEver) {
  Headers headers;
  headers.add("X", "y");
  for (int i = 0; i < 100000; ++i) headers.set(Name::date, std::string(100, 'd'));
  EXPECT_EQ(headers.size(), 2U);
  EXPECT_LE(headers.capacity(), 4096U);
}

TEST(Headers, ACopyIsItsOwnAndAMoveKeepsViews) {
  Headers headers;
  headers.add("X", "1");
  headers.add(Name::host, "a");
  headers.remove("X");
  Headers copy(headers);
  headers.set(Name::host, "b");
  EXPECT_EQ(lines(copy), "Host: a\r\n");
  copy.add("Y", "2");
  std::string_view value = *copy.find("Y");
  Headers moved(std::move(copy));
  EXPECT_EQ(moved.find("Y")->data(), value.data());
  EXPECT_TRUE(Headers(Headers()).empty());
}

TEST(Headers, AValueCannotSplitAHead) {
  Headers headers;
  headers.add("X", std::string_view("a\r\nY: b\0c", 9));
  EXPECT_EQ(lines(headers), "X: a  Y: b c\r\n");
}

TEST(Headers, ReserveAndClearKeepTheBlock) {
  Headers headers;
  headers.reserve(3000, 10);
  size_t capacity = headers.capacity();
  for (int i = 0; i < 10; ++i) headers.add("X", std::string(290, 'x'));
  EXPECT_EQ(headers.capacity(), capacity);
  headers.clear();
  EXPECT_TRUE(headers.empty());
  EXPECT_FALSE(headers.contains(Name::other));
  EXPECT_EQ(headers.capacity(), capacity);
}

}  // namespace portloom::http
