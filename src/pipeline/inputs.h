// pipeline/inputs.h
//
// What an expression of the configuration finds in a request, and how a template is filled with it. A value is a view of what
// the client or a policy left there, together with how it is encoded; it is escaped for the place it goes to while it is copied.
// Nothing here allocates but the writer, and that up to a bound.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "data/expression.h"
#include "http/writer.h"
#include "pipeline/service.h"

namespace portloom::pipeline {

struct Input {
  // How the text stands in the request: as it is meant, or with escapes of a path or a form (query) still in it; or it is a JSON
  // value of a call's result: a string with its quotes, a number, true or false, a whole object or list.
  enum class Encoding : uint8_t { plain, path, form, json };
  std::string_view text;  // good until the request's head changes; of a path parameter as long as the exchange
  Encoding encoding = Encoding::plain;
  // Nothing in it: no text, or the JSON string "".
  bool empty() const { return text.empty() || (encoding == Encoding::json && text == "\"\""); }
  // What || passes over (JMESPath): nothing, false, an empty list or object.
  bool is_false() const;
};

// Where a request finds the results of calls that were made before it, and what its composition read of the client's body.
class Results {
 public:
  virtual ~Results() = default;
  // Of an operand that means a call of that composition, or the body. Nothing when there is no such call, when it gave no result, or when
  // what is meant is not there or null.
  virtual std::optional<Input> find(const data::Operand& operand) const = 0;
};

// Nothing when it is not there.
std::optional<Input> find_input(const data::Operand& operand, const Request& request);
// The first alternative that is there and not false; else what the last one is.
std::optional<Input> find_input(const data::Expression& expression, const Request& request);

// Where a value lands.
enum class Place : uint8_t {
  path,   // in a segment: everything but unreserved characters becomes %XX; a path parameter and {rest} go on as they came
  query,  // a parameter's value (or name)
  host,
  header,
  text,  // a body: as it is
  json,  // a body: inside a JSON string
  html   // a body
};

inline constexpr size_t filled_bytes_max = 64 * 1024;  // of the values in one text, before they are escaped

// What became of a template.
struct Filling {
  enum class Outcome : uint8_t { whole, missing, unusable, too_long };
  Outcome outcome = Outcome::whole;
  const data::Expression* culprit = nullptr;
  explicit operator bool() const { return outcome == Outcome::whole; }
};

// Appends the text. In a path an empty value counts as missing, but for {rest}; in a body a missing one is empty; in a host and a
// header a value that may not stand there is unusable. What was appended before it failed stays.
Filling fill(const data::Template& text, Place place, const Request& request, http::Writer& to);
// One value, escaped. False: it may not stand there.
bool append_input(http::Writer& to, const Input& input, Place place);

// 400 missing_input, or 414 when the text is too long; says which value it was.
Response refuse(const Filling& filling);

// Is there a "." or ".." segment in this path? What follows a ";" does not count.
bool has_dot_segment(std::string_view path);

}  // namespace portloom::pipeline
