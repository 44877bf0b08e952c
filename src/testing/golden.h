// testing/golden.h
//
// Golden files: cases with what is said about them, in one text that people review. `== TITLE` begins a case, its text follows (of a case
// `*`: what stands before every text of the file), `++ NAME` begins another file of it, `-- says` what is expected. UPDATE=1 in the
// environment writes the expectations anew.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace portloom::testing {

struct GoldenCase {
  std::string title;
  std::vector<std::pair<std::string, std::string>> files;  // the first has no name
  std::string says;
};

struct Golden {
  std::string head;  // comments
  std::string before;
  std::vector<GoldenCase> cases;
};

inline std::string without_last_blank(std::string text) {
  while (text.ends_with("\n\n")) text.pop_back();
  return text == "\n" ? std::string() : text;
}

inline Golden read_golden(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::string text{std::istreambuf_iterator<char>(file), {}};
  Golden golden;
  std::string* into = &golden.head;
  while (!text.empty()) {
    std::string line = text.substr(0, text.find('\n') + 1);
    if (line.empty()) line = text;
    text.erase(0, line.size());
    std::string_view what = std::string_view(line).substr(0, line.find('\n'));
    if (what == "== *") {
      into = &golden.before;
    } else if (what.starts_with("== ")) {
      golden.cases.push_back({std::string(what.substr(3)), {{"", ""}}, {}});
      into = &golden.cases.back().files.back().second;
    } else if (what.starts_with("++ ")) {
      golden.cases.back().files.emplace_back(what.substr(3), "");
      into = &golden.cases.back().files.back().second;
    } else if (what == "-- says") {
      into = &golden.cases.back().says;
    } else {
      *into += line;
    }
  }
  golden.before = without_last_blank(golden.before);
  for (GoldenCase& one : golden.cases) {
    for (auto& [name, content] : one.files) content = without_last_blank(content);
    one.says = without_last_blank(one.says);
  }
  return golden;
}

inline void write_golden(const std::filesystem::path& path, const Golden& golden) {
  std::ofstream file(path);
  file << golden.head;
  if (!golden.before.empty()) file << "== *\n" << golden.before << "\n";
  for (const GoldenCase& one : golden.cases) {
    if (&one != &golden.cases.front()) file << "\n";
    file << "== " << one.title << "\n";
    for (const auto& [name, content] : one.files) file << (name.empty() ? "" : "++ " + name + "\n") << content;
    file << "-- says\n" << one.says;
  }
}

// Compares what `say` makes of each case with what is expected.
inline void check_golden(const std::filesystem::path& path, const std::function<std::string(const Golden&, const GoldenCase&)>& say) {
  Golden golden = read_golden(path);
  ASSERT_FALSE(golden.cases.empty()) << path;
  bool update = std::getenv("UPDATE") != nullptr;
  for (GoldenCase& one : golden.cases) {
    std::string said = say(golden, one);
    if (update)
      one.says = said;
    else
      EXPECT_EQ(said, one.says) << path.filename() << ": " << one.title << "\n(UPDATE=1 writes what is said now)";
  }
  if (update) write_golden(path, golden);
}

}  // namespace portloom::testing
