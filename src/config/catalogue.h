// config/catalogue.h
//
// The kinds that may stand in open places. app/ adds what this build has; what the language knows but this version has not
// is refused as "not in this version". Passed to load, schema and reference; immutable once filled.
#pragma once

#include <string_view>
#include <vector>

#include "data/part.h"
#include "data/problem.h"
#include "data/shape.h"

namespace portloom::config {

struct Document;

class Catalogue {
 public:
  Catalogue();  // `chain`, the destinations of this version, and the names of later kinds

  // A policy that is written `name: CONFIG`.
  template <class Config>
  void policy(std::string_view name, std::string_view description) {
    data::OpenPlaces::add(places_.place("policy"),
                          {std::string(name), std::string(description), &data::shape_of<Config>(), data::PartKind::Form::value});
  }
  // A destination. Form::whole: the map that has the key `name` is itself the Config.
  template <class Config>
  void destination(std::string_view name, std::string_view description, data::PartKind::Form form = data::PartKind::Form::value) {
    data::OpenPlaces::add(places_.place("destination"), {std::string(name), std::string(description), &data::shape_of<Config>(), form});
  }
  const data::OpenPlaces& places() const { return places_; }

  // Looks at a whole document that is without errors, for what is legal and unwise.
  using Review = void (*)(const Document& document, data::Problems& problems);
  void add_review(Review review) { reviews_.push_back(review); }
  void review(const Document& document, data::Problems& problems) const {
    for (Review one : reviews_) one(document, problems);
  }

 private:
  data::OpenPlaces places_;
  std::vector<Review> reviews_;
};

}  // namespace portloom::config
