// policy/review.h
//
// Looks at a whole document for what is legal and unwise in the order of its policies (DESIGN: nothing is silently sorted). Control
// thread, once per load; registered by add_policies.
#pragma once

#include "config/document.h"
#include "data/problem.h"

namespace portloom::policy {

// Warns, once per written place: cors behind authenticate, authorize and values of the caller without authenticate, retries on two
// levels, timeouts that another one always ends first, cors on a route that no preflight reaches.
void review_order(const config::Document& document, data::Problems& problems);

}  // namespace portloom::policy
