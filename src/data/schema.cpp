// data/schema.cpp
//
// Shapes as JSON Schema (draft 2020-12), for editors, and as Markdown tables, for people.
#include <set>

#include "data/print.h"
#include "data/scalar.h"

namespace portloom::data {
namespace {

using Kind = Shape::Kind;

class SchemaWriter {
 public:
  SchemaWriter(std::string& out, const OpenPlaces& places) : json_(out, 2), places_(places) {}

  void document(const Shape& root, std::string_view title) {
    json_.begin_object();
    json_.member("$schema", "https://json-schema.org/draft/2020-12/schema").member("title", title);
    members(root);
    json_.key("$defs").begin_object();
    for (const OpenPlace& place : places_.all()) open_place(place);
    for (size_t i = 0; i < wanted_.size(); ++i) {  // grows while structures name others
      const Shape& shape = *wanted_[i];
      json_.key(shape.name);
      definition(shape);
    }
    json_.end_object().end_object();
  }

 private:
  void reference(std::string_view name) { json_.member("$ref", "#/$defs/" + std::string(name)); }

  void want(const Shape& shape) {
    if (seen_.insert(shape.name).second) wanted_.push_back(&shape);
    reference(shape.name);
  }

  // The members of the schema of one value, inside an object that the caller opened.
  void value(const Shape& shape) {
    switch (shape.kind) {
      case Kind::boolean: return plain("boolean");
      case Kind::integer: return plain("integer");
      case Kind::number: return plain("number");
      case Kind::text: json_.key("type").begin_array().value("string").value("number").value("boolean").end_array(); return;
      case Kind::duration: return pattern(R"(^(\d+d)?(\d+h)?(\d+m)?(\d+s)?(\d+ms)?(\d+us)?(\d+ns)?$)");
      case Kind::size: return pattern(R"(^\d+([KMGT]i?B|kB|B)$)");
      case Kind::percent: return pattern(R"(^\d+(\.\d+)?%$)");
      case Kind::address: return pattern(R"(^(unix:.+|.*:\d+)$)");
      case Kind::choice: return choice(shape);
      case Kind::secret: return secret();
      case Kind::anything: return;
      case Kind::part: return reference(shape.place);
      case Kind::optional: return value(shape.item());
      case Kind::list: return list(shape.item());
      case Kind::named:
        json_.member("type", "object").key("additionalProperties").begin_object();
        value(shape.item());
        json_.end_object();
        return;
      case Kind::structure: return want(shape);
    }
  }

  void inner(const Shape& shape) {
    json_.begin_object();
    value(shape);
    json_.end_object();
  }

  void variable() { json_.begin_object().member("type", "string").member("pattern", R"(\$\{)").end_object(); }

  void plain(std::string_view type) {  // or ${NAME:-default}
    json_.key("anyOf").begin_array().begin_object().member("type", type).end_object();
    variable();
    json_.end_array();
  }

  void pattern(std::string_view text) {
    json_.key("anyOf").begin_array().begin_object().member("type", "string").member("pattern", text).end_object();
    variable();
    json_.end_array();
  }

  void choice(const Shape& shape) {
    json_.key("anyOf").begin_array().begin_object().key("enum").begin_array();
    for (const Choice& candidate : shape.choices)
      if (candidate.name == "true" || candidate.name == "false")
        json_.value(candidate.name == "true");
      else if (!candidate.later)
        json_.value(candidate.name);
    json_.end_array().end_object();
    variable();
    json_.end_array();
  }

  void secret() {
    json_.member("type", "object").member("minProperties", 1).member("maxProperties", 1).member("additionalProperties", false);
    json_.key("properties").begin_object();
    for (std::string_view source : {"file", "env"}) json_.key(source).begin_object().member("type", "string").end_object();
    json_.end_object();
  }

  void list(const Shape& item) {  // a bare value serves where a list is taken
    json_.key("anyOf").begin_array().begin_object().member("type", "array").key("items");
    inner(item);
    json_.end_object();
    inner(item);
    json_.end_array();
  }

  void bound(const Field& field, const Shape& shape) {
    if (shape.kind != Kind::integer) return;
    if (field.at_least) json_.member("minimum", static_cast<int64_t>(*field.at_least));
    if (field.at_most) json_.member("maximum", static_cast<int64_t>(*field.at_most));
  }

  void property(const Field& field, const Shape& owner) {
    const Shape& shape = field.shape();
    json_.key(field.name).begin_object();
    value(shape);
    if (!field.one_of.empty() && shape.kind == Kind::text) {
      json_.key("enum").begin_array();
      for (std::string_view name : field.one_of) json_.value(name);
      json_.end_array();
    }
    bound(field, shape.kind == Kind::optional ? shape.item() : shape);
    if (!field.description.empty()) json_.member("description", field.description);
    if (is_scalar(shape) && !field.required) {
      const void* object = static_cast<const char*>(owner.defaults.get()) + field.offset;
      std::string text = format_value(shape, object);
      if (text != "\"\"") json_.key("default").raw(default_json(shape, text));
    }
    json_.end_object();
  }

  static std::string default_json(const Shape& shape, const std::string& text) {
    if (shape.kind == Kind::boolean || shape.kind == Kind::integer || shape.kind == Kind::number || text.starts_with('"')) return text;
    std::string quoted;
    append_json_string(quoted, text);
    return quoted;
  }

  void members(const Shape& shape) {
    json_.member("type", "object").key("properties").begin_object();
    for (const Field& field : shape.fields) property(field, shape);
    json_.end_object();
    json_.key("required").begin_array();
    for (const Field& field : shape.fields)
      if (field.required) json_.value(field.name);
    json_.end_array();
    if (shape.open) json_.key("patternProperties").begin_object().key("^x-").raw("true").end_object();
    json_.member("additionalProperties", false);
  }

  void definition(const Shape& shape) {
    const Field* short_form = shape.short_form();
    if (short_form == nullptr) {
      json_.begin_object();
      members(shape);
      json_.end_object();
      return;
    }
    json_.begin_object().key("anyOf").begin_array().begin_object();
    members(shape);
    json_.end_object();
    inner(short_form->shape());
    json_.end_array().end_object();
  }

  void open_place(const OpenPlace& place) {
    json_.key(place.name).begin_object().key("anyOf").begin_array();
    if (!place.bare.empty()) json_.begin_object().member("type", "string").end_object();
    for (const PartKind& kind : place.kinds) {
      if (kind.shape == nullptr) continue;
      if (kind.form == PartKind::Form::whole) {
        inner(*kind.shape);
        continue;
      }
      json_.begin_object().member("type", "object").member("description", std::string_view(kind.description));
      json_.key("properties").begin_object().key(kind.name);
      json_.begin_object().key("anyOf").begin_array();
      inner(*kind.shape);
      json_.begin_object().member("type", "null").end_object();
      json_.end_array().end_object();
      json_.end_object();
      json_.key("required").begin_array().value(std::string_view(kind.name)).end_array();
      json_.member("additionalProperties", false).end_object();
    }
    json_.end_array().end_object();
  }

  JsonWriter json_;
  const OpenPlaces& places_;
  std::vector<const Shape*> wanted_;
  std::set<std::string> seen_;
};

std::string cell(std::string_view text) {
  std::string escaped;
  for (char c : text) {
    if (c == '|') escaped += '\\';
    escaped += c;
  }
  return escaped;
}

std::string default_text(const Field& field, const Shape& owner) {
  if (field.required) return "required";
  const Shape& shape = field.shape();
  if (!is_scalar(shape)) return {};
  std::string text = format_value(shape, static_cast<const char*>(owner.defaults.get()) + field.offset);
  return text == "\"\"" ? std::string() : "`" + text + "`";
}

}  // namespace

std::string json_schema(const Shape& root, const OpenPlaces& places, std::string_view title) {
  std::string out;
  SchemaWriter(out, places).document(root, title);
  out += '\n';
  return out;
}

std::string type_text(const Shape& shape) {
  switch (shape.kind) {
    case Kind::boolean: return "true or false";
    case Kind::integer: return "whole number";
    case Kind::number: return "number";
    case Kind::text: return "text";
    case Kind::duration: return "duration";
    case Kind::size: return "size";
    case Kind::percent: return "share";
    case Kind::address: return "address";
    case Kind::secret: return "`{file: }` or `{env: }`";
    case Kind::anything: return "any value";
    case Kind::part: return std::string(shape.place);
    case Kind::optional: return type_text(shape.item());
    case Kind::list: return "list of " + type_text(shape.item());
    case Kind::named: return "map of names to " + type_text(shape.item());
    case Kind::structure: return shape.short_form() != nullptr ? "map, or " + type_text(shape.short_form()->shape()) : "map";
    case Kind::choice: break;
  }
  std::string names;
  for (const Choice& choice : shape.choices)
    if (!choice.later) names += (names.empty() ? "`" : ", `") + std::string(choice.name) + "`";
  return names;
}

std::string reference_table(const Shape& shape) {
  std::string table = "| key | type | default | meaning |\n|---|---|---|---|\n";
  for (const Field& field : shape.fields) {
    std::string type = type_text(field.shape());
    if (size_t text = type.rfind("text"); text != std::string::npos && field.text != Text::literal)
      type.replace(text, 4, field.text == Text::computes ? "text with `{…}`" : "expression");
    table += "| `" + std::string(field.name) + "` | " + cell(type) + " | " + cell(default_text(field, shape)) + " | ";
    table += cell(field.description) + " |\n";
  }
  return table;
}

}  // namespace portloom::data
