// pipeline/inputs.cpp
//
// Values are decoded and encoded byte by byte: no copy in between, and nothing that was escaped once is trusted to stay so.
#include "pipeline/inputs.h"

#include <algorithm>
#include <array>

#include "base/text.h"
#include "data/json_text.h"
#include "data/utf8.h"
#include "http/form.h"
#include "http/grammar.h"
#include "pipeline/exchange.h"
#include "pipeline/problem.h"

namespace portloom::pipeline {

namespace {

using Root = data::Operand::Root;

constexpr std::string_view rest_name = "rest";
constexpr std::string_view digits = "0123456789ABCDEF";

// The value of a cookie (RFC 6265 §4.2.1); the first of that name counts.
std::optional<std::string_view> find_cookie(const http::Headers& headers, std::string_view name) {
  std::optional<std::string_view> found;
  headers.for_each(http::Name::cookie, [&](std::string_view pairs) {
    while (!found && !pairs.empty()) {
      std::string_view pair = trim(pairs.substr(0, pairs.find(';')));
      pairs.remove_prefix(std::min(pairs.size(), pairs.find(';') == std::string_view::npos ? pairs.size() : pairs.find(';') + 1));
      size_t equals = pair.find('=');
      if (equals != std::string_view::npos && pair.substr(0, equals) == name) found = pair.substr(equals + 1);
    }
  });
  return found;
}

std::optional<Input> input_of(std::optional<std::string_view> text, Input::Encoding encoding = Input::Encoding::plain) {
  if (!text) return std::nullopt;
  return Input{*text, encoding};
}
// What is never empty when it is there.
std::optional<Input> known(std::string_view text) {
  if (text.empty()) return std::nullopt;
  return Input{text, Input::Encoding::plain};
}

constexpr bool is_unreserved(char c) { return is_alpha(c) || is_digit(c) || c == '-' || c == '.' || c == '_' || c == '~'; }
// RFC 3986 §3.3, with what separates segments and begins an escape. Clients send others too; to browsers a backslash is a slash.
constexpr bool is_path_char(char c) { return is_unreserved(c) || std::string_view("!$&'()*+,;=:@/%").find(c) != std::string_view::npos; }
constexpr bool is_host_char(char c) { return is_alpha(c) || is_digit(c) || c == '-' || c == '.' || c == '_'; }

char next_byte(std::string_view& text, Input::Encoding encoding) {
  char c = text.front();
  if (encoding != Input::Encoding::plain && c == '%' && text.size() > 2 && hex_value(text[1]) >= 0 && hex_value(text[2]) >= 0) {
    c = static_cast<char>(hex_value(text[1]) * 16 + hex_value(text[2]));
    text.remove_prefix(2);
  } else if (encoding == Input::Encoding::form && c == '+') {
    c = ' ';
  }
  text.remove_prefix(1);
  return c;
}

void put_percent(http::Writer& to, char c) {
  auto byte = static_cast<uint8_t>(c);
  char* out = to.room(3);
  out[0] = '%';
  out[1] = digits[byte >> 4];
  out[2] = digits[byte & 15];
  to.advance(3);
}

void put(http::Writer& to, char c) {
  *to.room(1) = c;
  to.advance(1);
}

// Inside a JSON string (RFC 8259 §7). "<" too, so that a page which holds the JSON cannot be left.
void put_json(http::Writer& to, char c) {
  auto byte = static_cast<uint8_t>(c);
  if (c == '"' || c == '\\') {
    put(to, '\\');
    put(to, c);
  } else if (byte < 0x20 || c == '<' || byte == 0x7f) {
    to.text("\\u00");
    put(to, static_cast<char>(to_lower(digits[byte >> 4])));
    put(to, static_cast<char>(to_lower(digits[byte & 15])));
  } else {
    put(to, c);
  }
}

void put_html(http::Writer& to, char c) {
  switch (c) {
    case '&': return to.text("&amp;");
    case '<': return to.text("&lt;");
    case '>': return to.text("&gt;");
    case '"': return to.text("&quot;");
    case '\'': return to.text("&#39;");
    default: return put(to, c);
  }
}

// What is no UTF-8 becomes U+FFFD, so that what we write is always JSON and always a page. The four bytes after a decoded one are
// looked at as they will be decoded.
bool put_unicode(http::Writer& to, std::string_view text, Input::Encoding encoding, Place place) {
  std::array<char, 4> ahead{};
  size_t have = 0;
  while (true) {
    while (have < ahead.size() && !text.empty()) ahead[have++] = next_byte(text, encoding);
    if (have == 0) return true;
    size_t size = data::utf8_length({ahead.data(), have});
    if (size == 0) {
      to.text("\xEF\xBF\xBD");
      size = 1;
    } else if (size == 1) {
      place == Place::json ? put_json(to, ahead[0]) : put_html(to, ahead[0]);
    } else {
      to.text({ahead.data(), size});
    }
    std::copy(ahead.begin() + static_cast<ptrdiff_t>(size), ahead.begin() + static_cast<ptrdiff_t>(have), ahead.begin());
    have -= size;
  }
}

// A value of a call's result, as the text that it is. Lists and objects are none.
bool append_json_input(http::Writer& to, std::string_view value, Place place) {
  if (value.front() == '[' || value.front() == '{') return false;
  if (value.front() != '"') return append_input(to, {value, Input::Encoding::plain}, place);
  value = value.substr(1, value.size() - 2);
  if (value.find('\\') == std::string_view::npos) return append_input(to, {value, Input::Encoding::plain}, place);
  std::string decoded;
  return data::decode_json_string(value, decoded) && append_input(to, {decoded, Input::Encoding::plain}, place);
}

bool is_rest(const data::Expression& expression) {
  return expression.alternatives.size() == 1 && expression.alternatives.front().root == Root::parameter &&
         expression.alternatives.front().name == rest_name;
}

}  // namespace

std::optional<Input> find_input(const data::Operand& operand, const Request& request) {
  const Exchange& exchange = request.exchange;
  switch (operand.root) {
    case Root::text: return Input{operand.name, Input::Encoding::plain};
    case Root::body:
    case Root::call: return request.results == nullptr ? std::nullopt : request.results->find(operand);
    case Root::parameter:
      if (std::optional<Input> result = request.results == nullptr ? std::nullopt : request.results->find(operand)) return result;
      return input_of(exchange.params.find(operand.name), Input::Encoding::path);
    case Root::query: return input_of(http::find_parameter(request.query(), operand.name), Input::Encoding::form);
    case Root::header: return input_of(request.headers.find(operand.name));
    case Root::cookie: return input_of(find_cookie(request.headers, operand.name));
    case Root::consumer:
      return known(operand.name == "tenant" ? exchange.identity.tenant
                   : operand.name == "plan" ? exchange.identity.plan
                                            : exchange.identity.consumer);
    case Root::tenant: return known(exchange.identity.tenant);
    case Root::client: return known(exchange.client);
    case Root::request:
      if (operand.name == "id") return known(exchange.record.id());
      if (operand.name == "method") return known(request.method_text());
      if (operand.name == "host") return known(request.host());
      return known(request.path());
  }
  return std::nullopt;
}

std::optional<Input> find_input(const data::Expression& expression, const Request& request) {
  std::optional<Input> found;
  for (const data::Operand& operand : expression.alternatives) {
    found = find_input(operand, request);
    if (found && !found->is_false()) break;
  }
  return found;
}

bool Input::is_false() const {
  if (empty()) return true;
  if (encoding != Encoding::json) return false;
  if (text == "false" || text == "null") return true;
  bool container = text.front() == '[' || text.front() == '{';
  return container && text.find_first_not_of(" \t\r\n", 1) == text.size() - 1;
}

bool append_input(http::Writer& to, const Input& input, Place place) {
  std::string_view text = input.text;
  if (input.encoding == Input::Encoding::json) return append_json_input(to, text, place);
  if (place == Place::path && input.encoding == Input::Encoding::path) {  // normalised when it was matched, its escapes stay
    for (char c : text) is_path_char(c) ? put(to, c) : put_percent(to, c);
    return true;
  }
  if (place == Place::json || place == Place::html) return put_unicode(to, text, input.encoding, place);
  while (!text.empty()) {
    char c = next_byte(text, input.encoding);
    switch (place) {
      case Place::path:
      case Place::query: is_unreserved(c) ? put(to, c) : put_percent(to, c); break;
      case Place::host:
        if (!is_host_char(c)) return false;
        put(to, c);
        break;
      case Place::header:
        if ((static_cast<uint8_t>(c) < 0x20 && c != '\t') || c == 0x7f) return false;  // RFC 9110 §5.5
        put(to, c);
        break;
      default: put(to, c);
    }
  }
  return true;
}

Filling fill(const data::Template& text, Place place, const Request& request, http::Writer& to) {
  using enum Filling::Outcome;
  size_t taken = 0;
  for (const data::Template::Piece& piece : text.pieces) {
    if (!piece.expression) {
      to.text(piece.text);
      continue;
    }
    const data::Expression& expression = *piece.expression;
    std::optional<Input> input = find_input(expression, request);
    if (!input && place >= Place::text) continue;
    if (!input || (place == Place::path && input->empty() && !is_rest(expression))) return {missing, &expression};
    taken += input->text.size();
    if (taken > filled_bytes_max) return {too_long, &expression};
    if (!append_input(to, *input, place)) return {unusable, &expression};
  }
  return {};
}

Response refuse(const Filling& filling) {
  if (filling.outcome == Filling::Outcome::too_long) return deny(Code::target_too_long, Side::client);
  std::string detail = "a value that the configuration needs";
  if (filling.culprit != nullptr) detail = data::in_words(filling.culprit->alternatives.front());
  detail += filling.outcome == Filling::Outcome::missing ? " is missing" : " holds characters that cannot stand where it is used";
  return deny(Code::missing_input, Side::client, std::move(detail));
}

bool has_dot_segment(std::string_view path) {
  while (!path.empty()) {
    path.remove_prefix(1);
    std::string_view segment = path.substr(0, path.find('/'));
    path.remove_prefix(segment.size());
    segment = segment.substr(0, segment.find(';'));
    if (segment == "." || segment == "..") return true;
  }
  return false;
}

}  // namespace portloom::pipeline
