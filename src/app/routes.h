// app/routes.h
//
// From the document's routes to the table that matches and the Services that answer. Control thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "compose/composition.h"
#include "config/load.h"
#include "pipeline/plan.h"
#include "pipeline/router.h"
#include "policy/build.h"

namespace portloom::app {

// The index of a listener among `names`; 0 when it is not there.
uint16_t listener_index(const std::vector<std::string>& names, const std::string& name);

// A route as the table takes it: one pattern per host and path.
std::vector<pipeline::Pattern> patterns_of(const config::ResolvedRoute& route, uint32_t index, uint16_t listener);

// One Route per resolved route of the document, in its order. Code::invalid with the line when a pattern is refused.
Result<std::shared_ptr<const pipeline::RouteTable>> compile_routes(const config::Loaded& loaded, const std::vector<std::string>& listeners);

// `path` is its place in the document, `name` what logs call it. The compositions that it asks are in `plan` by now. `states` keeps the
// answers that stand in for later ones.
std::unique_ptr<compose::Composition> make_composition(const config::Composition& written, const std::string& path, std::string name,
                                                       pipeline::Plan& plan, policy::States& states);

// What `to` leads to; the plan owns it. `plan.services` and `plan.compositions` are complete by now, and a checked document names only
// those.
pipeline::Service& make_destination(const data::Part& to, pipeline::Plan& plan, policy::States& states);

}  // namespace portloom::app
