// data/shape_test.cpp
//
// Every member type and rule, right and wrong, through one example structure.
#include <gtest/gtest.h>

#include "data/print.h"
#include "data/reader.h"
#include "data/yaml.h"

namespace portloom::data {

enum class Colour : uint8_t { red, green };
std::vector<Choice> choices_of(Colour) { return {{"red", Colour::red}, {"green", Colour::green}, Choice("blue")}; }

struct Inner {
  Duration total = 15s;
  std::optional<Duration> first;
  void visit(this auto& self, auto& field) {
    using namespace rules;
    field("total", self.total, short_form, at_least(Duration(1ms)), "The whole.");
    field("first", self.first, at_most(Duration(1h)), "The first byte.");
  }
};

struct ShapePlace {
  static constexpr std::string_view name = "policy";
};

struct Example {
  bool flag = false;
  uint16_t port = 80;
  int32_t count = 0;
  double ratio = 0.5;
  std::string text;
  Size size{1024};
  Percent share{0.05};
  Colour colour = Colour::red;
  Inner inner;
  std::vector<std::string> names;
  Named<Inner> named;
  Secret secret;
  Address address;
  std::vector<PartAt<ShapePlace>> policies;
  Position at;

  void visit(this auto& self, auto& field) {
    using namespace rules;
    field("flag", self.flag, "A flag.");
    field("port", self.port, "A port.");
    field("count", self.count, at_least(-5), at_most(5), "A count.");
    field("ratio", self.ratio, "A ratio.");
    field("text", self.text, one_of("one", "three"), "A text.");
    field("size", self.size, at_most(Size{1 << 20}), "A size.");
    field("share", self.share, "A share.");
    field("colour", self.colour, "A colour.");
    field("inner", self.inner, "A structure.");
    field("names", self.names, valid(is_header_name, "a header name"), at_most(3), "Names.");
    field("named", self.named, "Named.");
    field("secret", self.secret, "A secret.");
    field("address", self.address, "An address.");
    field("policies", self.policies, "Parts.");
    field.later("tomorrow");
  }
  void check(Checker& checker) const {
    if (flag && port == 1) checker.error("port", "not with a flag");
  }
};

// A policy whose value is a list.
struct Kind {
  std::optional<std::string> api_key;
  void visit(this auto& self, auto& field) { field("api_key", self.api_key, "A header's name."); }
};
struct Authenticate {
  std::vector<Kind> kinds;
  void visit(this auto& self, auto& field) { field("kinds", self.kinds, rules::short_form, rules::required, "The first that applies."); }
};
struct Limit {
  std::string name;
  uint32_t requests = 0;
  void visit(this auto& self, auto& field) {
    field("name", self.name, "Its name.");
    field("requests", self.requests, rules::required, "How many.");
  }
};

namespace {

OpenPlaces places() {
  OpenPlaces made;
  OpenPlace& policy = made.place("policy");
  OpenPlaces::add(policy, {"limit", "Limits.", &shape_of<Limit>(), PartKind::Form::value});
  OpenPlaces::add(policy, {"authenticate", "Who.", &shape_of<Authenticate>(), PartKind::Form::value});
  OpenPlaces::add(policy, {"timeout", "Time.", &shape_of<Inner>(), PartKind::Form::value});
  OpenPlaces::add(policy, {"retry", {}, nullptr, PartKind::Form::value});
  return made;
}

Example good(std::string_view text) {
  auto read = from_yaml<Example>(text, places());
  EXPECT_TRUE(read) << read.error().detail;
  return read ? *read : Example{};
}

std::string bad(std::string_view text) {
  auto read = from_yaml<Example>(text, places());
  EXPECT_FALSE(read) << text;
  return read ? std::string() : read.error().detail;
}

TEST(Shape, ReadsEveryType) {
  Example e = good(
      "flag: true\nport: 8080\ncount: -3\nratio: 0.25\ntext: one\nsize: 64KiB\nshare: 12.5%\ncolour: green\ninner: {total: 3s, first: "
      "250ms}\n"
      "names: [a, b]\nnamed: {x: 1s, y: {total: 2s}}\nsecret: {env: KEY}\naddress: \"[::1]:8443\"\n");
  EXPECT_TRUE(e.flag);
  EXPECT_EQ(e.port, 8080);
  EXPECT_EQ(e.count, -3);
  EXPECT_EQ(e.ratio, 0.25);
  EXPECT_EQ(e.size.bytes, 65536U);
  EXPECT_EQ(e.share.fraction, 0.125);
  EXPECT_EQ(e.colour, Colour::green);
  EXPECT_EQ(e.inner.first, Duration(250ms));
  EXPECT_EQ(e.named.find("y")->total, Duration(2s));
  EXPECT_EQ(e.secret.name, "KEY");
  EXPECT_EQ(e.address.host, "::1");
  EXPECT_TRUE(e.address.is_loopback());
  EXPECT_EQ(e.at, (Position{0, 1, 1}));
}

TEST(Shape, AMissingFieldKeepsItsDefault) {
  Example e = good("flag: true\n");
  EXPECT_EQ(e.port, 80);
  EXPECT_EQ(e.inner.total, Duration(15s));
}

TEST(Shape, ABareValueServesWhereAListOrAShortFormIsTaken) {
  Example e = good("names: a\ninner: 3s\n");
  EXPECT_EQ(e.names, (std::vector<std::string>{"a"}));
  EXPECT_EQ(e.inner.total, Duration(3s));
}

TEST(Shape, ReadsParts) {
  Example e = good(
      "policies:\n  - limit: {name: flood, requests: 3}\n  - authenticate: [{api_key: x}, {}]\n  - authenticate: {api_key: y}\n  - "
      "timeout: 2s\n  - timeout:\n");
  ASSERT_EQ(e.policies.size(), 5U);
  EXPECT_EQ(e.policies[0].name, "flood");
  EXPECT_EQ(e.policies[0].kind, "limit");
  EXPECT_EQ(e.policies[0].at, (Position{0, 2, 5}));
  EXPECT_EQ(e.policies[0].as<Limit>()->requests, 3U);
  EXPECT_EQ(e.policies[0].as<Inner>(), nullptr);
  EXPECT_EQ(e.policies[1].as<Authenticate>()->kinds.size(), 2U);
  EXPECT_EQ(e.policies[2].as<Authenticate>()->kinds[0].api_key, "y");
  EXPECT_EQ(e.policies[3].as<Inner>()->total, Duration(2s));
  EXPECT_EQ(e.policies[4].as<Inner>()->total, Duration(15s));
}

TEST(Shape, RefusesWrongScalars) {
  EXPECT_EQ(bad("flag: yes\n"), "text:1:7: error: expected true or false, found \"yes\"\nflag: yes\n      ^ write true\n");
  EXPECT_EQ(bad("port: 70000\n"), "text:1:7: error: the number 70000 does not fit\nport: 70000\n      ^ it lies between 0 and 65535\n");
  EXPECT_EQ(bad("port: \"80\"\n"),
            "text:1:7: error: expected a whole number, found a quoted text\nport: \"80\"\n      ^ write it without quotes\n");
  EXPECT_EQ(bad("count: 3x\n"), "text:1:8: error: expected a whole number, found \"3x\"\ncount: 3x\n       ^\n");
  EXPECT_EQ(bad("ratio: nan\n"), "text:1:8: error: expected a number, found \"nan\"\nratio: nan\n       ^\n");
  EXPECT_EQ(bad("inner: 3\n"), "text:1:8: error: 3 has no unit\ninner: 3\n       ^ write 3s or 3ms\n");
  EXPECT_EQ(bad("size: 10\n"), "text:1:7: error: 10 has no unit\nsize: 10\n      ^ write 10B or 10KiB\n");
  EXPECT_EQ(bad("share: 5\n"), "text:1:8: error: 5 has no unit\nshare: 5\n       ^ write 5%\n");
  EXPECT_EQ(bad("address: 8080\n"), "text:1:10: error: expected an address like host:8080, found \"8080\"\naddress: 8080\n         ^\n");
  EXPECT_EQ(bad("colour: gren\n"),
            "text:1:9: error: expected one of red, green, found \"gren\"\ncolour: gren\n        ^ did you mean \"green\"?\n");
  EXPECT_EQ(bad("colour: blue\n"),
            "text:1:9: error: \"blue\" is not in this version\ncolour: blue\n        ^ expected one of red, green\n");
  EXPECT_EQ(bad("text: {id}\n"), "text:1:7: error: expected a text, found a map\ntext: {id}\n      ^ quote this text\n");
  EXPECT_EQ(bad("port:\nflag: true\n"),
            "text:1:1: error: expected a whole number, found nothing\nport:\n^ write a value, or leave the key away\n");
}

TEST(Shape, RefusesWhatRulesForbid) {
  EXPECT_EQ(bad("count: -6\n"), "text:1:8: error: \"count\" must be at least -5\ncount: -6\n       ^\n");
  EXPECT_EQ(bad("inner: {first: 2h}\n"), "text:1:16: error: \"first\" must be at most 1h\ninner: {first: 2h}\n               ^\n");
  EXPECT_EQ(bad("size: 2MiB\n"), "text:1:7: error: \"size\" must be at most 1MiB\nsize: 2MiB\n      ^\n");
  EXPECT_EQ(bad("names: [a, b, c, d]\n"), "text:1:8: error: \"names\" must be at most 3 entries\nnames: [a, b, c, d]\n       ^\n");
  EXPECT_EQ(bad("names: [a, \"b c\"]\n"), "text:1:12: error: expected a header name, found \"b c\"\nnames: [a, \"b c\"]\n           ^\n");
  EXPECT_EQ(bad("text: tree\n"),
            "text:1:7: error: expected one of one, three, found \"tree\"\ntext: tree\n      ^ did you mean \"three\"?\n");
  EXPECT_EQ(bad("flag: true\nport: 1\n"), "text:2:1: error: not with a flag\nport: 1\n^\n");
}

TEST(Shape, RefusesUnknownAndLaterKeys) {
  EXPECT_EQ(bad("prot: 1\n"), "text:1:1: error: unknown key \"prot\"\nprot: 1\n^ did you mean \"port\"?\n");
  EXPECT_EQ(bad("zzzzzz: 1\n"),
            "text:1:1: error: unknown key \"zzzzzz\"\nzzzzzz: 1\n^ keys here: flag, port, count, ratio, text, size, share, colour, inner, "
            "names, named, secret, address, policies\n");
  EXPECT_EQ(bad("tomorrow: 1\n"), "text:1:1: error: \"tomorrow\" is not in this version\ntomorrow: 1\n^\n");
}

TEST(Shape, RefusesALiteralSecret) {
  EXPECT_EQ(bad("secret: hunter2\n"),
            "text:1:9: error: a secret is never written here\nsecret: hunter2\n        ^ write {file: PATH} or {env: NAME}\n");
}

TEST(Shape, RefusesWrongParts) {
  EXPECT_EQ(bad("policies: [{limt: {}}]\n"),
            "text:1:13: error: unknown policy \"limt\"\npolicies: [{limt: {}}]\n            ^ did you mean \"limit\"?\n");
  EXPECT_EQ(bad("policies: [{retry: {}}]\n"),
            "text:1:13: error: \"retry\" is not in this version\npolicies: [{retry: {}}]\n            ^\n");
  EXPECT_EQ(bad("policies: [timeout]\n"),
            "text:1:12: error: expected a policy, found \"timeout\"\npolicies: [timeout]\n           ^ a policy is written {name: …}\n");
  EXPECT_EQ(bad("policies:\n  - timeout: 3s\n    limit: {requests: 1}\n"),
            "text:3:5: error: a policy has one key, found \"timeout\" and \"limit\"\n    limit: {requests: 1}\n    ^ is a dash missing "
            "before \"limit\"?\n");
  EXPECT_EQ(bad("policies:\n  - limit:\n    requests: 3\n"),
            "text:3:5: error: a policy has one key, found \"limit\" and \"requests\"\n    requests: 3\n    ^ are its settings not indented "
            "below \"limit\"?\n");
  EXPECT_EQ(bad("policies: [{limit: {}}]\n"), "text:1:20: error: \"requests\" is missing\npolicies: [{limit: {}}]\n                   ^\n");
}

TEST(Shape, ReportsEverythingAtOnce) {
  std::string all = bad("flag: 3\nport: x\nprot: 1\ninner: {totl: 1s}\n");
  for (std::string_view line : {"text:1:7:", "text:2:7:", "text:3:1:", "text:4:9:"}) EXPECT_NE(all.find(line), std::string::npos) << all;
}

TEST(Substitute, ReplacesVariables) {
  Sources sources;
  sources.add("f", "port: ${PORT:-8080}\nname: \"a ${NAME} $${x}\"\nempty: \"${EMPTY:-d}\"\n");
  Problems problems(sources);
  Value value = *read_yaml(0, problems);
  substitute(
      value,
      [](std::string_view name) -> std::optional<std::string> {
        if (name == "NAME") return "b";
        if (name == "EMPTY") return "";
        return std::nullopt;
      },
      problems);
  EXPECT_EQ(value.find("port")->value.text, "8080");
  EXPECT_EQ(value.find("name")->value.text, "a b ${x}");
  EXPECT_EQ(value.find("empty")->value.text, "d");
  EXPECT_FALSE(problems.failed());
}

TEST(Substitute, RefusesWhatIsMissing) {
  Sources sources;
  sources.add("f", "a: ${NOPE}\nb: \"${1x}\"\nc: \"${open\"\n");
  Problems problems(sources);
  Value value = *read_yaml(0, problems);
  substitute(value, [](std::string_view) { return std::optional<std::string>(); }, problems);
  EXPECT_EQ(render(problems.take()),
            "f:1:4: error: the variable NOPE is not set\na: ${NOPE}\n   ^ write ${NOPE:-default} to give a default\n"
            "f:2:4: error: \"${1x}\" does not name a variable\nb: \"${1x}\"\n   ^ write ${NAME} or ${NAME:-default}; $${ is a literal ${\n"
            "f:3:4: error: ${ without its }\nc: \"${open\"\n   ^ $${ is a literal ${\n");
}

TEST(Print, NamesThePlaceOfEachValue) {
  Sources sources;
  sources.add("f", "port: 1\ninner: {first: 2s}\npolicies:\n  - limit: {requests: 3}\n  - timeout: 2s\n");
  Problems problems(sources);
  Origins origins;
  OpenPlaces open = places();
  Reader reader{problems, origins, open};
  Example example;
  ASSERT_TRUE(read(shape_of<Example>(), *read_yaml(0, problems), &example, {}, reader));
  EXPECT_EQ(print_yaml(shape_of<Example>(), &example, origins, sources),
            "flag: false        # default\n"
            "port: 1            # f:1\n"
            "count: 0           # default\n"
            "ratio: 0.5         # default\n"
            "size: 1KiB         # default\n"
            "share: 5%          # default\n"
            "colour: red        # default\n"
            "inner:\n"
            "  total: 15s       # default\n"
            "  first: 2s        # f:2\n"
            "policies:\n"
            "  - limit:\n"
            "      requests: 3  # f:4\n"
            "  - timeout:\n"
            "      total: 2s    # f:5\n");
}

TEST(Schema, HasEveryStructureOnce) {
  std::string schema = json_schema(shape_of<Example>(), places(), "example");
  EXPECT_NE(schema.find("\"data.Inner\": {"), std::string::npos) << schema;
  EXPECT_EQ(schema.find("\"data.Inner\": {"), schema.rfind("\"data.Inner\": {"));
  EXPECT_NE(schema.find("\"additionalProperties\": false"), std::string::npos);
}

}  // namespace
}  // namespace portloom::data
