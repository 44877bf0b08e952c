// data/scalar.cpp
//
// Numbers, texts, quantities and choices from the text of a Value.
#include "data/scalar.h"

#include <charconv>
#include <cmath>

#include "base/text.h"
#include "data/problem.h"

namespace portloom::data {
namespace {

bool is_number(std::string_view text) {
  double number = 0;
  auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), number);
  return fault == std::errc{} && end == text.data() + text.size();
}

std::string quoted(std::string_view text) {
  constexpr size_t shown_max = 80;
  std::string shown(text.substr(0, shown_max));
  return "\"" + shown + (text.size() > shown_max ? "…\"" : "\"");
}

TextFault not_expected(const Shape& shape, const Value& value, std::string hint = {}) {
  return {"expected " + expected(shape) + ", found " + quoted(value.text), std::move(hint)};
}

TextFault read_boolean(const Shape& shape, const Value& value, void* into) {
  if (value.text == "true" || value.text == "false") {
    *static_cast<bool*>(into) = value.text == "true";
    return {};
  }
  for (std::string_view yes : {"yes", "on", "y", "1", "true"})
    if (equals_ignoring_case(value.text, yes)) return not_expected(shape, value, "write true");
  for (std::string_view no : {"no", "off", "n", "0", "false"})
    if (equals_ignoring_case(value.text, no)) return not_expected(shape, value, "write false");
  return not_expected(shape, value);
}

TextFault read_integer(const Shape& shape, const Value& value, void* into) {
  int64_t number = 0;
  std::string_view text = value.text;
  auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (end != text.data() + text.size() || fault == std::errc::invalid_argument) return not_expected(shape, value);
  if (fault != std::errc{} || static_cast<long double>(number) < shape.smallest || static_cast<long double>(number) > shape.largest)
    return {"the number " + value.text.substr(0, 80) + " does not fit", "it lies between " +
                                                                            std::to_string(static_cast<int64_t>(shape.smallest)) + " and " +
                                                                            std::to_string(static_cast<int64_t>(shape.largest))};
  shape.store(into, number);
  return {};
}

TextFault read_real(const Shape& shape, const Value& value, void* into) {
  double number = 0;
  std::string_view text = value.text;
  auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (fault != std::errc{} || end != text.data() + text.size() || !std::isfinite(number)) return not_expected(shape, value);
  *static_cast<double*>(into) = number;
  return {};
}

std::string_view units_of(const Shape& shape) {
  switch (shape.kind) {
    case Shape::Kind::duration: return "units are ms, s, m and h, without a space: 1h30m";
    case Shape::Kind::size: return "units are B, KiB, MiB, GiB and kB, MB, GB";
    default: return "write 5%";
  }
}

template <class Quantity>
TextFault read_quantity(const Shape& shape, const Value& value, void* into, std::optional<Quantity> (*parse)(std::string_view),
                        std::initializer_list<std::string_view> units) {
  if (auto quantity = parse(value.text)) {
    *static_cast<Quantity*>(into) = *quantity;
    return {};
  }
  if (!is_number(value.text)) return not_expected(shape, value, std::string(units_of(shape)));
  std::string hint = "write ";
  for (std::string_view unit : units) {
    if (hint.size() > 6) hint += " or ";
    hint += value.text;
    hint += unit;
  }
  return {value.text.substr(0, 80) + " has no unit", std::move(hint)};
}

TextFault read_choice(const Shape& shape, const Value& value, void* into) {
  std::vector<std::string_view> names;
  for (const Choice& choice : shape.choices) {
    if (choice.name == value.text) {
      if (choice.later) return {"\"" + value.text + "\" is not in this version", "expected " + expected(shape)};
      shape.store(into, choice.value);
      return {};
    }
    if (!choice.later) names.push_back(choice.name);
  }
  return not_expected(shape, value, did_you_mean(value.text, names));
}

std::string_view plain_hint(const Value& value) { return value.quoted ? "without quotes" : ""; }

}  // namespace

bool is_scalar(const Shape& shape) { return shape.kind <= Shape::Kind::choice || shape.kind == Shape::Kind::address; }

TextFault read_scalar(const Shape& shape, const Value& value, void* into) {
  using Kind = Shape::Kind;
  bool bare_only = shape.kind == Kind::boolean || shape.kind == Kind::integer || shape.kind == Kind::number;
  if (bare_only && value.quoted)
    return {"expected " + expected(shape) + ", found a quoted text", "write it " + std::string(plain_hint(value))};
  switch (shape.kind) {
    case Kind::boolean: return read_boolean(shape, value, into);
    case Kind::integer: return read_integer(shape, value, into);
    case Kind::number: return read_real(shape, value, into);
    case Kind::duration: return read_quantity<Duration>(shape, value, into, parse_duration, {"s", "ms"});
    case Kind::size: return read_quantity<Size>(shape, value, into, parse_size, {"B", "KiB"});
    case Kind::percent: return read_quantity<Percent>(shape, value, into, parse_percent, {"%"});
    case Kind::choice: return read_choice(shape, value, into);
    case Kind::address: {
      auto address = parse_address(value.text);
      if (!address) return not_expected(shape, value);
      *static_cast<Address*>(into) = *address;
      return {};
    }
    default: break;
  }
  *static_cast<std::string*>(into) = value.text;
  return {};
}

std::string expected(const Shape& shape) {
  using Kind = Shape::Kind;
  switch (shape.kind) {
    case Kind::boolean: return "true or false";
    case Kind::integer: return "a whole number";
    case Kind::number: return "a number";
    case Kind::text: return "a text";
    case Kind::duration: return "a duration like 3s";
    case Kind::size: return "a size like 64KiB";
    case Kind::percent: return "a share like 5%";
    case Kind::address: return "an address like host:8080";
    case Kind::secret: return "{file: PATH} or {env: NAME}";
    case Kind::anything: return "a value";
    case Kind::part: return "a " + std::string(shape.place);
    case Kind::optional: return expected(shape.item());
    case Kind::list: return "a list";
    case Kind::named: return "a map of names";
    case Kind::structure: return "a map";
    case Kind::choice: break;
  }
  std::string names;
  for (const Choice& choice : shape.choices)
    if (!choice.later) names += (names.empty() ? "" : ", ") + std::string(choice.name);
  return names.find(',') == std::string::npos ? names : "one of " + names;
}

}  // namespace portloom::data
