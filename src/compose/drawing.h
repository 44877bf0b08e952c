// compose/drawing.h
//
// The drawing of a composition's plan, as SVG that stands alone: stages from left to right, an arrow for each result that one call needs
// of another, on every call its service, request, timeout and what stands in for it. Colours follow the reader's scheme, light or dark;
// no font or style from elsewhere. The same outlines give the same bytes.
#pragma once

#include <string>
#include <vector>

#include "compose/outline.h"

namespace portloom::compose {

// One below the other; at least one. `title` is what the whole is called.
std::string drawing_of(const std::string& title, const std::vector<Outline>& outlines);

}  // namespace portloom::compose
