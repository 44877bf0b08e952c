// data/print.cpp
//
// An object as YAML: every value with the place it is from. What is empty and was not written is left out.
#include "data/print.h"

#include <algorithm>

#include "data/yaml.h"

namespace portloom::data {
namespace {

using Kind = Shape::Kind;

const void* member_of(const Field& field, const void* object) { return static_cast<const char*>(object) + field.offset; }

std::string format_double(double number) {
  std::string text;
  append_json_number(text, number);
  return text;
}

std::string format_choice(const Shape& shape, const void* object) {
  for (const Choice& choice : shape.choices)
    if (!choice.later && choice.value == shape.fetch(object)) return std::string(choice.name);
  return {};
}

// Inside brackets some texts need quotes that they do not need elsewhere; yaml_scalar already quotes them all.
std::string format_list(const Shape& shape, const void* object) {
  std::string text = "[";
  for (size_t i = 0; i < shape.count(object); ++i) text += (i == 0 ? "" : ", ") + format_value(shape.item(), shape.at(object, i));
  return text + "]";
}

bool is_nothing(const Shape& shape, const void* object) {
  switch (shape.kind) {
    case Kind::text: return static_cast<const std::string*>(object)->empty();
    case Kind::secret: return static_cast<const Secret*>(object)->source == Secret::Source::none;
    case Kind::anything: return !static_cast<const Anything*>(object)->written;
    case Kind::part: return static_cast<const Part*>(object)->empty();
    case Kind::address: return *static_cast<const Address*>(object) == Address{};
    case Kind::optional:
    case Kind::list:
    case Kind::named: return shape.count(object) == 0;
    case Kind::structure:
      return std::all_of(shape.fields.begin(), shape.fields.end(),
                         [&](const Field& field) { return is_nothing(field.shape(), member_of(field, object)); });
    default: return false;
  }
}

// The field of which the bare value says it all: the others are as they would be anyway.
const Field* short_form_of(const Shape& shape, const void* object) {
  const Field* bare = nullptr;
  for (const Field& field : shape.fields) {
    if (field.short_form)
      bare = &field;
    else if (format_value(field.shape(), member_of(field, object)) != format_value(field.shape(), member_of(field, shape.defaults.get())))
      return nullptr;
  }
  return bare;
}

std::string format_structure(const Shape& shape, const void* object) {
  if (const Field* bare = short_form_of(shape, object); bare != nullptr) return format_value(bare->shape(), member_of(*bare, object));
  std::string text;
  for (const Field& field : shape.fields) {
    if (is_nothing(field.shape(), member_of(field, object))) continue;
    text += (text.empty() ? "{" : ", ") + std::string(field.name) + ": " + format_value(field.shape(), member_of(field, object));
  }
  return text.empty() ? "{}" : text + "}";
}

std::string format_named(const Shape& shape, const void* object) {
  std::string text = "{";
  for (size_t i = 0; i < shape.count(object); ++i)
    text += (i == 0 ? "" : ", ") + yaml_scalar(shape.key(object, i)) + ": " + format_value(shape.item(), shape.at(object, i));
  return text + "}";
}

bool is_whole(const Part& part) { return part.shape->find(part.kind) != nullptr; }

// ---- the whole object, block style

class Printer {
 public:
  Printer(const Origins& origins, const Sources& sources) : origins_(origins), sources_(sources) {}

  void fields(const Shape& shape, const void* object, const std::string& path, size_t indent) {
    for (const Field& field : shape.fields) {
      const void* member = member_of(field, object);
      std::string at = path.empty() ? std::string(field.name) : path + "." + std::string(field.name);
      if (is_nothing(field.shape(), member) && !origins_.find(at).known()) continue;
      entry(std::string(field.name) + ":", field.shape(), member, at, indent);
    }
  }

  std::string text() const {
    size_t width = 0;
    for (const Line& line : lines_)
      if (line.text.size() <= 60) width = std::max(width, line.text.size());
    std::string out;
    for (const Line& line : lines_) {
      out += line.text;
      if (!line.place.empty()) {
        out.append(line.text.size() < width ? width - line.text.size() : 0, ' ');
        out += "  # " + line.place;
      }
      out += '\n';
    }
    return out;
  }

 private:
  struct Line {
    std::string text;
    std::string place;
  };

  void line(size_t indent, const std::string& text, std::string place) {
    lines_.push_back({std::string(indent, ' ') + text, std::move(place)});
  }

  std::string place(const std::string& path) const {
    Position at = origins_.find(path);
    return at.known() ? sources_.place(at) : "default";
  }

  // `head` is "key:" or "-".
  void entry(const std::string& head, const Shape& shape, const void* object, const std::string& path, size_t indent) {
    if (shape.kind == Kind::optional && shape.count(object) > 0) return entry(head, shape.item(), shape.at(object, 0), path, indent);
    bool nested = shape.kind == Kind::structure || shape.kind == Kind::named || shape.kind == Kind::part || shape.kind == Kind::list;
    if (!nested || is_nothing(shape, object) || is_flat_list(shape))
      return line(indent, head + " " + format_value(shape, object), place(path));
    size_t before = lines_.size();
    line(indent, head, {});
    children(shape, object, path, indent + 2);
    if (lines_.size() == before + 1) {
      lines_.back() = {std::string(indent, ' ') + head + " {}", place(path)};
    } else if (head == "-") {  // the dash stands before the first child
      lines_.erase(lines_.begin() + static_cast<ptrdiff_t>(before));
      lines_[before].text[indent] = '-';
    }
  }

  void children(const Shape& shape, const void* object, const std::string& path, size_t indent) {
    switch (shape.kind) {
      case Kind::structure: return fields(shape, object, path, indent);
      case Kind::part: return part(*static_cast<const Part*>(object), indent);
      case Kind::named:
        for (size_t i = 0; i < shape.count(object); ++i) {
          std::string key(shape.key(object, i));
          entry(yaml_scalar(key) + ":", shape.item(), shape.at(object, i), path + "." + key, indent);
        }
        return;
      default:
        for (size_t i = 0; i < shape.count(object); ++i)
          entry("-", shape.item(), shape.at(object, i), path + "[" + std::to_string(i) + "]", indent);
    }
  }

  void part(const Part& part, size_t indent) {
    if (is_whole(part)) return fields(*part.shape, part.config.get(), part.path, indent);
    // A kind of one value is written short: `chain: front_door`.
    const Field* short_form = part.shape->short_form();
    if (short_form != nullptr && part.shape->fields.size() == 1)
      return entry(part.kind + ":", short_form->shape(), member_of(*short_form, part.config.get()),
                   part.path + "." + std::string(short_form->name), indent);
    entry(part.kind + ":", *part.shape, part.config.get(), part.path, indent);
  }

  static bool is_flat_list(const Shape& shape) {
    return shape.kind == Kind::list && (shape.item().kind <= Kind::choice || shape.item().kind == Kind::address);
  }

  const Origins& origins_;
  const Sources& sources_;
  std::vector<Line> lines_;
};

}  // namespace

std::string format_value(const Shape& shape, const void* object) {
  switch (shape.kind) {
    case Kind::boolean: return *static_cast<const bool*>(object) ? "true" : "false";
    case Kind::integer: return std::to_string(shape.fetch(object));
    case Kind::number: return format_double(*static_cast<const double*>(object));
    case Kind::text: return yaml_scalar(*static_cast<const std::string*>(object));
    case Kind::duration: return format_duration(*static_cast<const Duration*>(object));
    case Kind::size: return format_size(*static_cast<const Size*>(object));
    case Kind::percent: return format_percent(*static_cast<const Percent*>(object));
    case Kind::choice: return format_choice(shape, object);
    case Kind::address: return yaml_scalar(static_cast<const Address*>(object)->text());
    case Kind::secret: {
      const Secret& secret = *static_cast<const Secret*>(object);
      if (secret.source == Secret::Source::none) return "{}";
      return (secret.source == Secret::Source::file ? "{file: " : "{env: ") + yaml_scalar(secret.name) + "}";
    }
    case Kind::anything: return format_anything(static_cast<const Anything*>(object)->value);
    case Kind::part: {
      const Part& part = *static_cast<const Part*>(object);
      if (part.empty()) return "{}";
      if (is_whole(part)) return format_value(*part.shape, part.config.get());
      return "{" + part.kind + ": " + format_value(*part.shape, part.config.get()) + "}";
    }
    case Kind::optional: return shape.count(object) == 0 ? "null" : format_value(shape.item(), shape.at(object, 0));
    case Kind::list: return format_list(shape, object);
    case Kind::named: return format_named(shape, object);
    case Kind::structure: return format_structure(shape, object);
  }
  return {};
}

std::string print_yaml(const Shape& shape, const void* object, const Origins& origins, const Sources& sources) {
  Printer printer(origins, sources);
  printer.fields(shape, object, {}, 0);
  return printer.text();
}

}  // namespace portloom::data
