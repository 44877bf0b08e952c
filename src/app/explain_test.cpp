// app/explain_test.cpp
//
// What explain, routes and diff say: golden files in tests/explain/, one question per reason.
#include "app/explain.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <set>
#include <sstream>

#include "app/inspection.h"
#include "app/listing.h"
#include "app/routes.h"
#include "testing/golden.h"

namespace portloom::app {
namespace {

using testing::check_golden;
using testing::Golden;
using testing::GoldenCase;

struct Made {
  config::Loaded loaded;
  std::shared_ptr<const pipeline::RouteTable> table;
};

Made make(std::string name, std::string text) {
  Made made{config::load_text(std::move(name), std::move(text), make_catalogue()), nullptr};
  EXPECT_TRUE(made.loaded) << data::render(made.loaded.problems);
  if (!made.loaded) return made;
  std::vector<std::string> listeners;
  for (const auto& [listener, ignored] : made.loaded.document->listeners) listeners.push_back(listener);
  made.table = *compile_routes(made.loaded, listeners);
  return made;
}

// "GET /a | x-app: phone | listener=plain | from=10.0.0.1 | json"
Result<std::string> answer(const Made& made, const std::string& asked) {
  Question question;
  bool json = false;
  std::istringstream parts(asked);
  std::string part;
  std::getline(parts, part, '|');
  std::istringstream words(part);
  words >> question.method >> question.url;
  while (std::getline(parts, part, '|')) {
    std::string_view option = part;
    while (option.starts_with(' ')) option.remove_prefix(1);
    while (option.ends_with(' ')) option.remove_suffix(1);
    if (option.starts_with("listener="))
      question.listener = option.substr(9);
    else if (option.starts_with("from="))
      question.from = option.substr(5);
    else if (option == "json")
      json = true;
    else
      question.headers.emplace_back(option.substr(0, option.find(": ")), option.substr(option.find(": ") + 2));
  }
  Result<Explanation> said = explain(made.loaded, *made.table, question);
  if (!said) return std::unexpected(said.error());
  return json ? explain_json(*said) : explain_text(*said);
}

TEST(Explain, SaysWhyOfEveryRule) {
  std::optional<Made> made;
  std::set<std::string> reasons;
  check_golden(std::string(EXPLAIN_FOLDER) + "/questions.txt", [&](const Golden& golden, const GoldenCase& one) {
    if (!made) made = make("shop.yaml", golden.before);
    Result<std::string> said = answer(*made, one.title);
    std::string text = said ? *said : "portloom: " + said.error().detail + "\n";
    for (const char* reason : {"listener: ", "host: ", "path: ", "method: ", "header: ", "query: ", "outranked: "})
      if (text.find(std::string("  ") + reason) != std::string::npos) reasons.insert(reason);
    return text;
  });
  EXPECT_EQ(reasons.size(), 7U);
}

TEST(Explain, DrawsAPlanWithItsStages) {
  std::optional<Made> made;
  check_golden(std::string(EXPLAIN_FOLDER) + "/compositions.txt", [&](const Golden& golden, const GoldenCase& one) {
    if (!made) made = make("shop.yaml", golden.before);
    size_t last = one.title.rfind(' ');
    Result<std::string> said = one.title.starts_with("plan ")
                                   ? plan_of(made->loaded, one.title.substr(5, last - 5), one.title.substr(last + 1))
                                   : answer(*made, one.title);
    return said ? *said : "portloom: " + said.error().detail + "\n";
  });
}

// docs/composition.md shows the drawing of its own first example.
TEST(Plan, TheDrawingOnDiskIsThatOfThePage) {
  std::string folder = DOCS_FOLDER;
  auto text_of = [](const std::string& path) {
    std::ifstream file(path);
    return std::string{std::istreambuf_iterator<char>(file), {}};
  };
  std::string page = text_of(folder + "/composition.md");
  size_t begin = page.find("```yaml\n") + 8;
  Made made = make("portloom.yaml", page.substr(begin, page.find("```", begin) - begin));
  ASSERT_TRUE(made.loaded);
  Result<std::string> drawn = plan_of(made.loaded, "home", "svg");
  ASSERT_TRUE(drawn.has_value()) << drawn.error().detail;
  if (std::getenv("UPDATE") != nullptr) std::ofstream(folder + "/composition.svg") << *drawn;
  EXPECT_EQ(text_of(folder + "/composition.svg"), *drawn)
      << "run app_test with UPDATE=1 in the environment to draw docs/composition.svg anew";
}

TEST(Plan, WhatLeadsToNoCompositionIsSaid) {
  Made made = make(
      "t.yaml", "version: 1\nlisteners: {edge: {port: 1}}\nservices: {a: {endpoints: [\"a:1\"]}}\nroutes: [{match: {path: /a}, to: a}]\n");
  EXPECT_EQ(plan_of(made.loaded, "/a", "svg").error().detail, "the route \"/a\" leads to no composition");
  EXPECT_EQ(plan_of(made.loaded, "/b", "svg").error().detail,
            "there is no route and no composition \"/b\": nothing here leads to a composition");
}

TEST(Routes, OneLineEach) {
  check_golden(std::string(EXPLAIN_FOLDER) + "/routes.txt",
               [&](const Golden&, const GoldenCase& one) { return list_routes(make("shop.yaml", one.files[0].second).loaded); });
}

TEST(Diff, WhatChangesForARequest) {
  for (const char* file : {"/diff.txt", "/diff_compositions.txt"})
    check_golden(std::string(EXPLAIN_FOLDER) + file, [&](const Golden& golden, const GoldenCase& one) {
      Made before = make("old.yaml", golden.before);
      Made after = make("new.yaml", one.files[0].second);
      std::string text = list_differences(before.loaded, *before.table, after.loaded, *after.table);
      return text.empty() ? "nothing changes for a request\n" : text;
    });
}

TEST(Explain, AQuestionOverTheAdminApi) {
  auto resolver = upstream::Resolver::make({});
  ASSERT_TRUE(resolver.has_value());
  upstream::Directory directory;
  upstream::Breakers breakers;
  upstream::Healths healths;
  policy::States states;
  auto blueprint = draw(config::load_text("t.yaml",
                                          "version: 1\nlisteners: {edge: {port: 0}}\nroutes: [{match: {path: \"/a/{id}\"}, to: {response: "
                                          "{status: 200, body: \"{id}\"}}}]\n",
                                          make_catalogue()),
                        {}, {directory, **resolver, breakers, healths});
  ASSERT_TRUE(blueprint.has_value());
  Result<std::string> said =
      explain_query(**blueprint, states, "method=GET&url=http%3A%2F%2Fshop.example%2Fa%2F7&header=X-App:%20phone&format=text");
  ASSERT_TRUE(said.has_value()) << said.error().detail;
  EXPECT_NE(said->find("200, an answer of the gateway's own"), std::string::npos) << *said;
  said = explain_query(**blueprint, states, "url=/a/7");
  ASSERT_TRUE(said.has_value());
  EXPECT_NE(said->find("\"route\": \"/a/{id}\""), std::string::npos) << *said;
  for (const char* wrong : {"", "method=GET", "url=/a&listener=nope", "url=/a&size=7", "url=a", "url=/a&from=me", "url=/a&header=x"}) {
    said = explain_query(**blueprint, states, wrong);
    ASSERT_FALSE(said.has_value()) << wrong;
    EXPECT_EQ(said.error().code, Code::bad_request);
  }
}

}  // namespace
}  // namespace portloom::app
