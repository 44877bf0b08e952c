// compose/form.h
//
// Form: a JSON value as the configuration writes it, with expressions in its texts. A text that is one expression becomes the value
// itself, by its bytes where it is a call's result; in a longer text a value becomes text. Made once, filled per request.
#pragma once

#include <string>
#include <vector>

#include "data/anything.h"
#include "data/expression.h"
#include "pipeline/inputs.h"

namespace portloom::compose {

class Form {
 public:
  Form() = default;
  // `written` was checked.
  explicit Form(const data::Value& written);
  // Appends JSON without white space of its own. What is missing is null, and in a longer text nothing.
  void fill(std::string& to, const pipeline::Request& request) const;
  // `fill` appends an object: the same without its last brace.
  void fill_open(std::string& to, const pipeline::Request& request) const;
  bool empty_object() const { return pieces_.size() == 1 && pieces_.front().literal == "{}"; }

 private:
  struct Piece {
    std::string literal;  // JSON, when there is no expression
    data::Expression expression;
    bool whole = false;  // the expression is the value; else it stands inside a string
    bool computed = false;
  };
  void build(const data::Value& value);
  void literal(std::string_view json);
  void expression(const data::Expression& expression, bool whole);
  std::vector<Piece> pieces_;
};

}  // namespace portloom::compose
