// fuzz/composition_plan.cpp
//
// Any text as what stands under `compositions`: what is taken is compiled, explained and drawn. Calls stand in the stage behind all that
// they wait for, JSON is JSON, and the drawing is XML in which nothing of the text is markup.
#include <memory>
#include <string>
#include <string_view>

#include "app/explain.h"
#include "app/inspection.h"
#include "app/routes.h"
#include "base/text.h"
#include "compose/composition.h"
#include "data/slicer.h"
#include "fuzz/composed.h"

namespace {

using namespace portloom;
using fuzz::demand;

const compose::Outline::Call* find(const compose::Outline& outline, std::string_view name) {
  for (const compose::Outline::Call& call : outline.calls)
    if (call.name == name) return &call;
  return nullptr;
}

void look_at(const compose::Outline& outline) {
  for (const compose::Outline::Call& call : outline.calls) {
    demand(call.service.empty() != call.composition.empty() && call.stage <= outline.stages);
    for (const std::string& name : call.waits_for) {
      const compose::Outline::Call* needed = find(outline, name);
      demand(needed != nullptr);
      demand(call.stage == 0 || (needed->stage != 0 && needed->stage < call.stage));
    }
  }
}

// Every < begins one of the elements that a drawing has, every & one of our entities, and all that is open is closed.
void look_at_drawing(std::string_view svg) {
  int depth = 0;
  for (size_t at = svg.find_first_of("<&"); at != std::string_view::npos; at = svg.find_first_of("<&", at + 1)) {
    std::string_view rest = svg.substr(at);
    if (rest.front() == '&') {
      demand(rest.starts_with("&amp;") || rest.starts_with("&lt;") || rest.starts_with("&gt;") || rest.starts_with("&quot;"));
      continue;
    }
    std::string_view tag = rest.substr(1, rest.find('>') - 1);
    bool ends = tag.starts_with('/');
    std::string_view name = tag.substr(ends ? 1 : 0);
    name = name.substr(0, name.find_first_of(" \n/"));
    demand(name == "svg" || name == "title" || name == "style" || name == "rect" || name == "path" || name == "text" || name == "g");
    depth += ends ? -1 : tag.ends_with('/') ? 0 : 1;
    demand(depth >= 0);
  }
  demand(depth == 0 && svg.ends_with("</svg>\n"));
  for (char c : svg) demand(static_cast<unsigned char>(c) >= 0x20 || c == '\n');
}

// Compiled as a plan compiles it, those that are asked first.
class Compiled {
 public:
  explicit Compiled(const config::Loaded& loaded) : loaded_(loaded) {
    for (const auto& [name, composition] : loaded.document->compositions) add(name, composition);
  }

 private:
  void add(const std::string& name, const config::Composition& written) {
    if (plan_.compositions.contains(name)) return;
    for (const auto& [call_name, call] : written.calls)
      if (!call.composition.empty()) add(call.composition, *loaded_.document->compositions.find(call.composition));
    owned_.push_back(std::make_unique<compose::Composition>(
        written, "compositions." + name, name, 2s, [this](std::string_view) { return &plate_; },
        [this](std::string_view other) { return plan_.compositions.find(other)->second; }));
    plan_.compositions[name] = owned_.back().get();
  }
  const config::Loaded& loaded_;
  fuzz::Plate plate_;
  pipeline::Plan plan_{std::make_shared<const pipeline::Snapshot>()};
  std::vector<std::unique_ptr<compose::Composition>> owned_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  static const config::Catalogue catalogue;
  if (size > 16 * 1024) return 0;
  std::string text =
      "version: 1\nlisteners: {edge: {port: 1}}\n"
      "services: {a: {endpoints: [\"a:1\"]}, b: {endpoints: [\"b:1\"]}, c: {endpoints: [\"c:1\"]}}\n"
      "routes: [{match: {path: \"/home/{id}\"}, to: {composition: home}}]\ncompositions:\n";
  text.append(reinterpret_cast<const char*>(bytes), size);
  auto nothing = [](std::string_view) { return std::optional<std::string>(); };
  config::Loaded loaded = config::load_text("fuzz.yaml", text, catalogue, nothing);
  if (!loaded || loaded.document->compositions.find("home") == nullptr) return 0;
  testing::SimLoop loop;
  Compiled compiled(loaded);
  for (const auto& [name, composition] : loaded.document->compositions) {
    for (const compose::Outline& outline : compose::outlines_of(loaded, name)) look_at(outline);
    look_at_drawing(*app::plan_of(loaded, name, "svg"));
    demand(data::slice(*app::plan_of(loaded, name, "json"), {.bytes = 1 << 30}).has_value());
    demand(!app::plan_of(loaded, name, "text")->empty());
  }
  std::vector<std::string> listeners;
  for (const auto& [name, listener] : loaded.document->listeners) listeners.push_back(name);
  auto table = app::compile_routes(loaded, listeners);
  if (!table) return 0;
  app::Question question{
      .method = "GET", .url = "/home/7?page=2&q=%3C%26", .headers = {{"Host", "shop"}, {"X-App", "<&>"}}, .listener = "edge"};
  Result<app::Explanation> said = app::explain(loaded, **table, question);
  demand(said.has_value() && data::slice(app::explain_json(*said), {.bytes = 1 << 30}).has_value());
  app::explain_text(*said);
  return 0;
}
