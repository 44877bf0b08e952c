// data/describe.h
//
// How shape_of<T> finds out what T is. Included by data/shape.h at its end and by nobody else; kept apart so that the
// reader of Shape need not read templates.
#pragma once

#include "data/shape.h"

namespace portloom::data::describe {

template <class T>
struct IsOptional : std::false_type {};
template <class T>
struct IsOptional<std::optional<T>> : std::true_type {};
template <class T>
struct IsList : std::false_type {};
template <class T>
struct IsList<std::vector<T>> : std::true_type {};
template <class T>
struct IsNamed : std::false_type {};
template <class T>
struct IsNamed<Named<T>> : std::true_type {};
template <class T>
struct IsPart : std::false_type {};
template <class Place>
struct IsPart<PartAt<Place>> : std::true_type {
  static constexpr std::string_view place = Place::name;
};

// The type's name as the compiler spells it, cut down to "config.Route".
std::string short_name(std::string_view pretty_function);
template <class T>
std::string name_of_type() {
  return short_name(__PRETTY_FUNCTION__);
}

template <class T>
Shape whole_number() {
  Shape shape;
  shape.kind = Shape::Kind::integer;
  shape.store = [](void* object, int64_t number) { *static_cast<T*>(object) = static_cast<T>(number); };
  shape.fetch = [](const void* object) { return static_cast<int64_t>(*static_cast<const T*>(object)); };
  shape.smallest = static_cast<long double>(std::numeric_limits<T>::min());
  shape.largest = static_cast<long double>(sizeof(T) == 8 ? std::numeric_limits<int64_t>::max() : std::numeric_limits<T>::max());
  return shape;
}

template <class T>
Shape choice() {
  Shape shape;
  shape.kind = Shape::Kind::choice;
  shape.name = name_of_type<T>();
  shape.choices = choices_of(T{});
  shape.store = [](void* object, int64_t number) { *static_cast<T*>(object) = static_cast<T>(number); };
  shape.fetch = [](const void* object) { return static_cast<int64_t>(*static_cast<const T*>(object)); };
  return shape;
}

template <class T>
Shape optional() {
  Shape shape;
  shape.kind = Shape::Kind::optional;
  shape.item = &shape_of<typename T::value_type>;
  shape.append = [](void* object, std::string_view) -> void* { return &static_cast<T*>(object)->emplace(); };
  shape.count = [](const void* object) -> size_t { return static_cast<const T*>(object)->has_value() ? 1 : 0; };
  shape.at = [](const void* object, size_t) -> const void* { return &**static_cast<const T*>(object); };
  shape.clear = [](void* object) { static_cast<T*>(object)->reset(); };
  return shape;
}

template <class T>
Shape list() {
  Shape shape;
  shape.kind = Shape::Kind::list;
  shape.item = &shape_of<typename T::value_type>;
  shape.append = [](void* object, std::string_view) -> void* { return &static_cast<T*>(object)->emplace_back(); };
  shape.count = [](const void* object) { return static_cast<const T*>(object)->size(); };
  shape.at = [](const void* object, size_t index) -> const void* { return &(*static_cast<const T*>(object))[index]; };
  shape.clear = [](void* object) { static_cast<T*>(object)->clear(); };
  shape.reserve = [](void* object, size_t count) { static_cast<T*>(object)->reserve(count); };
  return shape;
}

template <class T>
Shape named() {
  Shape shape;
  shape.kind = Shape::Kind::named;
  shape.item = &shape_of<typename T::value_type::second_type>;
  shape.append = [](void* object, std::string_view key) -> void* { return &static_cast<T*>(object)->add(key); };
  shape.count = [](const void* object) { return static_cast<const T*>(object)->size(); };
  shape.at = [](const void* object, size_t index) -> const void* { return &(*static_cast<const T*>(object))[index].second; };
  shape.key = [](const void* object, size_t index) { return std::string_view((*static_cast<const T*>(object))[index].first); };
  shape.clear = [](void* object) { static_cast<T*>(object)->clear(); };
  return shape;
}

template <class T>
Shape structure() {
  Shape shape;
  shape.kind = Shape::Kind::structure;
  shape.name = name_of_type<T>();
  auto defaults = std::make_shared<T>();
  ShapeBuilder builder(shape, defaults.get());
  defaults->visit(builder);
  if constexpr (requires(T& object) {
                  { object.at } -> std::same_as<Position&>;
                })
    shape.position = reinterpret_cast<const char*>(&defaults->at) - reinterpret_cast<const char*>(defaults.get());
  if constexpr (requires(const T& object, Checker& checker) { object.check(checker); })
    shape.check = [](const void* object, Checker& checker) { static_cast<const T*>(object)->check(checker); };
  shape.defaults = defaults;
  return shape;
}

template <class T>
Shape plain(Shape::Kind kind) {
  Shape shape;
  shape.kind = kind;
  return shape;
}

template <class T>
Shape any() {
  using Kind = Shape::Kind;
  if constexpr (std::same_as<T, bool>)
    return plain<T>(Kind::boolean);
  else if constexpr (std::integral<T>)
    return whole_number<T>();
  else if constexpr (std::same_as<T, double>)
    return plain<T>(Kind::number);
  else if constexpr (std::same_as<T, std::string>)
    return plain<T>(Kind::text);
  else if constexpr (std::same_as<T, Duration>)
    return plain<T>(Kind::duration);
  else if constexpr (std::same_as<T, Size>)
    return plain<T>(Kind::size);
  else if constexpr (std::same_as<T, Percent>)
    return plain<T>(Kind::percent);
  else if constexpr (std::same_as<T, Secret>)
    return plain<T>(Kind::secret);
  else if constexpr (std::same_as<T, Address>)
    return plain<T>(Kind::address);
  else if constexpr (std::same_as<T, Anything>)
    return plain<T>(Kind::anything);
  else if constexpr (std::is_enum_v<T>)
    return describe::choice<T>();
  else if constexpr (IsPart<T>::value) {
    Shape shape = plain<T>(Kind::part);
    shape.place = IsPart<T>::place;
    return shape;
  } else if constexpr (IsOptional<T>::value)
    return describe::optional<T>();
  else if constexpr (IsList<T>::value)
    return describe::list<T>();
  else if constexpr (IsNamed<T>::value)
    return describe::named<T>();
  else
    return describe::structure<T>();
}

}  // namespace portloom::data::describe

namespace portloom::data {

template <class T>
const Shape& shape_of() {
  static const Shape shape = [] {
    Shape made = describe::any<T>();
    made.make = []() -> std::shared_ptr<void> { return std::make_shared<T>(); };
    return made;
  }();
  return shape;
}

template <class Config>
const Config* Part::as() const {
  return config != nullptr && shape == &shape_of<Config>() ? static_cast<const Config*>(config.get()) : nullptr;
}

}  // namespace portloom::data
