// config/resolve.h
//
// Checks that need the whole document, and the routes as the router takes them. Called by load() once every part was read.
#pragma once

#include "config/document.h"
#include "data/problem.h"
#include "data/reader.h"
#include "data/value.h"

namespace portloom::config {

// Fills document.resolved; reports names that do not exist, routes that are never reached, and what nobody uses.
void resolve(Document& document, const data::Origins& origins, data::Problems& problems);

// For a document that could not be read whole: looks at least at the names that its readable parts refer to, so that all mistakes
// are said at once. What there is to refer to, `root` (the document as written) says: a service in error is a service.
void check_names(const Document& document, const data::Value& root, const data::Origins& origins, data::Problems& problems);

}  // namespace portloom::config
