// app/manual.h
//
// What the command line says about itself, for man and for shells: made from the same table that parses it, so neither can be out
// of date. packaging/ holds what these print; a test compares.
#pragma once

#include <optional>
#include <string>

#include <CLI/CLI.hpp>

namespace portloom::app {

// Every verb, option and choice of `app`, as troff.
std::string man_page(const CLI::App& app);
std::string bash_completion(const CLI::App& app);
std::string zsh_completion(const CLI::App& app);

// Adds `completion` and `manual` to the command line, which outlives it and has all its other verbs when run() is called.
class Manual {
 public:
  explicit Manual(CLI::App& app);
  Manual(const Manual&) = delete;
  // The exit status when one of them was asked for; prints it.
  std::optional<int> run() const;

 private:
  CLI::App& app_;
  CLI::App* completion_;
  CLI::App* manual_;
  std::string shell_;
};

}  // namespace portloom::app
