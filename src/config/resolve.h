// config/resolve.h
//
// Checks that need the whole document, and the routes as the router takes them. Called by load() once every part was read.
#pragma once

#include "config/document.h"
#include "data/problem.h"
#include "data/reader.h"

namespace portloom::config {

// Fills document.resolved; reports names that do not exist, routes that are never reached, and what nobody uses.
void resolve(Document& document, const data::Origins& origins, data::Problems& problems);

}  // namespace portloom::config
