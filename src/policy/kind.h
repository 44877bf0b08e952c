// policy/kind.h
//
// What all.def and build.cpp know of one policy. Each policy's file ends with its Kind; only build.cpp reads them.
#pragma once

#include <memory>
#include <string_view>

#include "base/duration.h"
#include "policy/build.h"

namespace portloom::policy {

struct Kind {
  std::string_view name;  // the key it is written under
  std::string_view description;
  void (*add)(config::Catalogue& catalogue, const Kind& kind);
  std::unique_ptr<pipeline::Policy> (*make)(const data::Part& part, const Building& building);
};

// Made: a Policy with a Config and the constructor Made(const Config&, const data::Part&, const Building&).
template <class Made>
constexpr Kind kind_of(std::string_view name, std::string_view description) {
  return {name, description,
          [](config::Catalogue& catalogue, const Kind& kind) { catalogue.policy<typename Made::Config>(kind.name, kind.description); },
          [](const data::Part& part, const Building& building) -> std::unique_ptr<pipeline::Policy> {
            const auto* config = part.as<typename Made::Config>();
            CHECK(config != nullptr);
            return std::make_unique<Made>(*config, part, building);
          }};
}

#define POLICY(name) extern const Kind name##_kind;
#include "policy/all.def"
#undef POLICY

// The built-in defaults (build.h), made without configuration.
// `config`: "FILE:LINE" of what wants it, if that is written anywhere.
std::unique_ptr<pipeline::Policy> timeout_after(Duration duration, std::string config = {});
std::unique_ptr<pipeline::Policy> usual_retry(States* worker = nullptr, std::string_view place = {});

}  // namespace portloom::policy
