// data/expression.h
//
// What stands between braces: which value of a request, or of a call's result, is meant. The grammar is the part of JMESPath that
// selects: names joined by dots, [indexes], 'texts', and || between alternatives; "-" may stand in names. What JMESPath has beside that is
// refused by name until it is there. Plain data; whoever has the request (pipeline/inputs.h) looks the values up.
#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "data/problem.h"
#include "data/shape.h"
#include "data/slicer.h"

namespace portloom::data {

// One alternative: where a value is found.
struct Operand {
  enum class Root : uint8_t { text, parameter, query, header, cookie, consumer, tenant, client, request, body, call };
  Root root = Root::text;
  // Of a text: the text; of the consumer: name, tenant or plan; of the client: address; of the request: id, method, host or path;
  // of a call: its name.
  std::string name;
  std::vector<JsonSelection::Step> path;  // of a call: into its result; of the body: into that
  size_t at = 0;                          // in the text that was parsed
  bool operator==(const Operand&) const = default;
};

// How a person calls it: `the query parameter "page"`.
std::string in_words(const Operand& operand);

// As it is written: "query.page".
std::string text_of(const Operand& operand);

// ".images[0].url"
std::string path_text(const std::vector<JsonSelection::Step>& path);

struct Expression {
  std::vector<Operand> alternatives;  // the first that is there and not empty counts; at least one
  static std::expected<Expression, TextFault> parse(std::string_view text);
  bool operator==(const Expression&) const = default;
};
// As it is written: "query.page || '1'".
std::string text_of(const Expression& expression);

// A text in which braces compute; "{{" is a brace and "}}" is one.
struct Template {
  struct Piece {
    std::string text;  // literal, when there is no expression
    std::optional<Expression> expression;
    bool operator==(const Piece&) const = default;
  };
  std::vector<Piece> pieces;  // two literals never stand side by side
  static std::expected<Template, TextFault> parse(std::string_view text);
  // The same text whatever the request.
  bool constant() const;
  bool operator==(const Template&) const = default;
};

// Calls see() with every expression in `text`, of a field that computes or holds one. A text that is none has nothing to see.
void each_expression(const Field& field, std::string_view text, const std::function<void(const Expression&)>& see);

// What is wrong with `text` as the text of such a field.
TextFault fault_of(Text kind, std::string_view text);

}  // namespace portloom::data
