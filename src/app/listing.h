// app/listing.h
//
// `portloom routes`: what a configuration serves, one line each; and `portloom diff`: what another one would change for requests.
#pragma once

#include <string>

#include "config/load.h"
#include "pipeline/router.h"

namespace portloom::app {

// Listener, match, who may pass, limits, destination, FILE:LINE; in the order written. `loaded` has a document.
std::string list_routes(const config::Loaded& loaded);

// Routes that are added, removed or changed, by what they match; for the first two, which route takes their requests on the other side.
// Then listeners, services and process-wide limits. Empty: nothing changes for a request. The tables were compiled from the documents.
std::string list_differences(const config::Loaded& before, const pipeline::RouteTable& table_before, const config::Loaded& after,
                             const pipeline::RouteTable& table_after);

}  // namespace portloom::app
