// fuzz/config.cpp
//
// No text may crash the reader of configurations, and what it takes must survive printing.
#include <cstddef>
#include <cstdint>
#include <string>

#include "base/check.h"
#include "config/load.h"
#include "data/print.h"

namespace {

using namespace portloom;

struct Timeout {
  Duration total = 15s;
  std::optional<Duration> first_byte;
  void visit(this auto& self, auto& field) {
    using namespace data::rules;
    field("total", self.total, short_form, at_least(Duration(1ms)), "The whole.");
    field("first_byte", self.first_byte, "The first byte.");
  }
};

const config::Catalogue& catalogue() {
  static const config::Catalogue filled = [] {
    config::Catalogue made;
    made.policy<Timeout>("timeout", "Bounds a request.");
    return made;
  }();
  return filled;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  if (size > 64 * 1024) return 0;
  auto environment = [](std::string_view name) { return name == "SET" ? std::optional<std::string>("8080") : std::nullopt; };
  std::string text(reinterpret_cast<const char*>(bytes), size);
  config::Loaded loaded = config::load_text("fuzz.yaml", text, catalogue(), environment);
  for (auto format : {data::ProblemFormat::text, data::ProblemFormat::json, data::ProblemFormat::github})
    data::render(loaded.problems, format);
  CHECK(loaded || !loaded.problems.empty());
  if (!loaded) return 0;
  const data::Shape& shape = data::shape_of<config::Document>();
  std::string printed = data::print_yaml(shape, loaded.document.get(), *loaded.origins, *loaded.sources);
  // A literal ${ would be the environment when it is read again.
  if (printed.find("${") != std::string::npos) return 0;
  CHECK(config::load_text("printed.yaml", printed, catalogue(), environment));
  return 0;
}
