// config/calls.h
//
// What is checked of a composition's calls once the whole document is there: what waits for what, names, bounds, and what is unwise.
// Called by resolve().
#pragma once

#include <string>

#include "config/captures.h"
#include "config/document.h"
#include "data/problem.h"
#include "data/reader.h"

namespace portloom::config {

// A composition at its place in the document. `captures`: of the path that leads there, when it stands in a route.
void check_calls(const Composition& composition, const std::string& path, const Captures& captures, const data::Origins& origins,
                 data::Problems& problems);
// A route or listener that leads to a composition: no call is named like a part of its path, and that has what the texts use. `path` is
// that of its destination.
void check_arrival(const Document& document, const std::string& name, const std::string& path, const Captures& captures,
                   const data::Origins& origins, data::Problems& problems);
// Compositions in compositions: to a bounded depth, with a bounded number of calls, and never in a circle. `name` is empty for one that
// stands in a route.
void check_nesting(const Document& document, const Composition& composition, const std::string& name, const std::string& path,
                   const data::Origins& origins, data::Problems& problems);

}  // namespace portloom::config
