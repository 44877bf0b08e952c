// data/shape.h
//
// Shape: what a type of the configuration looks like, built once per type from its `visit`. Reading, defaults, checks,
// printing, JSON Schema and the reference are plain code over Shapes, so a field is described in one place, and only there:
//   void visit(this auto& self, auto& field) {
//     using namespace data::rules;
//     field("requests", self.requests, required, at_least(1), "How many requests a key may make per period.");
//   }
#pragma once

#include <concepts>
#include <cstddef>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/duration.h"
#include "data/anything.h"
#include "data/part.h"
#include "data/quantity.h"
#include "data/value.h"

namespace portloom::data {

struct Shape;
class Checker;

// One name of an enum. An enum E is described by `std::vector<data::Choice> choices_of(E)` beside it.
struct Choice {
  std::string_view name;
  int64_t value = 0;
  bool later = false;
  template <class E>
    requires std::is_enum_v<E>
  Choice(std::string_view choice_name, E choice_value) : name(choice_name), value(static_cast<int64_t>(choice_value)) {}
  // A name of a later version.
  explicit Choice(std::string_view later_name) : name(later_name), later(true) {}
};

// What the texts of a field are.
enum class Text : uint8_t {
  literal,
  computes,   // braces compute (data/expression.h)
  expression  // one expression, bare
};

struct Field {
  std::string_view name;
  std::string_view description;
  ptrdiff_t offset = 0;
  const Shape& (*shape)() = nullptr;
  bool required = false;
  bool short_form = false;
  std::optional<long double> at_least;  // of an integer, a number, nanoseconds, bytes, a fraction, a list's length
  std::optional<long double> at_most;
  std::vector<std::string_view> one_of;
  bool (*valid)(std::string_view) = nullptr;
  std::string_view valid_name;  // "a header name"
  Text text = Text::literal;
  std::string_view refers_to;  // "service": its texts are names of such things; empty: they are not
};

struct Shape {
  enum class Kind : uint8_t {
    boolean,
    integer,
    number,
    text,
    duration,
    size,
    percent,
    choice,
    secret,
    address,
    part,  // one value
    anything,
    optional,
    list,
    named,     // of `item`
    structure  // of `fields`
  };
  Kind kind = Kind::text;
  std::string name;  // structure and choice: the type's name, for schema and reference

  // The object behind a void*.
  std::shared_ptr<void> (*make)() = nullptr;
  void (*store)(void*, int64_t) = nullptr;  // integer, choice
  int64_t (*fetch)(const void*) = nullptr;
  long double smallest = 0;  // integer
  long double largest = 0;

  std::vector<Choice> choices;  // choice
  std::string_view place;       // part

  const Shape& (*item)() = nullptr;  // optional, list, named
  void* (*append)(void*, std::string_view key) = nullptr;
  size_t (*count)(const void*) = nullptr;
  const void* (*at)(const void*, size_t) = nullptr;
  std::string_view (*key)(const void*, size_t) = nullptr;  // named
  void (*clear)(void*) = nullptr;
  void (*reserve)(void*, size_t) = nullptr;  // list: room for so many, so that a long one is not copied

  std::vector<Field> fields;  // structure
  std::vector<std::string_view> later;
  bool open = false;        // keys that begin with x- are ignored
  ptrdiff_t position = -1;  // offset of a member `data::Position at`
  std::shared_ptr<const void> defaults;
  void (*check)(const void*, Checker&) = nullptr;

  const Field* find(std::string_view field) const;
  const Field* short_form() const;
};

// The shape of T, built on first use; lives for ever. Any thread.
template <class T>
const Shape& shape_of();

namespace rules {

struct Required {};
struct ShortForm {};
struct RefersTo {
  std::string_view thing;
};
struct AtLeast {
  long double bound;
};
struct AtMost {
  long double bound;
};
struct OneOf {
  std::vector<std::string_view> names;
};
struct Valid {
  bool (*accepts)(std::string_view);
  std::string_view name;
};

inline constexpr Required required;
// The field that a bare value fills: `timeout: 3s`. One per structure.
inline constexpr ShortForm short_form;

// The text, each text of a list, each value of a map: braces compute in it; or it is one bare expression. What is no template and
// no expression is refused when it is read.
inline constexpr Text computes = Text::computes;
inline constexpr Text expression = Text::expression;
// Each text is the name of such a thing (the singular, as a key has it: "service", "consumer"), or of "group": a group of some consumer.
// Whoever has the whole document checks it.
constexpr RefersTo refers_to(std::string_view thing) { return {thing}; }

inline long double measure(Duration duration) { return static_cast<long double>(duration.count()); }
inline long double measure(Size size) { return static_cast<long double>(size.bytes); }
inline long double measure(Percent percent) { return percent.fraction; }
template <class N>
  requires std::is_arithmetic_v<N>
long double measure(N number) {
  return static_cast<long double>(number);
}
// Inclusive. Durations take a Duration, sizes a Size; lists and texts are measured by their length.
AtLeast at_least(auto bound) { return {measure(bound)}; }
AtMost at_most(auto bound) { return {measure(bound)}; }
template <class... Names>
OneOf one_of(Names... names) {
  return {{std::string_view(names)...}};
}
// A text (or each text of a list, or each key of a map) that `accepts` takes; `name` completes "expected ...".
inline Valid valid(bool (*accepts)(std::string_view), std::string_view name) { return {accepts, name}; }

}  // namespace rules

// What `visit` is handed: collects the fields of one structure.
class ShapeBuilder {
 public:
  ShapeBuilder(Shape& shape, const void* object) : shape_(shape), object_(static_cast<const char*>(object)) {}

  // field("name", self.member, rules..., "Description.")
  template <class Member, class... Rules>
  void operator()(std::string_view name, Member& member, const Rules&... rules) {
    Field field;
    field.name = name;
    field.offset = reinterpret_cast<const char*>(&member) - object_;
    field.shape = &shape_of<std::remove_const_t<Member>>;
    (apply(field, rules), ...);
    shape_.fields.push_back(std::move(field));
  }
  // Keys of a later version: refused as "not in this version", not as unknown.
  template <class... Names>
  void later(Names... names) {
    (shape_.later.push_back(std::string_view(names)), ...);
  }
  // Keys that begin with x- are ignored here.
  void open() { shape_.open = true; }

 private:
  static void apply(Field& field, std::string_view description) { field.description = description; }
  static void apply(Field& field, rules::Required) { field.required = true; }
  static void apply(Field& field, Text text) { field.text = text; }
  static void apply(Field& field, rules::RefersTo rule) { field.refers_to = rule.thing; }
  static void apply(Field& field, rules::ShortForm) { field.short_form = true; }
  static void apply(Field& field, rules::AtLeast rule) { field.at_least = rule.bound; }
  static void apply(Field& field, rules::AtMost rule) { field.at_most = rule.bound; }
  static void apply(Field& field, const rules::OneOf& rule) { field.one_of = rule.names; }
  static void apply(Field& field, rules::Valid rule) {
    field.valid = rule.accepts;
    field.valid_name = rule.name;
  }
  Shape& shape_;
  const char* object_;
};

// Handed to a structure's optional `void check(data::Checker& checker) const`, which runs once the structure was read
// without error, for what no single field can know.
class Checker {
 public:
  virtual ~Checker() = default;
  // `field` says where: a key of the structure (its own place when the key is not written), or "" for the structure.
  virtual void error(std::string_view field, std::string message, std::string hint = {}) = 0;
  virtual void warning(std::string_view field, std::string message, std::string hint = {}) = 0;
  virtual bool written(std::string_view field) const = 0;
};

}  // namespace portloom::data

#include "data/describe.h"
