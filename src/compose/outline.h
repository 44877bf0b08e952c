// compose/outline.h
//
// Outline: a composition's plan as people read it: which call runs in which stage, what it waits for, what stands in for it, and which
// is never made. Made from the document alone, by the same rules as what runs; plain data for explain and for drawings.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "config/load.h"
#include "pipeline/service.h"

namespace portloom::compose {

struct Outline {
  struct Call {
    std::string name;
    std::string place;                   // FILE:LINE
    std::string service;                 // whom it asks; empty: a composition
    std::string composition;             // in its place
    std::string request;                 // "GET /of/{user.id}?page=2"; empty: a composition gets the request as it is
    std::string timeout;                 // "300ms"
    std::string when;                    // as written; empty: it is always made
    std::vector<std::string> waits_for;  // names of calls
    std::vector<std::string> fallback;   // in order: "service catalog GET /best", "stale 5m", "value []", "omit"; empty: it is required
    bool may_fail = true;                // nothing of that stands in always: then there is no answer at all
    size_t stage = 0;                    // 1: at once; 0: it is never made, nothing in `body` needs it
    std::string note;                    // what the request asked about makes of it, where that is known
  };
  std::string name;     // empty: it is written at its route
  std::string place;    // FILE:LINE
  std::string timeout;  // of the whole; empty: none
  std::vector<Call> calls;
  size_t stages = 0;
  std::vector<std::string> services;  // that it may ask itself, in the order met
};

// The composition that `to` names or is (`path` is its place in the document), and behind it each composition that is asked on the way,
// once. `loaded` has a document. With `asked`, the values that it has stand in place of what computes them.
std::vector<Outline> outlines_of(const config::Loaded& loaded, const config::CompositionDestination& to, const std::string& path,
                                 const pipeline::Request* asked = nullptr);
// The same of a composition under `compositions`, which must be there.
std::vector<Outline> outlines_of(const config::Loaded& loaded, const std::string& name, const pipeline::Request* asked = nullptr);

}  // namespace portloom::compose
