// config/load.cpp
//
// Files → Values → Document. Order: read all files with what they include, merge, environment, defaults, shapes, then what only the whole
// knows.
#include "config/load.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <optional>

#include "config/include.h"
#include "config/resolve.h"

namespace portloom::config {
namespace {

namespace fs = std::filesystem;
using data::Value;

// FNV-1a: names a version of the text in metrics; nothing relies on its strength.
std::string hash_of(const data::Sources& sources) {
  uint64_t hash = 0xcbf29ce484222325;
  auto mix = [&](std::string_view text) {
    for (char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  };
  for (uint32_t file = 0; file < sources.size(); ++file) {
    mix(sources.text(file));
    mix(std::string_view("\0", 1));
  }
  static constexpr char digits[] = "0123456789abcdef";
  std::string text;
  for (int shift = 60; shift >= 0; shift -= 4) text += digits[(hash >> shift) & 15];
  return text;
}

// Where a service says nothing itself, `defaults.service` speaks, key by key. Places stay those of the defaults.
void apply_service_defaults(Value& root) {
  const Value::Entry* defaults = root.find("defaults");
  const Value::Entry* service = defaults == nullptr ? nullptr : defaults->value.find("service");
  Value::Entry* services = root.find("services");
  if (service == nullptr || services == nullptr || !service->value.is_map()) return;
  const Value settings = service->value;
  for (Value::Entry& entry : services->value.map) {
    if (!entry.value.is_map()) continue;
    for (const Value::Entry& setting : settings.map)
      if (entry.value.find(setting.key) == nullptr) entry.value.map.push_back(setting);
  }
}

// Lays one file's document upon those before it.
void lay(Value& root, std::optional<Value> value) {
  if (!value || value->map.empty()) return;
  if (root.map.empty())
    root = std::move(*value);
  else
    merge(root, *value);
}

Loaded finish(Value root, std::shared_ptr<data::Sources> sources, const Catalogue& catalogue, const data::Environment& environment,
              data::Problems& problems, Purpose purpose = Purpose::look) {
  Loaded loaded;
  auto origins = std::make_shared<data::Origins>();
  auto document = std::make_shared<Document>();
  if (!problems.failed()) {
    data::substitute(root, environment, problems);
    apply_service_defaults(root);
    data::Reader reader{problems, *origins, catalogue.places(), true};
    bool good = read(data::shape_of<Document>(), root, document.get(), {}, reader);
    origins->seal();
    if (!good) check_names(*document, root, *origins, problems);
    root = Value{};  // a large one is worth having back
    if (good && !problems.failed()) resolve(*document, *origins, problems);
    if (good && !problems.failed()) catalogue.review(*document, problems);
    if (purpose == Purpose::run) std::vector<Route>().swap(document->routes);  // `= {}` would keep the block: 46 MB of 100,000 routes
  }
  if (!problems.failed()) loaded.document = document;
  loaded.problems = problems.take();
  loaded.origins = origins;
  loaded.hash = hash_of(*sources);
  loaded.sources = std::move(sources);
  return loaded;
}

Value empty_document() {
  Value root;
  root.kind = Value::Kind::map;
  root.at = {0, 1, 1};
  return root;
}

// The files that a name stands for.
std::vector<std::string> files_of(const std::string& path, data::Problems& problems) {
  std::error_code fault;
  if (path == "-" || !fs::is_directory(path, fault)) return {path};
  std::vector<std::string> files;
  for (fs::directory_iterator entry(path, fault), end; !fault && entry != end; entry.increment(fault)) {
    std::string extension = entry->path().extension().string();
    if (extension == ".yaml" || extension == ".yml") files.push_back(entry->path().string());
  }
  std::sort(files.begin(), files.end());
  if (files.empty()) problems.error(data::nowhere, {}, "no *.yaml file in " + path);
  return files;
}

}  // namespace

Loaded load(const std::vector<std::string>& paths, const Catalogue& catalogue, Purpose purpose) {
  auto sources = std::make_shared<data::Sources>();
  data::Problems problems(*sources);
  const data::Environment environment = data::process_environment();
  Includes includes(*sources, problems, environment);
  Value root = empty_document();
  // A file that cannot be read has no line to point at: its name stands in the message.
  if (paths.empty()) problems.error(data::nowhere, {}, "no configuration file", "name one, or write ./portloom.yaml");
  for (const std::string& path : paths)
    for (const std::string& file : files_of(path, problems)) lay(root, includes.read(file));
  Loaded loaded = finish(std::move(root), std::move(sources), catalogue, environment, problems, purpose);
  loaded.watched = includes.watched();
  return loaded;
}

Loaded load_text(std::string name, std::string text, const Catalogue& catalogue, const data::Environment& environment) {
  auto sources = std::make_shared<data::Sources>();
  uint32_t file = sources->add(std::move(name), std::move(text));
  data::Problems problems(*sources);
  Value root = empty_document();
  lay(root, Includes(*sources, problems, environment).read_text(file));
  return finish(std::move(root), std::move(sources), catalogue, environment, problems);
}

std::string default_file() {
  std::vector<std::string> candidates = {"./portloom.yaml"};
  const char* config = std::getenv("XDG_CONFIG_HOME");
  const char* home = std::getenv("HOME");
  if (config != nullptr && *config != '\0')
    candidates.push_back(std::string(config) + "/portloom/portloom.yaml");
  else if (home != nullptr && *home != '\0')
    candidates.push_back(std::string(home) + "/.config/portloom/portloom.yaml");
  candidates.push_back("/etc/portloom/portloom.yaml");
  for (const std::string& candidate : candidates) {
    std::error_code fault;
    if (fs::is_regular_file(candidate, fault)) return candidate;
  }
  return {};
}

}  // namespace portloom::config
