// data/scalar.h
//
// One text to one value and back, for the Shapes that are a single value. Used by the reader and the printer only.
#pragma once

#include <string>

#include "data/problem.h"
#include "data/shape.h"
#include "data/value.h"

namespace portloom::data {

bool is_scalar(const Shape& shape);  // read by read_scalar: not a secret, a part, or a container
TextFault read_scalar(const Shape& shape, const Value& value, void* into);
// "a duration like 3s", "one of public, internal": completes "expected …".
std::string expected(const Shape& shape);

}  // namespace portloom::data
