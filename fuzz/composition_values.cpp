// fuzz/composition_values.cpp
//
// Any bytes as the JSON that a service answers, whose parts become the path, the query, a header field and the body of the next request:
// whatever they hold, that request is one of the shape that the configuration gives it, or it is not made.
#include <algorithm>
#include <string>
#include <string_view>

#include "data/json_members.h"
#include "data/slicer.h"
#include "fuzz/composed.h"
#include "http/grammar.h"

namespace {

using namespace portloom;
using fuzz::demand;

size_t count(std::string_view text, char c) { return static_cast<size_t>(std::ranges::count(text, c)); }

void look_at(const fuzz::Plate::Asked& asked) {
  // /u/VALUE/x;VALUE/y : five slashes and no segment that leads elsewhere.
  demand(http::is_target_text(asked.path + "?" + asked.query));
  demand(asked.path.starts_with("/u/") && asked.path.ends_with("/y") && count(asked.path, '/') == 4);
  demand(asked.path.find_first_of("?#\\ \"<>") == std::string::npos && count(asked.path, ';') == 1);
  for (std::string_view up : {"/../", "/./", "//"}) demand(asked.path.find(up) == std::string::npos);
  // q=VALUE&fixed=1 or fixed=1
  demand(asked.query.ends_with("fixed=1") && count(asked.query, '&') <= 1 && count(asked.query, '=') == count(asked.query, '&') + 1);
  demand(asked.query.find_first_of("#/? +") == std::string::npos);
  for (http::Headers::Field field : asked.headers) {
    demand(http::is_field_value(field.value));
    demand(field.name == "Host" || field.name == "Accept" || field.name == "Content-Type" || field.name == "X-V");
  }
  demand(data::slice(asked.body).has_value());
  std::string names;
  data::each_json_member(asked.body, [&](std::string_view name, std::string_view) { names.append(name).append(" "); });
  demand(names == "whole text list ");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  static const fuzz::Composed composed(
      "    calls:\n"
      "      a: {service: a, path: /}\n"
      "      b: {service: b, path: \"/u/{a.v}/x;{a.w || a.n || '1'}/y\", method: POST, query: {q: \"{a.v || a[0]}\", fixed: \"1\"}, "
      "headers: {X-V: \"{a.h || 'none'}\"}, body: {whole: \"{a}\", text: \"<{a.v}> {a.n}\", list: [\"{a.l[1]}\"]}, "
      "fallback: [{value: 0}]}\n"
      "      c: {service: c, path: \"/{query.q}\", query: {q: \"{query.q}\"}, fallback: [{value: 0}]}\n");
  if (size > 4096) return 0;
  std::string_view input(reinterpret_cast<const char*>(bytes), size);
  std::string_view query = input.substr(0, input.find('\n'));
  std::string_view body = input.substr(std::min(input.size(), query.size() + 1));
  if (!http::is_target_text("/home/7?" + std::string(query))) query = {};
  fuzz::Composed::Answer answer = composed.ask({{{200, body}, {200, "[]"}, {200, "{}"}}}, query);
  demand(answer.status == 200 || answer.status == 502);
  demand(answer.status == 502 || data::slice(answer.body).has_value());
  for (const fuzz::Plate::Asked& asked : answer.plates[1].asked) look_at(asked);
  for (const fuzz::Plate::Asked& asked : answer.plates[2].asked)
    demand(count(asked.path, '/') == 1 && asked.path.size() > 1 && count(asked.query, '&') == 0 && asked.path != "/.." &&
           asked.path != "/.");
  return 0;
}
