// app/table.h
//
// Table: rows of text whose columns line up, for what explain prints. Plain data.
#pragma once

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

namespace portloom::app {

// Columns that line up: every row has as many cells, the last one is as long as it is.
class Table {
 public:
  explicit Table(std::string indent) : indent_(std::move(indent)) {}
  void row(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  // One line each, with its end.
  std::vector<std::string> lines() const {
    std::vector<size_t> widths;
    for (const auto& row : rows_) {
      widths.resize(std::max(widths.size(), row.size()));
      for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], std::min(row[i].size(), width_max));
    }
    std::vector<std::string> all;
    for (const auto& row : rows_) {
      std::string line = indent_;
      for (size_t i = 0; i < row.size(); ++i) {
        line += row[i];
        line.append(widths[i] > row[i].size() ? widths[i] - row[i].size() : 0, ' ');
        line += "  ";
      }
      line.erase(line.find_last_not_of(' ') + 1);
      all.push_back(line + "\n");
    }
    return all;
  }
  std::string text() const {
    std::string all;
    for (const std::string& line : lines()) all += line;
    return all;
  }

 private:
  static constexpr size_t width_max = 60;
  std::string indent_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace portloom::app
