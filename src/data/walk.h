// data/walk.h
//
// Looks at every text of an object by its shape, whatever kinds its open places hold: how a whole document checks names and
// expressions that its parts only know as texts.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "data/shape.h"

namespace portloom::data {

// Calls see(field, text, path) for each text whose field has an expression, computes or refers to something, in the order of the
// shape; of a map its values. `path` is good during the call.
using SeeText = std::function<void(const Field& field, std::string_view text, std::string_view path)>;
void walk_texts(const Shape& shape, const void* object, std::string path, const SeeText& see);

// A field of a part, by its name and kind; null when the part has none.
const void* find_member(const Part& part, std::string_view field, Shape::Kind kind);
// The same as a value: find_value<Duration>(part, "first_byte").
template <class T>
const T* find_value(const Part& part, std::string_view field) {
  return static_cast<const T*>(find_member(part, field, shape_of<T>().kind));
}

}  // namespace portloom::data
