// Tests of app/: the generated reference is the one on disk, and `run --listen --to` stands for a document that passes check.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "app/commands.h"
#include "app/wiring.h"
#include "config/commands.h"
#include "data/print.h"

namespace portloom::app {
namespace {

TEST(Reference, OnDiskIsWhatTheShapesSay) {
  std::string made = config::reference(make_catalogue());
  if (std::getenv("UPDATE") != nullptr) std::ofstream(REFERENCE_FILE) << made;
  std::ifstream file(REFERENCE_FILE);
  std::stringstream text;
  text << file.rdbuf();
  EXPECT_EQ(text.str(), made) << "run app_test with UPDATE=1 in the environment to write docs/reference.md anew";
}

// Each bound of `shape` that is a number stands in `page` as a row: `prefix.key`, then the default.
void expect_rows(const std::string& page, const std::string& prefix, const data::Shape& shape) {
  using Kind = data::Shape::Kind;
  for (const data::Field& field : shape.fields) {
    const data::Shape& kind = field.shape();
    const void* value = static_cast<const char*>(shape.defaults.get()) + field.offset;
    std::string name = prefix + std::string(field.name);
    if (kind.kind == Kind::structure) {
      if (kind.name == "config.Http2Limits" || kind.name == "config.Pool") expect_rows(page, name + ".", kind);
      continue;
    }
    bool optional = kind.kind == Kind::optional;
    Kind inner = optional ? kind.item().kind : kind.kind;
    if (inner != Kind::integer && inner != Kind::size && inner != Kind::duration) continue;
    std::string row = "| `" + name + "` | " + (optional ? "" : "`" + data::format_value(kind, value) + "`");
    EXPECT_NE(page.find(row), std::string::npos) << "docs/limits.md has no row that begins with " << row;
  }
}

TEST(Limits, ThePageHasEveryBoundWithItsDefault) {
  std::ifstream file(LIMITS_FILE);
  std::stringstream text;
  text << file.rdbuf();
  std::string page = text.str();
  expect_rows(page, "limits.", data::shape_of<config::Limits>());
  expect_rows(page, "timeouts.", data::shape_of<config::ListenerTimeouts>());
  expect_rows(page, "", data::shape_of<config::ServiceSettings>());
  expect_rows(page, "telemetry.metrics.", data::shape_of<config::Metrics>());
}

TEST(Forwarding, TheTwoFlagsStandForADocumentThatPasses) {
  Result<std::string> text = forwarding_configuration(":8080", "http://127.0.0.1:3000/");
  ASSERT_TRUE(text.has_value());
  config::Loaded loaded = config::load_text("command line", *text, make_catalogue());
  EXPECT_TRUE(loaded);
  EXPECT_TRUE(loaded.problems.empty());
}

TEST(Forwarding, SaysWhatIsWrongWithTheFlags) {
  for (const auto& [listen, to] :
       {std::pair{"", "http://a:1"}, {":80", ""}, {":80", "https://a"}, {":80", "http://a/b"}, {"80", "http://a:1"}})
    EXPECT_FALSE(forwarding_configuration(listen, to).has_value()) << listen << ' ' << to;
}

TEST(Draw, AServiceWhoseHostCannotBeFoundIsAWarning) {
  config::Loaded loaded =
      config::load_text("t.yaml",
                        "version: 1\nlisteners: {edge: {port: 0}}\nservices: {a: {endpoints: [\"no.such.host.invalid:1\"]}}\n"
                        "routes: [{match: {path_prefix: /}, to: a}]\n",
                        make_catalogue());
  ASSERT_TRUE(loaded);
  auto resolver = upstream::Resolver::make({"127.0.0.1:9"});  // nobody is there
  ASSERT_TRUE(resolver.has_value());
  upstream::Directory directory;
  upstream::Breakers breakers;
  upstream::Healths healths;
  Result<std::shared_ptr<const Blueprint>> drawn = draw(std::move(loaded), {}, {directory, **resolver, breakers, healths});
  ASSERT_TRUE(drawn.has_value());
  ASSERT_EQ((*drawn)->warnings.size(), 1u);
  EXPECT_NE((*drawn)->warnings[0].find("t.yaml:3: service a: cannot resolve no.such.host.invalid"), std::string::npos);
  EXPECT_TRUE((*drawn)->endpoints.find("a")->second->get()->empty());
}

}  // namespace
}  // namespace portloom::app
