// Tests of app/: the generated reference is the one on disk, and `run --listen --to` stands for a document that passes check.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "app/commands.h"
#include "app/wiring.h"
#include "config/commands.h"

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

TEST(Draw, RefusesAServiceWhoseHostCannotBeFound) {
  config::Loaded loaded =
      config::load_text("t.yaml",
                        "version: 1\nlisteners: {edge: {port: 0}}\nservices: {a: {endpoints: [\"no.such.host.invalid:1\"]}}\n"
                        "routes: [{match: {path_prefix: /}, to: a}]\n",
                        make_catalogue());
  ASSERT_TRUE(loaded);
  Result<std::shared_ptr<const Blueprint>> drawn = draw(std::move(loaded), {});
  ASSERT_FALSE(drawn.has_value());
  EXPECT_NE(drawn.error().detail.find("t.yaml:3: service a: cannot resolve no.such.host.invalid"), std::string::npos)
      << drawn.error().detail;
}

}  // namespace
}  // namespace portloom::app
