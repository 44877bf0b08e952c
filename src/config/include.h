// config/include.h
//
// `include`: a file and what it names, as one Value. Maps unite, lists append in the order of the files; a name that is defined twice is
// refused with both places. Used by load() alone; control thread.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "data/problem.h"
#include "data/reader.h"
#include "data/value.h"

namespace portloom::config {

class Includes {
 public:
  static constexpr size_t files_max = 1000;  // of one load
  static constexpr size_t depth_max = 16;

  Includes(data::Sources& sources, data::Problems& problems, const data::Environment& environment)
      : sources_(sources), problems_(problems), environment_(environment) {}
  // Reads the file with all that it includes; "-" is standard input. Nothing when it could not be read or was no map; that was said, at
  // the place that names the file.
  std::optional<data::Value> read(const std::string& path, data::Position by = data::nowhere);
  // The same for a text that belongs to no folder, and therefore includes nothing.
  std::optional<data::Value> read_text(uint32_t file);
  // Files that were read, and folders in which more may come to be: what a reload looks at.
  std::vector<std::string> watched() const { return {watched_.begin(), watched_.end()}; }

 private:
  struct Open {
    std::string path;
    std::string real;  // canonical
  };
  std::optional<data::Value> parse(uint32_t file);
  void work_in(data::Value& root, const std::string& path);
  void add(data::Value& root, const data::Value& pattern, const std::string& path);
  std::vector<std::string> matches(const data::Value& pattern, const std::string& path);
  bool may_open(const std::string& file, const data::Value& pattern, std::string& real);
  void unite(data::Value& into, data::Value&& from);

  data::Sources& sources_;
  data::Problems& problems_;
  const data::Environment& environment_;
  std::vector<Open> open_;                                // the way to the file at hand
  std::vector<std::pair<std::string, std::string>> all_;  // canonical path, where it was included
  std::set<std::string> watched_;
};

}  // namespace portloom::config
