// config/catalogue.h
//
// The kinds that may stand in open places. app/ adds what this build has; what the language knows but this version has not
// is refused as "not in this version". Passed to load, schema and reference; immutable once filled.
#pragma once

#include <string_view>

#include "data/part.h"
#include "data/shape.h"

namespace portloom::config {

class Catalogue {
 public:
  Catalogue();  // `chain`, the destinations `service` and `response`, and the names of later kinds

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

 private:
  data::OpenPlaces places_;
};

}  // namespace portloom::config
