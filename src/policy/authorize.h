// policy/authorize.h
//
// What is written under `authorize`, and the challenge that every 401 of ours carries.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "data/shape.h"

namespace portloom::policy {

struct AuthorizeConfig {
  std::vector<std::string> consumers;
  std::vector<std::string> groups;

  void visit(this auto& self, auto& field) {
    using namespace data::rules;
    field("consumers", self.consumers, refers_to("consumer"), "Who may pass, by the name under `consumers`.");
    field("groups", self.groups, refers_to("group"), "Or whoever is in one of these groups.");
    field.later("scopes", "claims", "when");
  }
  void check(data::Checker& checker) const {
    if (consumers.empty() && groups.empty()) checker.error("", "this lets nobody pass", "write groups: [staff]");
  }
};

// RFC 9110 §11.6.1 asks for a challenge with every 401; no scheme is registered for API keys, and this name is the usual one.
inline constexpr std::string_view challenge = "ApiKey realm=\"portloom\"";

}  // namespace portloom::policy
