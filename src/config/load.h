// config/load.h
//
// Files to a checked Document. All problems are found in one pass; a document with an error is never handed out.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "config/catalogue.h"
#include "config/document.h"
#include "data/problem.h"
#include "data/reader.h"

namespace portloom::config {

struct Loaded {
  std::shared_ptr<const Document> document;   // null: there were errors
  std::vector<data::ConfigProblem> problems;  // errors and warnings, by place
  std::shared_ptr<const data::Origins> origins;
  std::shared_ptr<const data::Sources> sources;
  std::vector<std::string> watched;  // files that were read and folders that `include` looks into
  std::string hash;                  // 16 hex digits over all texts, for portloom_config_info

  explicit operator bool() const { return document != nullptr; }
  // "shop.yaml:12" for a problem's `config`.
  std::string place(data::Position at) const { return sources->place(at); }
};

// To run it: routes as they are written are given up once they are resolved. A large table is then there once.
enum class Purpose : uint8_t { look, run };

// Reads and merges the files in order, each with what it includes: maps merge, lists are replaced, null removes. A directory stands
// for its *.yaml files by name. "-" is standard input. Blocks; not for a worker thread.
Loaded load(const std::vector<std::string>& paths, const Catalogue& catalogue, Purpose purpose = Purpose::look);

// One text under a name for its messages; it includes nothing. The environment is the process's unless given.
Loaded load_text(std::string name, std::string text, const Catalogue& catalogue,
                 const data::Environment& environment = data::process_environment());

// The files `run` takes when none is named: ./portloom.yaml, $XDG_CONFIG_HOME/portloom/portloom.yaml (or ~/.config),
// /etc/portloom/portloom.yaml; the first that is there, or empty.
std::string default_file();

}  // namespace portloom::config
