// data/problem.h
//
// What is wrong with a configuration, where, and what to write instead. Problems are collected, never thrown: a reader
// goes on so that a user sees all of them at once. The three renderings are pinned by the command-line contract.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "data/value.h"

namespace portloom::data {

enum class Severity : uint8_t { error, warning };
std::string_view name_of(Severity severity);

// What is wrong with a text and where in it, or nothing.
struct TextFault {
  std::string message;
  std::string hint;
  size_t at = 0;  // offset of the byte that a caret points to
  bool ok() const { return message.empty(); }
};

struct ConfigProblem {
  std::string file;  // empty: no file is to blame
  uint32_t line = 0;
  uint32_t column = 0;
  Severity severity = Severity::error;
  std::string key;      // the value's path: "routes[2].match.path"
  std::string message;  // one line
  std::string hint;     // what to do, as a phrase: did you mean "port"?; may be empty
  std::string source;   // the line of the file, for the caret
};

// The files that were read; Position::file is an index here.
class Sources {
 public:
  uint32_t add(std::string name, std::string text);
  size_t size() const { return files_.size(); }
  const std::string& name(uint32_t file) const { return files_[file].name; }
  const std::string& text(uint32_t file) const { return files_[file].text; }
  // Without its line end; empty when there is no such line.
  std::string_view line(uint32_t file, uint32_t line) const;
  // "shop.yaml:12", or with the column "shop.yaml:12:5"; empty for an unknown place.
  std::string place(Position at, bool with_column = false) const;
  // Where byte `offset` of the scalar `text` stands that begins at `at`; `at` itself when the file has it spelt otherwise (escapes,
  // several lines, a variable).
  Position inside(Position at, std::string_view text, size_t offset) const;

 private:
  struct File {
    std::string name;
    std::string text;
    std::vector<size_t> starts;  // where each line begins
  };
  std::vector<File> files_;
};

class Problems {
 public:
  explicit Problems(const Sources& sources) : sources_(sources) {}
  void error(Position at, std::string key, std::string message, std::string hint = {});
  void warning(Position at, std::string key, std::string message, std::string hint = {});
  bool failed() const { return errors_ > 0; }
  size_t errors() const { return errors_; }
  const std::vector<ConfigProblem>& all() const { return all_; }
  // By file, line and column; hands the list over.
  std::vector<ConfigProblem> take();
  const Sources& sources() const { return sources_; }

 private:
  void add(Severity severity, Position at, std::string key, std::string message, std::string hint);
  const Sources& sources_;
  std::vector<ConfigProblem> all_;
  size_t errors_ = 0;
};

enum class ProblemFormat : uint8_t { text, json, github };

// text: `FILE:LINE:COL: error: TEXT`, the line, a caret and the hint. json: one object per line. github: `::error
// file=…`. Control characters of the file are never passed on to a terminal.
void render(std::string& out, const ConfigProblem& problem, ProblemFormat format = ProblemFormat::text);
std::string render(const std::vector<ConfigProblem>& problems, ProblemFormat format = ProblemFormat::text);

// `did you mean "port"?` or nothing.
std::string did_you_mean(std::string_view word, const std::vector<std::string_view>& candidates);

}  // namespace portloom::data
