// compose/form.cpp
//
// The whole value is flattened to literals and expressions, so that filling is one walk over a list.
#include "compose/form.h"

#include "base/check.h"
#include "data/json.h"

namespace portloom::compose {

using pipeline::Input;
using pipeline::Place;

namespace {

constexpr std::string_view inside_quotes(std::string_view json) { return json.substr(1, json.size() - 2); }

std::string quoted_inside(std::string_view text) {
  std::string json;
  data::append_json_string(json, text);
  return std::string(inside_quotes(json));
}

// As text inside a JSON string: a string's own bytes, a number as it is spelt, of a list or object its JSON.
void append_inside(std::string& to, const Input& input) {
  if (input.encoding == Input::Encoding::json) {
    if (input.text.front() == '"')
      to += inside_quotes(input.text);
    else
      to += quoted_inside(input.text);
    return;
  }
  http::Writer decoded(input.text.size() + 16);
  pipeline::append_input(decoded, input, Place::text);
  to += quoted_inside(decoded.view());
}

}  // namespace

Form::Form(const data::Value& written) { build(written); }

void Form::literal(std::string_view json) {
  if (pieces_.empty() || pieces_.back().computed) pieces_.emplace_back();
  pieces_.back().literal += json;
}

void Form::expression(const data::Expression& expression, bool whole) {
  pieces_.push_back({.literal = {}, .expression = expression, .whole = whole, .computed = true});
}

void Form::build(const data::Value& value) {
  if (value.is_list()) {
    literal("[");
    for (const data::Value& item : value.list) {
      if (&item != &value.list.front()) literal(",");
      build(item);
    }
    return literal("]");
  }
  if (value.is_map()) {
    literal("{");
    for (const data::Value::Entry& entry : value.map) {
      if (&entry != &value.map.front()) literal(",");
      std::string key;
      data::append_json_string(key, entry.key);
      literal(key + ":");
      build(entry.value);
    }
    return literal("}");
  }
  if (std::string_view scalar = data::json_scalar(value); !scalar.empty()) return literal(scalar);
  std::expected<data::Template, data::TextFault> made = data::Template::parse(value.text);
  CHECK(made.has_value());  // load() has refused anything else
  if (made->pieces.size() == 1 && made->pieces.front().expression) return expression(*made->pieces.front().expression, true);
  literal("\"");
  for (const data::Template::Piece& piece : made->pieces)
    if (piece.expression)
      expression(*piece.expression, false);
    else
      literal(quoted_inside(piece.text));
  literal("\"");
}

void Form::fill(std::string& to, const pipeline::Request& request) const {
  for (const Piece& piece : pieces_) {
    if (!piece.computed) {
      to += piece.literal;
      continue;
    }
    std::optional<Input> input = pipeline::find_input(piece.expression, request);
    if (!input) {
      if (piece.whole) to += "null";
    } else if (!piece.whole) {
      append_inside(to, *input);
    } else if (input->encoding == Input::Encoding::json) {
      to += input->text;
    } else {
      to += '"';
      append_inside(to, *input);
      to += '"';
    }
  }
}

void Form::fill_open(std::string& to, const pipeline::Request& request) const {
  fill(to, request);
  CHECK(to.ends_with('}'));
  to.pop_back();
}

}  // namespace portloom::compose
