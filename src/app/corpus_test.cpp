// app/corpus_test.cpp
//
// Broken and unwise configurations of tests/config/, each with what a user reads about it: every file there is a golden file.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "app/materials.h"
#include "app/wiring.h"
#include "data/problem.h"
#include "testing/golden.h"

namespace portloom::app {
namespace {

using testing::check_golden;
using testing::Golden;
using testing::GoldenCase;

namespace fs = std::filesystem;

class Corpus : public ::testing::Test {
 protected:
  Corpus() {
    std::string pattern = (fs::temp_directory_path() / "corpus_XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
    before_ = fs::current_path();
    fs::current_path(folder_);
  }
  ~Corpus() override {
    fs::current_path(before_);
    fs::remove_all(folder_);
  }
  static void write(const std::string& name, const std::string& text) {
    if (fs::path(name).has_parent_path()) fs::create_directories(fs::path(name).parent_path());
    std::ofstream(name) << text;
  }
  std::string said(const Golden& golden, const GoldenCase& one) {
    for (const auto& entry : fs::directory_iterator(folder_)) fs::remove_all(entry.path());
    for (const auto& [name, text] : one.files) name.empty() ? write("portloom.yaml", golden.before + text) : write(name, text);
    return checked("portloom.yaml");
  }
  static std::string checked(const std::string& file) {
    config::Loaded loaded = config::load({file}, make_catalogue());
    load_materials(loaded);
    return data::render(loaded.problems) + (loaded ? "(taken)\n" : "");
  }
  fs::path folder_;
  fs::path before_;
};

TEST_F(Corpus, EachIsRefusedWithAMessageThatHelps) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(CORPUS_FOLDER))
    if (entry.path().extension() == ".txt") files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  ASSERT_FALSE(files.empty());
  size_t cases = 0;
  for (const fs::path& file : files) {
    bool unwise = file.stem().string().starts_with("unwise");
    check_golden(file, [&](const Golden& golden, const GoldenCase& one) {
      ++cases;
      std::string text = said(golden, one);
      EXPECT_EQ(text.find("error: ") == std::string::npos, unwise) << file.filename() << ": " << one.title << "\n" << text;
      EXPECT_TRUE(!unwise || text.find("warning: ") != std::string::npos) << one.title;
      return text;
    });
  }
  EXPECT_GE(cases, 150U);
}

// What no text file can hold.
TEST_F(Corpus, BytesThatAreNoText) {
  write("a.yaml", std::string("version: 1\nlisteners: {edge: {port: 8080, to: {response: {status: 200, body: \"\xff\xfe\"}}}}\n"));
  write("b.yaml", std::string("version: 1\n\0", 12));
  write("c.yaml", "version: 1\nx-large: \"" + std::string(17 * 1024 * 1024, 'x') + "\"\n");
  std::string deep = "version: 1\nx-deep: ";
  deep.append(2000, '[').append(2000, ']');
  write("d.yaml", deep + "\n");
  std::string bomb = "version: 1\nx-a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n";
  for (char level = 'b'; level < 'j'; ++level) {
    std::string inner = std::string("*") + static_cast<char>(level - 1);
    bomb += std::string("x-") + level + ": &" + level + " [" + inner;
    for (int i = 0; i < 9; ++i) bomb += ", " + inner;
    bomb += "]\n";
  }
  write("e.yaml", bomb);
  for (const char* file : {"a.yaml", "b.yaml", "c.yaml", "d.yaml", "e.yaml"}) {
    std::string text = checked(file);
    EXPECT_NE(text.find("error: "), std::string::npos) << file;
    EXPECT_LT(text.size(), 4096U) << file;
    EXPECT_EQ(text.find("(taken)"), std::string::npos) << file;
  }
  EXPECT_NE(checked("c.yaml").find("larger than 16 MiB"), std::string::npos);
  EXPECT_NE(checked("d.yaml").find("more than 64 levels"), std::string::npos);
  EXPECT_NE(checked("e.yaml").find("a million values"), std::string::npos);
}

// Ten megabytes of routes that are wrong: all at once, and no more than a person can read.
TEST_F(Corpus, ManyMistakesAreBounded) {
  std::string text = "version: 1\nlisteners: {edge: {port: 8080}}\nroutes:\n";
  while (text.size() < 512 * 1024) text += "  - {match: {path: orders}, to: nowhere, pathh: /x}\n";
  write("portloom.yaml", text);
  config::Loaded loaded = config::load({"portloom.yaml"}, make_catalogue());
  EXPECT_FALSE(loaded);
  EXPECT_LE(loaded.problems.size(), 1000U);
}

}  // namespace
}  // namespace portloom::app
