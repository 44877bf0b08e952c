// data/reader.cpp
//
// Value to object, by Shape. Goes on after a problem; the caller sees all of them.
#include "data/reader.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "base/text.h"
#include "data/expression.h"
#include "data/scalar.h"
#include "data/yaml.h"

namespace portloom::data {
namespace {

std::string join(const std::string& path, std::string_view name) {
  return path.empty() ? std::string(name) : path + "." + std::string(name);
}
std::string join(const std::string& path, size_t index) { return path + "[" + std::to_string(index) + "]"; }

bool refuse(Reader& reader, Position at, const std::string& path, std::string message, std::string hint = {}) {
  reader.problems.error(at, path, std::move(message), std::move(hint));
  return false;
}

bool wrong_kind(Reader& reader, const Shape& shape, const Value& value, const std::string& path) {
  if (value.is_null())
    return refuse(reader, value.at, path, "expected " + expected(shape) + ", found nothing", "write a value, or leave the key away");
  bool braces = shape.kind == Shape::Kind::text && !value.is_text();
  return refuse(reader, value.at, path, "expected " + expected(shape) + ", found " + std::string(name_of(value.kind)),
                braces ? "quote this text" : "");
}

bool read_list(const Shape& shape, const Value& value, void* into, const std::string& path, Reader& reader) {
  if (value.is_null()) return wrong_kind(reader, shape, value, path);
  shape.clear(into);
  if (!value.is_list()) return read(shape.item(), value, shape.append(into, {}), join(path, 0), reader);
  bool good = true;
  shape.reserve(into, value.list.size());
  for (size_t i = 0; i < value.list.size(); ++i) {
    good = read(shape.item(), value.list[i], shape.append(into, {}), join(path, i), reader) && good;
    // A hundred thousand routes need not be there twice.
    if (reader.consumes && shape.item().kind == Shape::Kind::structure) const_cast<Value&>(value.list[i]) = Value{};
  }
  return good;
}

bool read_named(const Shape& shape, const Value& value, void* into, const std::string& path, Reader& reader) {
  if (!value.is_map()) return wrong_kind(reader, shape, value, path);
  shape.clear(into);
  bool good = true;
  for (const Value::Entry& entry : value.map) {
    std::string entry_path = join(path, entry.key);
    good = read(shape.item(), entry.value, shape.append(into, entry.key), entry_path, reader) && good;
    reader.origins.set(std::move(entry_path), entry.at);
  }
  return good;
}

bool read_secret(const Shape& shape, const Value& value, Secret& into, const std::string& path, Reader& reader) {
  if (value.is_text()) return refuse(reader, value.at, path, "a secret is never written here", "write {file: PATH} or {env: NAME}");
  if (!value.is_map() || value.map.size() != 1) return wrong_kind(reader, shape, value, path);
  const Value::Entry& entry = value.map.front();
  if (entry.key != "file" && entry.key != "env")
    return refuse(reader, entry.at, path, "unknown key \"" + entry.key + "\"", "write {file: PATH} or {env: NAME}");
  if (!entry.value.is_text() || entry.value.text.empty()) return refuse(reader, entry.value.at, path, "expected a text");
  into.source = entry.key == "file" ? Secret::Source::file : Secret::Source::env;
  into.name = entry.value.text;
  return true;
}

// Every text in a value of any form keeps its place.
bool set_origins(const Value& value, const std::string& path, Reader& reader) {
  std::string grown = path;
  walk_values(value, grown, [&](const Value& text, std::string_view at) { reader.origins.set(at, text.at); });
  return true;
}

// ---- open places

// Did you mean, or what there is.
std::string suggestion(std::string_view word, const std::vector<std::string_view>& names, std::string_view what) {
  constexpr size_t listed_max = 24;
  std::string hint = did_you_mean(word, names);
  if (!hint.empty() || names.size() > listed_max) return hint;
  hint = what;
  for (std::string_view name : names) hint.append(name == names.front() ? ": " : ", ").append(name);
  return hint;
}

bool unknown_kind(const OpenPlace& place, const Value& value, const std::string& path, Reader& reader) {
  std::vector<std::string_view> names;
  for (const PartKind& kind : place.kinds)
    if (kind.shape != nullptr) names.push_back(kind.name);
  const Value::Entry& first = value.map.front();
  return refuse(reader, first.at, join(path, first.key), "unknown " + place.name + " \"" + first.key + "\"",
                suggestion(first.key, names, "there is"));
}

// The first key that names a kind: the others may belong to it.
const Value::Entry* kind_key(const OpenPlace& place, const Value& value) {
  for (const Value::Entry& entry : value.map)
    if (place.find(entry.key) != nullptr) return &entry;
  return nullptr;
}

std::string part_path(const PartKind& kind, const std::string& path) {
  return kind.form == PartKind::Form::whole ? path : join(path, kind.name);
}

bool fill_part(const PartKind& kind, Position at, const Value& value, Part& part, const std::string& path, Reader& reader) {
  if (kind.shape == nullptr) return refuse(reader, at, path, "\"" + kind.name + "\" is not in this version");
  std::shared_ptr<void> config = kind.shape->make();
  Value empty;  // `compress:` alone takes all defaults
  empty.kind = Value::Kind::map;
  empty.at = at;
  bool good = read(*kind.shape, value.is_null() ? empty : value, config.get(), path, reader);
  part.kind = kind.name;
  part.name = kind.name;
  part.shape = kind.shape;
  part.at = at;
  part.path = path;
  const Field* name = kind.shape->find("name");
  if (name != nullptr && name->shape().kind == Shape::Kind::text) {
    const auto& text = *reinterpret_cast<const std::string*>(static_cast<const char*>(config.get()) + name->offset);
    if (!text.empty()) part.name = text;
  }
  reader.origins.set(path, at);
  part.config = std::move(config);
  return good;
}

bool read_part(const Shape& shape, const Value& value, Part& part, const std::string& path, Reader& reader) {
  const OpenPlace* place = reader.places.find(shape.place);
  if (place == nullptr)
    return refuse(reader, value.at, path, "nothing can stand here: no kind of " + std::string(shape.place) + " is known");
  if (value.is_text()) {
    const PartKind* bare = place->find(place->bare);
    if (bare != nullptr) return fill_part(*bare, value.at, value, part, part_path(*bare, path), reader);
    return refuse(reader, value.at, path, "expected " + expected(shape) + ", found \"" + value.text.substr(0, 80) + "\"",
                  "a " + place->name + " is written {name: …}");
  }
  if (!value.is_map() || value.map.empty()) return wrong_kind(reader, shape, value, path);
  const Value::Entry* entry = kind_key(*place, value);
  if (entry == nullptr) return unknown_kind(*place, value, path, reader);
  const PartKind& kind = *place->find(entry->key);
  std::string kind_path = part_path(kind, path);
  if (kind.shape != nullptr && kind.form == PartKind::Form::whole) return fill_part(kind, entry->at, value, part, kind_path, reader);
  if (kind.shape != nullptr && value.map.size() > 1) {
    const Value::Entry& other = &value.map[0] == entry ? value.map[1] : value.map[0];
    const Value::Entry& second = &value.map[0] == entry ? value.map[1] : *entry;
    bool dash = place->find(other.key) != nullptr;
    if (dash && place->name != "policy")
      return refuse(reader, second.at, path,
                    "a " + place->name + " has one key, found \"" + value.map[0].key + "\" and \"" + value.map[1].key + "\"",
                    "keep one of the two");
    return refuse(reader, second.at, path,
                  "a " + place->name + " has one key, found \"" + value.map[0].key + "\" and \"" + value.map[1].key + "\"",
                  dash ? "is a dash missing before \"" + second.key + "\"?" : "are its settings not indented below \"" + kind.name + "\"?");
  }
  return fill_part(kind, entry->at, entry->value, part, kind_path, reader);
}

// ---- rules

bool check_bounds(const Field& field, const Shape& shape, long double measure, const Value& value, const std::string& path,
                  Reader& reader) {
  bool below = field.at_least && measure < *field.at_least;
  bool above = field.at_most && measure > *field.at_most;
  if (!below && !above) return true;
  long double bound = below ? *field.at_least : *field.at_most;
  std::string shown;
  bool length = false;
  switch (shape.kind) {
    case Shape::Kind::duration: shown = format_duration(Duration(static_cast<int64_t>(bound))); break;
    case Shape::Kind::size: shown = format_size(Size{static_cast<uint64_t>(bound)}); break;
    case Shape::Kind::percent: shown = format_percent(Percent{static_cast<double>(bound)}); break;
    case Shape::Kind::number: {
      char digits[32];
      auto [end, fault] = std::to_chars(digits, digits + sizeof digits, static_cast<double>(bound));
      shown.assign(digits, end);
      break;
    }
    case Shape::Kind::integer: shown = std::to_string(static_cast<int64_t>(bound)); break;
    default: shown = std::to_string(static_cast<int64_t>(bound)), length = true; break;
  }
  std::string unit = !length ? "" : shape.kind == Shape::Kind::text ? " characters" : bound == 1 ? " entry" : " entries";
  return refuse(reader, value.at, path, "\"" + std::string(field.name) + "\" must be at " + (below ? "least " : "most ") + shown + unit);
}

bool check_text(const Field& field, std::string_view text, Position at, const std::string& path, Reader& reader) {
  if (!field.one_of.empty()) {
    bool found = false;
    std::string names;
    for (std::string_view name : field.one_of) {
      found = found || name == text;
      names += (names.empty() ? "" : ", ") + std::string(name);
    }
    if (!found)
      return refuse(reader, at, path, "expected one of " + names + ", found \"" + std::string(text.substr(0, 80)) + "\"",
                    did_you_mean(text, field.one_of));
  }
  if (field.valid == nullptr || field.valid(text)) return true;
  return refuse(reader, at, path, "expected " + std::string(field.valid_name) + ", found \"" + std::string(text.substr(0, 80)) + "\"");
}

bool check_grammar(const Field& field, std::string_view text, Position at, const std::string& path, Reader& reader) {
  TextFault fault = fault_of(field.text, text);
  return fault.ok() ||
         refuse(reader, reader.problems.sources().inside(at, text, fault.at), path, std::move(fault.message), std::move(fault.hint));
}

bool check_values(const Field& field, const Value& value, const std::string& path, Reader& reader) {
  bool good = true;
  std::string grown = path;
  walk_values(value, grown, [&](const Value& text, std::string_view at) {
    good = check_grammar(field, text.text, text.at, std::string(at), reader) && good;
  });
  return good;
}

bool check_rules(const Field& field, const Shape& shape, const Value& value, const void* object, const std::string& path, Reader& reader) {
  using Kind = Shape::Kind;
  auto bounds = [&](long double measure) { return check_bounds(field, shape, measure, value, path, reader); };
  switch (shape.kind) {
    case Kind::integer: return bounds(static_cast<long double>(shape.fetch(object)));
    case Kind::number: return bounds(*static_cast<const double*>(object));
    case Kind::duration: return bounds(rules::measure(*static_cast<const Duration*>(object)));
    case Kind::size: return bounds(rules::measure(*static_cast<const Size*>(object)));
    case Kind::percent: return bounds(rules::measure(*static_cast<const Percent*>(object)));
    case Kind::text: {
      const std::string& text = *static_cast<const std::string*>(object);
      return check_text(field, text, value.at, path, reader) && check_grammar(field, text, value.at, path, reader) &&
             bounds(static_cast<long double>(text.size()));
    }
    case Kind::optional: return check_rules(field, shape.item(), value, shape.at(object, 0), path, reader);
    case Kind::list: {
      bool good = bounds(static_cast<long double>(shape.count(object)));
      if (shape.item().kind != Kind::text) return good;
      for (size_t i = 0; i < shape.count(object); ++i) {
        const Value& item = value.is_list() ? value.list[i] : value;
        const std::string& text = *static_cast<const std::string*>(shape.at(object, i));
        good =
            check_text(field, text, item.at, join(path, i), reader) && check_grammar(field, text, item.at, join(path, i), reader) && good;
      }
      return good;
    }
    case Kind::named: {
      bool good = bounds(static_cast<long double>(shape.count(object)));
      for (const Value::Entry& entry : value.map) {
        good = check_text(field, entry.key, entry.at, join(path, entry.key), reader) && good;
        if (field.text != Text::literal)
          good = check_grammar(field, entry.value.text, entry.value.at, join(path, entry.key), reader) && good;
      }
      return good;
    }
    case Kind::anything: return check_values(field, value, path, reader);
    default: return true;
  }
}

// ---- structures

class ReaderChecker final : public Checker {
 public:
  ReaderChecker(const Value& value, const std::string& path, Reader& reader) : value_(value), path_(path), reader_(reader) {}
  void error(std::string_view field, std::string message, std::string hint) override {
    failed_ = true;
    reader_.problems.error(at(field), field.empty() ? path_ : join(path_, field), std::move(message), std::move(hint));
  }
  void warning(std::string_view field, std::string message, std::string hint) override {
    reader_.problems.warning(at(field), field.empty() ? path_ : join(path_, field), std::move(message), std::move(hint));
  }
  bool written(std::string_view field) const override { return value_.find(field) != nullptr; }
  bool failed() const { return failed_; }

 private:
  Position at(std::string_view field) const {
    const Value::Entry* entry = value_.find(field);
    return entry != nullptr ? entry->at : value_.at;
  }
  const Value& value_;
  const std::string& path_;
  Reader& reader_;
  bool failed_ = false;
};

bool unknown_key(const Shape& shape, const Value::Entry& entry, const std::string& path, Reader& reader) {
  if (shape.open && entry.key.starts_with("x-")) return true;
  for (std::string_view later : shape.later)
    if (later == entry.key) return refuse(reader, entry.at, join(path, entry.key), "\"" + entry.key + "\" is not in this version");
  std::vector<std::string_view> names;
  for (const Field& field : shape.fields) names.push_back(field.name);
  return refuse(reader, entry.at, join(path, entry.key), "unknown key \"" + entry.key.substr(0, 80) + "\"",
                suggestion(entry.key, names, "keys here"));
}

bool read_field(const Field& field, const Value& value, void* into, const std::string& path, Reader& reader) {
  void* member = static_cast<char*>(into) + field.offset;
  const Shape& shape = field.shape();
  return read(shape, value, member, path, reader) && check_rules(field, shape, value, member, path, reader);
}

// A map may be the value of the short form when none of its keys is one of ours: authenticate: {api_key: {}}.
bool is_short_form(const Shape& shape, const Value& value) {
  const Field* field = shape.short_form();
  if (field == nullptr || value.is_null()) return false;
  if (!value.is_map()) return true;
  Shape::Kind kind = field->shape().kind;
  if (kind != Shape::Kind::list && kind != Shape::Kind::named && kind != Shape::Kind::structure) return false;
  for (const Value::Entry& entry : value.map)
    if (shape.find(entry.key) != nullptr) return false;
  return !value.map.empty();
}

bool read_structure(const Shape& shape, const Value& value, void* into, const std::string& path, Reader& reader) {
  if (shape.position >= 0) *reinterpret_cast<Position*>(static_cast<char*>(into) + shape.position) = value.at;
  bool good = true;
  bool short_form = is_short_form(shape, value);
  if (short_form) {
    const Field& field = *shape.short_form();
    good = read_field(field, value, into, join(path, field.name), reader);
  } else if (!value.is_map()) {
    return wrong_kind(reader, shape, value, path);
  }
  for (const Value::Entry& entry : value.map) {
    if (short_form) break;
    const Field* field = shape.find(entry.key);
    if (field == nullptr) {
      good = unknown_key(shape, entry, path, reader) && good;
    } else {
      good = read_field(*field, entry.value, into, join(path, entry.key), reader) && good;
    }
  }
  // A key of a later version may stand for what is missing: one message is enough.
  bool later = std::any_of(shape.later.begin(), shape.later.end(), [&](std::string_view key) { return value.find(key) != nullptr; });
  for (const Field& field : shape.fields) {
    if (later || !field.required || value.find(field.name) != nullptr || (short_form && field.short_form)) continue;
    good = refuse(reader, value.at, join(path, field.name), "\"" + std::string(field.name) + "\" is missing");
  }
  if (!good || shape.check == nullptr) return good;
  ReaderChecker checker(value, path, reader);
  shape.check(into, checker);
  return !checker.failed();
}

}  // namespace

bool read(const Shape& shape, const Value& value, void* into, const std::string& path, Reader& reader) {
  using Kind = Shape::Kind;
  if (!path.empty()) reader.origins.set(path, value.at);
  switch (shape.kind) {
    case Kind::optional:
      if (value.is_null()) return wrong_kind(reader, shape, value, path);
      return read(shape.item(), value, shape.append(into, {}), path, reader);
    case Kind::list: return read_list(shape, value, into, path, reader);
    case Kind::named: return read_named(shape, value, into, path, reader);
    case Kind::structure: return read_structure(shape, value, into, path, reader);
    case Kind::secret: return read_secret(shape, value, *static_cast<Secret*>(into), path, reader);
    case Kind::anything: *static_cast<Anything*>(into) = {value, true}; return set_origins(value, path, reader);
    case Kind::part: return read_part(shape, value, *static_cast<Part*>(into), path, reader);
    default: break;
  }
  if (!value.is_text()) return wrong_kind(reader, shape, value, path);
  TextFault fault = read_scalar(shape, value, into);
  return fault.ok() || refuse(reader, value.at, path, fault.message, fault.hint);
}

void Origins::seal() {
  std::ranges::sort(entries_, {}, [](const Entry& entry) { return std::pair(entry.hash, entry.order); });
  auto last = entries_.begin();
  for (auto entry = entries_.begin(); entry != entries_.end(); ++entry) {
    if (last != entries_.begin() && last[-1].hash == entry->hash)
      last[-1] = *entry;
    else
      *last++ = *entry;
  }
  entries_.erase(last, entries_.end());
  entries_.shrink_to_fit();
  sealed_ = true;
}

Position Origins::find(std::string_view path) const {
  uint64_t hash = std::hash<std::string_view>()(path);
  if (sealed_) {
    auto found = std::ranges::lower_bound(entries_, hash, {}, &Entry::hash);
    return found == entries_.end() || found->hash != hash ? Position{} : found->at;
  }
  for (auto entry = entries_.rbegin(); entry != entries_.rend(); ++entry)
    if (entry->hash == hash) return entry->at;
  return {};
}

Position Origins::nearest(std::string_view path) const {
  while (!path.empty()) {
    Position at = find(path);
    if (at.known()) return at;
    size_t end = path.find_last_of(".[");
    path = end == std::string_view::npos ? std::string_view() : path.substr(0, end);
  }
  return {};
}

Result<std::shared_ptr<const void>> read_text(const Shape& shape, std::string_view yaml, const OpenPlaces& places) {
  Sources sources;
  uint32_t file = sources.add("text", std::string(yaml));
  Problems problems(sources);
  Origins origins;
  Reader reader{problems, origins, places};
  std::shared_ptr<void> made = shape.make();
  if (auto value = read_yaml(file, problems)) read(shape, *value, made.get(), {}, reader);
  if (problems.failed()) return failure(Code::invalid, Side::gateway, render(problems.take()));
  return std::shared_ptr<const void>(made);
}

}  // namespace portloom::data
