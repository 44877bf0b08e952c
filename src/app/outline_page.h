// app/outline_page.h
//
// A composition's plan for people, as a tree with its stages, and for tools.
#pragma once

#include <string>

#include "compose/outline.h"
#include "data/json.h"

namespace portloom::app {

std::string outline_text(const compose::Outline& outline);
// An object, where a value may stand.
void write_outline(data::JsonWriter& json, const compose::Outline& outline);

}  // namespace portloom::app
