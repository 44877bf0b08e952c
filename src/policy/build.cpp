// policy/build.cpp
//
// The table of all.def, looked through by name while a plan is built and never at request time.
#include "policy/build.h"

#include <algorithm>
#include <array>

#include "policy/kind.h"
#include "policy/review.h"

namespace portloom::policy {
namespace {

std::array kinds = {
#define POLICY(name) &name##_kind,
#include "policy/all.def"
#undef POLICY
};

bool has(const std::vector<data::Part>& written, std::string_view kind) {
  return std::any_of(written.begin(), written.end(), [kind](const data::Part& part) { return part.kind == kind; });
}

}  // namespace

void add_policies(config::Catalogue& catalogue) {
  for (const Kind* kind : kinds) kind->add(catalogue, *kind);
  catalogue.add_review(review_order);
}

std::unique_ptr<pipeline::Policy> make_policy(const data::Part& part, const Building& building) {
  for (const Kind* kind : kinds)
    if (kind->name == part.kind) return kind->make(part, building);
  return nullptr;
}

std::vector<std::unique_ptr<pipeline::Policy>> default_route_policies(const std::vector<data::Part>& written) {
  std::vector<std::unique_ptr<pipeline::Policy>> policies;
  if (!has(written, "timeout")) policies.push_back(timeout_after(15s));
  return policies;
}

std::vector<std::unique_ptr<pipeline::Policy>> default_service_policies(const std::vector<data::Part>& written, States* worker,
                                                                        std::string_view place) {
  std::vector<std::unique_ptr<pipeline::Policy>> policies;
  if (!has(written, "retry")) policies.push_back(usual_retry(worker, place));
  return policies;
}

}  // namespace portloom::policy
