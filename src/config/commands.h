// config/commands.h
//
// What `portloom check`, `schema` and the generated reference print. app/main parses the command line and calls these.
#pragma once

#include <optional>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include "config/catalogue.h"
#include "config/load.h"
#include "data/problem.h"

namespace portloom::config {

// Empty when `text` is none of text, json, github.
std::optional<data::ProblemFormat> parse_problem_format(std::string_view text);

// `portloom check`: problems to `err` (json and github to `out`, for the tools that read them), a summary to `out`.
// With `print` the whole document, with the place each value is from. 0 = fine, warnings included; 1 = errors.
int check_command(const Loaded& loaded, data::ProblemFormat format, bool print, std::ostream& out, std::ostream& err);

// `portloom schema`: JSON Schema of the language, draft 2020-12.
std::string schema(const Catalogue& catalogue);

// docs/reference.md.
std::string reference(const Catalogue& catalogue);

}  // namespace portloom::config
