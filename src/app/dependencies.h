// app/dependencies.h
//
// What routes and compositions depend on, read from a checked document; telemetry multiplies along it. Control thread.
#pragma once

#include "config/document.h"
#include "telemetry/dependencies.h"

namespace portloom::app {

// Routes in the document's order; compositions, those written at a route among them, behind those that they ask.
telemetry::Dependencies dependencies_of(const config::Document& document);

}  // namespace portloom::app
