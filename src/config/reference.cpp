// config/reference.cpp
//
// docs/reference.md from the same shapes that read the configuration: it cannot be out of date.
#include <set>

#include "config/commands.h"
#include "data/print.h"

namespace portloom::config {
namespace {

using data::Shape;

class ReferenceWriter {
 public:
  std::string text;

  // A section for `shape` and, after it, for every structure it holds that has none yet.
  void section(const Shape& shape, const std::string& path, std::string_view description) {
    if (!seen_.insert(&shape).second) return;
    text += "\n### `" + path + "`\n\n";
    if (!description.empty()) text += std::string(description) + "\n\n";
    body(shape, path);
  }

  void body(const Shape& shape, const std::string& path) {
    if (const data::Field* field = shape.short_form()) text += "Short form: a bare value is `" + std::string(field->name) + "`.\n\n";
    text += data::reference_table(shape);
    std::string later = names(shape);
    if (!later.empty()) text += "\nIn a later version: " + later + ".\n";
    for (const data::Field& field : shape.fields)
      inner(field, field.shape(), path.empty() ? std::string(field.name) : path + "." + std::string(field.name));
  }

 private:
  static std::string names(const Shape& shape) {
    std::string text;
    for (std::string_view name : shape.later) text += (text.empty() ? "`" : ", `") + std::string(name) + "`";
    for (const data::Field& field : shape.fields)
      for (const data::Choice& choice : field.shape().choices)
        if (choice.later) text += (text.empty() ? "`" : ", `") + std::string(field.name) + ": " + std::string(choice.name) + "`";
    return text;
  }

  void inner(const data::Field& field, const Shape& shape, const std::string& path) {
    switch (shape.kind) {
      case Shape::Kind::optional: return inner(field, shape.item(), path);
      case Shape::Kind::list: return inner(field, shape.item(), path + "[]");
      case Shape::Kind::named: return inner(field, shape.item(), path + ".NAME");
      case Shape::Kind::structure: return section(shape, path, field.description);
      default: return;
    }
  }

  std::set<const Shape*> seen_;
};

constexpr std::string_view introduction =
    "# Configuration reference\n"
    "\n"
    "Made from the code (`UPDATE=1 config_test`); do not edit. `portloom schema` prints the same as JSON Schema for editors.\n"
    "\n"
    "- duration: `3s` `250ms` `1h30m`; size: `64KiB` `10MB`; share: `5%`. A unit is always written.\n"
    "- address: `host:8080`, `\"[::1]:8443\"`, `:8080` (every address), `unix:/path`.\n"
    "- A bare value serves where a list is taken. A text that begins with `{`, `[` or `*`, or stands inside `{ }` or `[ ]` and holds one "
    "of `{ } [ ] , ?`, is quoted.\n"
    "- `${NAME:-default}` in any text is the environment, when the file is loaded; `$${` is a literal `${`.\n"
    "- Several `-c` files: maps merge, lists are replaced, `null` removes. Keys that begin with `x-` are ignored at the top level.\n"
    "\n## The document\n\n";

void open_place(ReferenceWriter& writer, const data::OpenPlace& place, std::string_view title, std::string_view example) {
  writer.text += "\n## " + std::string(title) + "\n\n" + std::string(example) + "\n";
  std::string later;
  for (const data::PartKind& kind : place.kinds) {
    if (kind.shape == nullptr) {
      later += (later.empty() ? "`" : ", `") + kind.name + "`";
      continue;
    }
    writer.text += "\n### `" + kind.name + "`\n\n" + kind.description + "\n\n";
    writer.body(*kind.shape, kind.name);
  }
  if (!later.empty()) writer.text += "\nIn a later version: " + later + ".\n";
}

}  // namespace

std::string reference(const Catalogue& catalogue) {
  ReferenceWriter writer;
  writer.text = introduction;
  writer.body(data::shape_of<Document>(), {});
  if (const data::OpenPlace* policies = catalogue.places().find(PolicyPlace::name))
    open_place(writer, *policies, "Policies", "A list item with one key: `- timeout: 3s`. They run in the order written.");
  if (const data::OpenPlace* destinations = catalogue.places().find(DestinationPlace::name))
    open_place(writer, *destinations, "Destinations", "What stands at `to`.");
  return writer.text;
}

}  // namespace portloom::config
