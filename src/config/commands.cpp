// config/commands.cpp
//
// `portloom check` and `portloom schema`.
#include "config/commands.h"

#include "data/print.h"

namespace portloom::config {
namespace {

std::string plural(size_t count, std::string_view thing) {
  return std::to_string(count) + " " + std::string(thing) + (count == 1 ? "" : "s");
}

// Routes that do without a policy of their listener: what a reviewer wants to see.
void list_skips(const Loaded& loaded, std::ostream& out) {
  for (const ResolvedRoute& route : loaded.document->resolved) {
    if (route.skip.empty()) continue;
    out << loaded.place(route.at) << ": " << route.name << " skips ";
    for (size_t i = 0; i < route.skip.size(); ++i) out << (i == 0 ? "" : ", ") << route.skip[i];
    out << "\n";
  }
}

}  // namespace

std::optional<data::ProblemFormat> parse_problem_format(std::string_view text) {
  if (text == "text") return data::ProblemFormat::text;
  if (text == "json") return data::ProblemFormat::json;
  if (text == "github") return data::ProblemFormat::github;
  return std::nullopt;
}

int check_command(const Loaded& loaded, data::ProblemFormat format, bool print, std::ostream& out, std::ostream& err) {
  bool text = format == data::ProblemFormat::text;
  (text ? err : out) << data::render(loaded.problems, format);
  if (!loaded) {
    size_t errors = 0;
    for (const data::ConfigProblem& problem : loaded.problems) errors += problem.severity == data::Severity::error ? 1 : 0;
    if (text) err << plural(errors, "error") << "\n";
    return 1;
  }
  if (print) {
    out << data::print_yaml(data::shape_of<Document>(), loaded.document.get(), *loaded.origins, *loaded.sources);
  } else if (text) {
    list_skips(loaded, out);
    out << "ok: " << plural(loaded.document->listeners.size(), "listener") << ", " << plural(loaded.document->resolved.size(), "route")
        << ", " << plural(loaded.document->services.size(), "service") << "\n";
  }
  return 0;
}

std::string schema(const Catalogue& catalogue) {
  return data::json_schema(data::shape_of<Document>(), catalogue.places(), "portloom.yaml");
}

}  // namespace portloom::config
