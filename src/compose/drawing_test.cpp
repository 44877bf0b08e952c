// compose/drawing_test.cpp
//
// What a drawing shows, and that nothing of a configuration becomes markup in it.
#include "compose/drawing.h"

#include "testing/kitchen.h"

namespace portloom::compose {
namespace {

using testing::Kitchen;

std::string drawn(const std::string& home, const std::string& rest = {}) {
  Kitchen kitchen{home, rest};
  return drawing_of("home", outlines_of(kitchen.loaded, "home"));
}

size_t count(std::string_view text, std::string_view what) {
  size_t found = 0;
  for (size_t at = text.find(what); at != std::string_view::npos; at = text.find(what, at + 1)) ++found;
  return found;
}

TEST(Drawing, StagesArrowsAndWhatStandsIn) {
  std::string svg = drawn(
      "    timeout: 1s\n"
      "    calls:\n"
      "      x: {service: a, path: \"/{id}\", timeout: 300ms}\n"
      "      y: {service: b, path: \"/{x.id}\", fallback: [{stale: 5m}, {value: [1]}]}\n"
      "      z: {service: c, path: \"/{x.a}/{y.b}\", fallback: [{service: d, path: /other}]}\n"
      "      inner: {composition: inner, fallback: [{omit: true}]}\n"
      "      unused: {service: d, path: /}\n"
      "    body: {x: \"{x}\", z: \"{z}\", i: \"{inner}\"}\n",
      "  inner: {calls: {p: {service: a, path: /}}}\n");
  for (const char* text : {"composition home, within 1s", ">stage 1<", ">stage 2<", ">stage 3<", ">never made<", ">300ms<", ">GET /{x.id}<",
                           ">required<", ">else stale 5m<", ">else value [1]<", ">else service d GET /other<", ">else the whole fails<",
                           ">composition inner<", ">else omit<"})
    EXPECT_NE(svg.find(text), std::string::npos) << text;
  EXPECT_EQ(count(svg, "class=\"head\""), 3U);   // x to y, x to z, y to z
  EXPECT_EQ(count(svg, "class=\"arrow\""), 4U);  // one of them on a lane through the second stage
  EXPECT_EQ(count(svg, "class=\"mark\""), 3U);   // x, z, and p of the inner one
  EXPECT_EQ(count(svg, "class=\"unused\""), 1U);
}

TEST(Drawing, TextStaysText) {
  std::string svg = drawn(
      "    calls:\n"
      "      x: {service: a, path: \"/<script>&'\", when: \"query.\\\"</text>\\\"\", fallback: [{value: "
      "\"]]><svg/onload=x>\\u0001\\uFFFE\\\"\"}]}\n");
  EXPECT_EQ(svg.find("<script"), std::string::npos);
  EXPECT_EQ(count(svg, "<svg"), 1U);
  EXPECT_EQ(count(svg, "</text>"), count(svg, "<text"));
  EXPECT_NE(svg.find("&lt;script&gt;&amp;'"), std::string::npos);
  EXPECT_EQ(svg.find('\x01'), std::string::npos);
  EXPECT_EQ(svg.find("\xef\xbf\xbe"), std::string::npos);
  for (const char* outside : {"url(", "@import", "href", "http://"})
    EXPECT_EQ(count(svg, outside), std::string_view(outside) == "http://" ? 1U : 0U) << outside;  // the name space
}

TEST(Drawing, LongTextsAreCutWhereACharacterEnds) {
  std::string svg = drawn("    calls:\n      x: {service: a, path: \"/" + std::string(100, 'a') + "\", fallback: [{value: \"" + [] {
    std::string text;
    for (int i = 0; i < 60; ++i) text += "日";
    return text;
  }() + "\"}]}\n");
  EXPECT_NE(svg.find("aaa…</text>"), std::string::npos);
  EXPECT_NE(svg.find("日…</text>"), std::string::npos);
}

}  // namespace
}  // namespace portloom::compose
