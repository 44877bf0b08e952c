// data/regex.h
//
// Regex: a regular expression that takes time linear in the text (RE2, which is known here only). Any thread may match with
// one; the automaton that grows behind it stays within a fixed budget.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace re2 {
class RE2;
}

namespace portloom::data {

class Regex {
 public:
  static constexpr size_t text_bytes_max = 1024;    // of the expression
  static constexpr size_t memory_max = 512 * 1024;  // of its program and automaton
  static constexpr size_t groups_max = 16;          // capturing groups
  struct Group {
    int number = 0;
    std::string name;
  };

  // Code::invalid with what is wrong with it.
  static Result<Regex> compile(std::string_view text);
  Regex(Regex&&) noexcept;
  Regex& operator=(Regex&&) noexcept;
  ~Regex();

  // The whole text, not a part of it.
  bool matches(std::string_view text) const;
  // (?P<name>...) groups, by number.
  const std::vector<Group>& groups() const { return groups_; }
  // For a text that matches: what each of groups() holds, as views into `text`; data() is null where a group took no part.
  void capture(std::string_view text, std::string_view (&values)[groups_max]) const;
  // What every text that matches begins with; may be empty.
  std::string literal_prefix() const;

 private:
  explicit Regex(std::unique_ptr<re2::RE2> compiled);
  std::unique_ptr<re2::RE2> compiled_;
  std::vector<Group> groups_;
};

}  // namespace portloom::data
