// data/part.h
//
// Open places of the configuration: a policy in a list, the destination of a route. Which kinds may stand there is known to
// the Catalogue that app/ fills; a Part is one such thing, read and checked against the shape of its kind.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "data/value.h"

namespace portloom::data {

struct Shape;

struct Part {
  std::string kind;                    // "rate_limit"
  std::string name;                    // its `name:` where it has one, else the kind
  std::shared_ptr<const void> config;  // shared by every use: its address tells one written place from another
  const Shape* shape = nullptr;        // of the config
  Position at;                         // of the kind's key
  std::string path;                    // "chains.front_door[1].rate_limit"

  bool empty() const { return config == nullptr; }
  // The config, or null when this is not a Config's kind. Needs data/shape.h.
  template <class Config>
  const Config* as() const;
};

// A Part whose place is known by its type: `struct PolicyPlace { static constexpr std::string_view name = "policy"; };`
template <class Place>
struct PartAt : Part {};

struct PartKind {
  // value: `kind: CONFIG`. whole: the map that holds the key is the config: {service: orders, path: /x}.
  enum class Form : uint8_t { value, whole };
  std::string name;
  std::string description;
  const Shape* shape = nullptr;  // null: a kind of a later version
  Form form = Form::value;
};

struct OpenPlace {
  std::string name;  // "policy"
  std::string bare;  // the kind that a bare text stands for; empty: none
  std::vector<PartKind> kinds;
  const PartKind* find(std::string_view kind) const;
};

class OpenPlaces {
 public:
  OpenPlace& place(std::string_view name, std::string_view bare = {});  // made when it is not there
  const OpenPlace* find(std::string_view name) const;
  const std::vector<OpenPlace>& all() const { return places_; }
  // Replaces a kind of the same name, so that a kind known as "later" becomes real.
  static void add(OpenPlace& place, PartKind kind);

 private:
  std::vector<OpenPlace> places_;
};

}  // namespace portloom::data
