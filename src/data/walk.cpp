// data/walk.cpp
//
// One path that grows and shrinks on the way: nothing is copied for texts that nobody wants to see.
#include "data/walk.h"

namespace portloom::data {
namespace {

using Kind = Shape::Kind;

class Walk {
 public:
  Walk(std::string path, const SeeText& see) : path_(std::move(path)), see_(see) {}

  void structure(const Shape& shape, const void* object) {
    for (const Field& field : shape.fields) {
      size_t before = path_.size();
      if (!path_.empty()) path_ += '.';
      path_ += field.name;
      value(field, field.shape(), static_cast<const char*>(object) + field.offset);
      path_.resize(before);
    }
  }

 private:
  void value(const Field& field, const Shape& shape, const void* object) {
    bool wanted = field.text != Text::literal || !field.refers_to.empty();
    switch (shape.kind) {
      case Kind::text:
        if (const std::string& text = *static_cast<const std::string*>(object); wanted && !text.empty()) see_(field, text, path_);
        return;
      case Kind::anything:
        if (!wanted) return;
        walk_values(static_cast<const Anything*>(object)->value, path_,
                    [&](const Value& text, std::string_view path) { see_(field, text.text, path); });
        return;
      case Kind::optional:
        if (shape.count(object) > 0) value(field, shape.item(), shape.at(object, 0));
        return;
      case Kind::list:
        for (size_t i = 0; i < shape.count(object); ++i) within("[" + std::to_string(i) + "]", field, shape, object, i);
        return;
      case Kind::named:
        for (size_t i = 0; i < shape.count(object); ++i) within("." + std::string(shape.key(object, i)), field, shape, object, i);
        return;
      case Kind::structure: return structure(shape, object);
      case Kind::part:
        if (const Part& part = *static_cast<const Part*>(object); !part.empty())
          walk_texts(*part.shape, part.config.get(), part.path, see_);
        return;
      default: return;
    }
  }
  void within(const std::string& step, const Field& field, const Shape& shape, const void* object, size_t index) {
    size_t before = path_.size();
    path_ += step;
    value(field, shape.item(), shape.at(object, index));
    path_.resize(before);
  }

  std::string path_;
  const SeeText& see_;
};

}  // namespace

void walk_texts(const Shape& shape, const void* object, std::string path, const SeeText& see) {
  Walk(std::move(path), see).structure(shape, object);
}

const void* find_member(const Part& part, std::string_view field, Shape::Kind kind) {
  const Field* found = part.shape == nullptr ? nullptr : part.shape->find(field);
  if (found == nullptr || found->shape().kind != kind) return nullptr;
  return static_cast<const char*>(part.config.get()) + found->offset;
}

}  // namespace portloom::data
