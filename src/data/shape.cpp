// data/shape.cpp
//
// Questions to a Shape, and the registry of open places.
#include "data/shape.h"

namespace portloom::data {

const Field* Shape::find(std::string_view field) const {
  for (const Field& candidate : fields)
    if (candidate.name == field) return &candidate;
  return nullptr;
}

const Field* Shape::short_form() const {
  for (const Field& candidate : fields)
    if (candidate.short_form) return &candidate;
  return nullptr;
}

const PartKind* OpenPlace::find(std::string_view kind) const {
  for (const PartKind& candidate : kinds)
    if (candidate.name == kind) return &candidate;
  return nullptr;
}

OpenPlace& OpenPlaces::place(std::string_view name, std::string_view bare) {
  for (OpenPlace& candidate : places_) {
    if (candidate.name != name) continue;
    if (!bare.empty()) candidate.bare = bare;
    return candidate;
  }
  return places_.emplace_back(OpenPlace{std::string(name), std::string(bare), {}});
}

const OpenPlace* OpenPlaces::find(std::string_view name) const {
  for (const OpenPlace& candidate : places_)
    if (candidate.name == name) return &candidate;
  return nullptr;
}

void OpenPlaces::add(OpenPlace& place, PartKind kind) {
  for (PartKind& candidate : place.kinds) {
    if (candidate.name != kind.name) continue;
    candidate = std::move(kind);
    return;
  }
  place.kinds.push_back(std::move(kind));
}

namespace describe {

std::string short_name(std::string_view pretty_function) {
  size_t from = pretty_function.find("T = ");
  std::string_view type = pretty_function.substr(from + 4, pretty_function.rfind(']') - from - 4);
  std::string name;
  while (!type.empty()) {
    size_t end = type.find("::");
    std::string_view piece = type.substr(0, end);
    type = end == std::string_view::npos ? std::string_view() : type.substr(end + 2);
    if (piece == "portloom" || piece.starts_with("(anonymous")) continue;
    if (!name.empty()) name += '.';
    name += piece;
  }
  return name;
}

}  // namespace describe
}  // namespace portloom::data
