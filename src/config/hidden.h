// config/hidden.h
//
// Routes that no request ever reaches: an equal one ranks before them, or a prefix takes all that a regex could.
#pragma once

#include "config/document.h"
#include "data/problem.h"

namespace portloom::config {

// Warns of each, at the route, with the place of the one that hides it. document.resolved is complete.
void warn_of_hidden_routes(const Document& document, data::Problems& problems);

}  // namespace portloom::config
