// config/include_test.cpp
//
// One document from several files.
#include "config/include.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "config/load.h"

namespace portloom::config {
namespace {

class Include : public testing::Test {
 protected:
  Include() {
    std::string pattern = (std::filesystem::temp_directory_path() / "include_test_XXXXXX").string();
    folder = mkdtemp(pattern.data());
  }
  ~Include() override { std::filesystem::remove_all(folder); }
  std::string write(const std::string& name, const std::string& text) {
    std::filesystem::path path = std::filesystem::path(folder) / name;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << text;
    return path.string();
  }
  // The problems of the files, with the folder's name taken out.
  std::string shown(const std::vector<std::string>& files) {
    loaded = load(files, Catalogue());
    std::string text = data::render(loaded.problems);
    for (size_t at = text.find(folder + "/"); at != std::string::npos; at = text.find(folder + "/")) text.erase(at, folder.size() + 1);
    return text;
  }
  std::string place(const std::string& path) { return loaded.place(loaded.origins->find(path)).substr(folder.size() + 1); }

  static constexpr const char* main_text =
      "version: 1\ncontext: shop\ninclude: contexts/*.yaml\nlisteners: {a: {port: 1}}\n"
      "services: {monolith: {endpoints: x:1}}\nroutes: [{match: {path_prefix: /}, to: monolith}]\n";
  std::string folder;
  Loaded loaded;
};

TEST_F(Include, MapsUniteAndListsAppendInTheOrderOfTheFiles) {
  write("contexts/b_orders.yaml",
        "context: ordering\nservices: {orders: {endpoints: y:1}}\nroutes: {match: {path: /orders}, to: orders}\n");
  write("contexts/a_users.yaml",
        "version: 1\nservices: {users: {endpoints: z:1, context: people}}\nroutes: [{match: {path: /users}, to: users}]\n");
  ASSERT_EQ(shown({write("shop.yaml", main_text)}), "");
  ASSERT_TRUE(loaded);
  const Document& document = *loaded.document;
  EXPECT_EQ(document.services.names(), (std::vector<std::string_view>{"monolith", "users", "orders"}));
  EXPECT_EQ(document.services.find("monolith")->context, "shop");
  EXPECT_EQ(document.services.find("orders")->context, "ordering");
  EXPECT_EQ(document.services.find("users")->context, "people");
  ASSERT_EQ(document.resolved.size(), 3U);
  EXPECT_EQ(document.resolved[1].name, "/users");
  EXPECT_EQ(document.resolved[2].name, "/orders");
  EXPECT_EQ(place("services.orders.endpoints"), "contexts/b_orders.yaml:2");
  EXPECT_EQ(place("routes[2].match.path"), "contexts/b_orders.yaml:3");
  EXPECT_TRUE(document.include.empty());
  for (std::string watched : {"/shop.yaml", "/contexts", "/contexts/a_users.yaml"})
    EXPECT_NE(std::find(loaded.watched.begin(), loaded.watched.end(), folder + watched), loaded.watched.end()) << watched;
}

TEST_F(Include, ANameTwiceIsRefusedWithBothPlaces) {
  write("contexts/a.yaml", "services:\n  monolith: {endpoints: y:1}\n");
  EXPECT_EQ(shown({write("shop.yaml", main_text)}),
            "contexts/a.yaml:2:3: error: \"monolith\" is defined twice\n"
            "  monolith: {endpoints: y:1}\n"
            "  ^ the first is at shop.yaml:5:12\n");
  write("contexts/a.yaml", "version: 2\n");
  EXPECT_EQ(shown({folder + "/shop.yaml"}),
            "contexts/a.yaml:1:1: error: \"version\" is defined twice\nversion: 2\n^ the first is at shop.yaml:1:1\n");
}

TEST_F(Include, IncludesMayIncludeRelativeToThemselves) {
  write("contexts/a.yaml", "include: deep/b.yaml\n");
  write("contexts/deep/b.yaml", "services: {b: {endpoints: y:1}}\nroutes: [{match: {path: /b}, to: b}]\n");
  EXPECT_EQ(shown({write("shop.yaml", main_text)}), "");
  EXPECT_EQ(place("services.b"), "contexts/deep/b.yaml:1");
}

TEST_F(Include, CirclesAndFilesThatAreReadTwiceAreRefused) {
  write("contexts/a.yaml", "include: ../shop.yaml\n");
  EXPECT_EQ(shown({write("shop.yaml", main_text)}),
            "contexts/a.yaml:1:10: error: a circle of includes: shop.yaml includes contexts/a.yaml includes contexts/../shop.yaml\n"
            "include: ../shop.yaml\n"
            "         ^ take one of them out\n");
  write("contexts/a.yaml", "include: b.yaml\n");
  write("contexts/b.yaml", "");
  EXPECT_EQ(shown({folder + "/shop.yaml"}),
            "shop.yaml:3:10: error: contexts/b.yaml is read twice\n"
            "include: contexts/*.yaml\n"
            "         ^ the first time by contexts/a.yaml:1\n");
}

TEST_F(Include, APatternDoesNotMeanItsOwnFile) {
  write("other.yaml", "services: {b: {endpoints: y:1}}\nroutes: [{match: {path: /b}, to: b}]\n");
  std::string text = main_text;
  text.replace(text.find("contexts/*"), 10, "\"*");
  text.replace(text.find("*.yaml"), 6, "*.yaml\"");
  EXPECT_EQ(shown({write("shop.yaml", text)}), "");
  EXPECT_TRUE(loaded);
}

TEST_F(Include, WhatIsNotThereIsSaid) {
  EXPECT_EQ(shown({write("shop.yaml", main_text)}),
            "shop.yaml:3:10: warning: no file fits \"contexts/*.yaml\"\ninclude: contexts/*.yaml\n         ^\n");
  EXPECT_EQ(shown({write("a.yaml", "include: nope.yaml\n")}),
            "a.yaml:1:10: error: cannot read nope.yaml\ninclude: nope.yaml\n         ^ there is no such file\n");
  EXPECT_EQ(shown({write("a.yaml", "include: {a: b}\n")}),
            "a.yaml:1:10: error: expected a list of files, found a map\ninclude: {a: b}\n         ^ write include: [contexts/*.yaml]\n");
  Loaded text = load_text("t", "include: a.yaml\n", Catalogue());
  ASSERT_FALSE(text.problems.empty());
  EXPECT_EQ(text.problems[0].message, "this text belongs to no folder: it includes nothing");
}

TEST_F(Include, TheEnvironmentMayNameThem) {
  ::setenv("INCLUDE_TEST", "contexts", 1);
  write("contexts/a.yaml", "services: {b: {endpoints: y:1}}\nroutes: [{match: {path: /b}, to: b}]\n");
  std::string text = main_text;
  text.replace(text.find("contexts/*.yaml"), 15, "\"${INCLUDE_TEST:-none}/*.yaml\"");
  EXPECT_EQ(shown({write("shop.yaml", text)}), "");
}

TEST_F(Include, SeveralFilesOfTheCommandLineLieOnEachOtherWithTheirIncludes) {
  write("contexts/a.yaml", "services: {b: {endpoints: y:1}}\nroutes: [{match: {path: /b}, to: b}]\n");
  std::string prod = write("prod.yaml", "services: {b: {endpoints: z:9}}\n");
  EXPECT_EQ(shown({write("shop.yaml", main_text), prod}), "");
  EXPECT_EQ(loaded.document->services.find("b")->endpoints[0].address.text(), "z:9");
  EXPECT_EQ(place("services.b.endpoints"), "prod.yaml:1");
}

}  // namespace
}  // namespace portloom::config
