// fuzz/template.cpp
//
// The first line is a text of the configuration, the second a query, the third a header value, the fourth a path parameter. No text may
// crash the parser, and what is filled in must stay one value wherever it lands.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "base/text.h"
#include "http/form.h"
#include "http/grammar.h"
#include "pipeline/inputs.h"
#include "pipeline/request_for_tests.h"

namespace {

using namespace portloom;
using namespace portloom::pipeline;

std::string_view line_of(std::string_view& input) {
  std::string_view line = input.substr(0, input.find('\n'));
  input.remove_prefix(std::min(input.size(), line.size() + 1));
  return line;
}

void demand(bool holds) {
  if (!holds) std::abort();
}

// What a value of the request alone becomes.
void look_at(std::string_view text, Place place) {
  switch (place) {
    case Place::path:
      return demand(text.find_first_of("?#\\\"<> ") == std::string_view::npos && http::is_target_text("/" + std::string(text)));
    case Place::query: return demand(text.find_first_of("&=#+/?") == std::string_view::npos);
    case Place::host: return demand(text.find_first_of("/@:?#[]") == std::string_view::npos);
    case Place::header: return demand(http::is_field_value(text));
    case Place::html: return demand(text.find_first_of("<>\"'") == std::string_view::npos);
    case Place::json:
      for (size_t i = 0; i < text.size(); ++i) {
        demand(static_cast<uint8_t>(text[i]) >= 0x20 && text[i] != '"');
        if (text[i] == '\\') demand(++i < text.size() && std::string_view("\"\\u").find(text[i]) != std::string_view::npos);
      }
      return;
    case Place::text: return;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view input(reinterpret_cast<const char*>(data), size);
  std::string_view text = line_of(input);
  std::string query(line_of(input));
  std::string header(line_of(input));
  std::string parameter(line_of(input));
  if (std::expected<data::Expression, data::TextFault> bare = data::Expression::parse(text); bare)
    demand(!bare->alternatives.empty());
  else
    demand(bare.error().at <= text.size() && !bare.error().ok());
  std::expected<data::Template, data::TextFault> made = data::Template::parse(text);
  if (!made) {
    demand(made.error().at <= text.size() && !made.error().ok());
    return 0;
  }
  StillAgenda agenda;
  RequestForTests asked;
  if (!http::is_target_text("/?" + query) || !asked.request.assign("GET", "/?" + query)) return 0;
  asked.request.headers.add("X-App", header);
  asked.request.headers.add("Cookie", header);
  // A captured value is a piece of a normalised path.
  if (http::is_target_text("/" + parameter) && parameter.find_first_of("?/") == std::string::npos) asked.capture("id", parameter);
  for (Place place : {Place::path, Place::query, Place::host, Place::header, Place::text, Place::json, Place::html}) {
    http::Writer whole(16);
    fill(*made, place, asked.request, whole);
    for (const data::Template::Piece& piece : made->pieces) {
      if (!piece.expression) continue;
      std::optional<Input> found = find_input(*piece.expression, asked.request);
      http::Writer one(16);
      if (found && append_input(one, *found, place)) look_at(one.view(), place);
    }
  }
  return 0;
}
