// app/inspection.cpp
//
// Each verb loads, compiles the routes, and prints. Exit statuses are those of the contract.
#include "app/inspection.h"

#include <CLI/CLI.hpp>

#include <iostream>

#include "app/listing.h"
#include "app/outline_page.h"
#include "app/routes.h"
#include "base/text.h"
#include "compose/drawing.h"
#include "data/problem.h"
#include "http/form.h"

namespace portloom::app {
namespace {

constexpr int exit_configuration = 1;
constexpr int exit_usage = 2;

struct Loading {
  config::Loaded loaded;
  std::shared_ptr<const pipeline::RouteTable> table;
  explicit operator bool() const { return table != nullptr; }
};

// Says what is wrong; warnings are `check`'s to tell.
Loading load(const std::string& file) {
  Loading made{config::load({file}, make_catalogue()), nullptr};
  if (!made.loaded) {
    std::cerr << data::render(made.loaded.problems);
    return made;
  }
  std::vector<std::string> listeners;
  for (const auto& [name, listener] : made.loaded.document->listeners) listeners.push_back(name);
  Result<std::shared_ptr<const pipeline::RouteTable>> table = compile_routes(made.loaded, listeners);
  if (table)
    made.table = std::move(*table);
  else
    std::cerr << "portloom: " << table.error().detail << "\n";
  return made;
}

bool add_field(std::string_view line, Question& question) {
  size_t colon = line.find(':');
  if (colon == std::string_view::npos || colon == 0) return false;
  question.headers.emplace_back(trim(line.substr(0, colon)), trim(line.substr(colon + 1)));
  return true;
}

}  // namespace

Inspection::Inspection(CLI::App& app) {
  explain_ = app.add_subcommand("explain", "Say what would become of a request: rules tried, chain, destination. Sends nothing.");
  explain_->footer(
      "Examples:\n  portloom explain shop.yaml GET https://shop.example/api/orders/7\n  portloom explain shop.yaml GET /health -H 'Host: "
      "shop.example' --format json");
  explain_->add_option("FILE", file_, "configuration")->required();
  explain_->add_option("METHOD", question_.method, "GET, POST, ...")->required();
  explain_->add_option("URL", question_.url, "https://HOST/PATH, or /PATH")->required();
  explain_->add_option("-H,--header", fields_, "a header field, 'Name: value'; several")->allow_extra_args(false);
  explain_->add_option("--listener", question_.listener, "the listener, where there are several");
  explain_->add_option("--from", question_.from, "the client's address");
  explain_->add_option("--format", format_, "text or json")->check(CLI::IsMember({"text", "json"}));
  plan_ = app.add_subcommand("plan", "Draw the composition that a route leads to: what is asked in which stage, and what stands in.");
  plan_->footer(
      "Examples:\n  portloom plan shop.yaml 'GET /home/{id}' > home.svg\n  portloom plan shop.yaml home --format text\n"
      "A route's name is what `portloom routes` and the access log call it.");
  plan_->add_option("FILE", file_, "configuration")->required();
  plan_->add_option("ROUTE", route_, "the name of a route, or of a composition")->required();
  plan_->add_option("--format", plan_format_, "svg, text or json")->check(CLI::IsMember({"svg", "text", "json"}));
  routes_ = app.add_subcommand("routes", "List the routes: listener, match, who may pass, limits, destination.");
  routes_->add_option("FILE", file_, "configuration")->required();
  diff_ = app.add_subcommand("diff", "Say what another configuration would change for requests.");
  diff_->add_option("OLD", file_, "the configuration in force")->required();
  diff_->add_option("NEW", other_, "the other one")->required();
}

std::optional<int> Inspection::run() {
  if (*explain_) return explain_command();
  if (*plan_) return plan_command();
  if (*routes_) return routes_command();
  if (*diff_) return diff_command();
  return std::nullopt;
}

int Inspection::explain_command() {
  for (const std::string& field : fields_) {
    if (add_field(field, question_)) continue;
    std::cerr << "portloom: -H takes 'Name: value', found \"" << field << "\"\n";
    return exit_usage;
  }
  Loading loading = load(file_);
  if (!loading) return exit_configuration;
  Result<Explanation> said = explain(loading.loaded, *loading.table, question_);
  if (!said) {
    std::cerr << "portloom: " << said.error().detail << "\n";
    return exit_usage;
  }
  std::cout << (format_ == "json" ? explain_json(*said) : explain_text(*said));
  return 0;
}

int Inspection::plan_command() {
  Loading loading = load(file_);
  if (!loading) return exit_configuration;
  Result<std::string> text = plan_of(loading.loaded, route_, plan_format_);
  if (!text) {
    std::cerr << "portloom: " << text.error().detail << "\n";
    return exit_usage;
  }
  std::cout << *text;
  return 0;
}

int Inspection::routes_command() {
  Loading loading = load(file_);
  if (!loading) return exit_configuration;
  std::cout << list_routes(loading.loaded);
  return 0;
}

int Inspection::diff_command() {
  Loading before = load(file_);
  Loading after = load(other_);
  if (!before || !after) return exit_configuration;
  std::string text = list_differences(before.loaded, *before.table, after.loaded, *after.table);
  std::cout << (text.empty() ? "nothing changes for a request\n" : text);
  return 0;
}

Result<std::string> plan_of(const config::Loaded& loaded, const std::string& name, const std::string& format) {
  const config::Document& document = *loaded.document;
  std::vector<compose::Outline> outlines;
  std::vector<std::string_view> names = document.compositions.names();
  for (const config::ResolvedRoute& route : document.resolved) {
    const auto* to = route.to.as<config::CompositionDestination>();
    if (to != nullptr) names.emplace_back(route.name);
    if (route.name != name) continue;
    if (to == nullptr) return failure(Code::invalid, Side::client, "the route \"" + name + "\" leads to no composition");
    outlines = compose::outlines_of(loaded, *to, route.to.path);
  }
  if (outlines.empty() && document.compositions.find(name) != nullptr) outlines = compose::outlines_of(loaded, name);
  if (outlines.empty()) {
    std::string hint = data::did_you_mean(name, names);
    if (hint.empty() && !names.empty()) hint = "write for instance '" + std::string(names.front()) + "'";
    if (hint.empty()) hint = "nothing here leads to a composition";
    return failure(Code::invalid, Side::client, "there is no route and no composition \"" + name + "\": " + hint);
  }
  if (format == "svg") return compose::drawing_of(name, outlines);
  std::string text;
  if (format == "text") {
    for (const compose::Outline& outline : outlines) text += (text.empty() ? "" : "\n") + outline_text(outline);
    return text;
  }
  data::JsonWriter json(text, 2);
  json.begin_array();
  for (const compose::Outline& outline : outlines) write_outline(json, outline);
  json.end_array();
  return text + "\n";
}

Result<std::string> explain_query(const Blueprint& blueprint, const policy::States& states, std::string_view query, Running::Look look) {
  Question question;
  bool json = true;
  std::string wrong;
  http::for_each_parameter(query, [&](std::string_view name, std::string_view value) {
    std::string text = http::form_decode(value);
    if (name == "method")
      question.method = text;
    else if (name == "url")
      question.url = text;
    else if (name == "listener")
      question.listener = text;
    else if (name == "from")
      question.from = text;
    else if (name == "format" && (text == "text" || text == "json"))
      json = text == "json";
    else if (name != "header" || !add_field(text, question))
      wrong = "\"" + std::string(name) + "=" + text +
              "\" is not understood: method, url, listener, from, header (Name: value), format (text or json)";
    return wrong.empty();
  });
  if (wrong.empty() && question.url.empty()) wrong = "ask with ?method=GET&url=https://HOST/PATH";
  if (!wrong.empty()) return failure(Code::bad_request, Side::client, std::move(wrong));
  Result<Explanation> said = explain(blueprint.loaded, *blueprint.snapshot->table, question,
                                     {&states, &blueprint.endpoints, &blueprint.circuits, &blueprint.health, std::move(look)});
  if (!said) return failure(Code::bad_request, Side::client, std::move(said.error().detail));
  return json ? explain_json(*said) : explain_text(*said);
}

}  // namespace portloom::app
