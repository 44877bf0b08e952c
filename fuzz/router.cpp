// The route table: any text as patterns and as a request must do no harm; and tables made up from the input must agree with the
// matcher that looks at every pattern. The first byte chooses.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/router_naive_for_tests.h"

namespace {

using namespace portloom;
using namespace portloom::pipeline;

constexpr size_t patterns_max = 64;

// Numbers from the input; zeros when it has ended.
struct Draw {
  std::string_view input;
  size_t operator()(size_t below) {
    if (input.empty()) return 0;
    size_t number = static_cast<uint8_t>(input.front());
    input.remove_prefix(1);
    return number % below;
  }
};

bool inside(std::string_view part, std::string_view whole) {
  return part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size();
}

// Lines: host, path, host, path, ... for patterns; the last two are the request's.
void any_text(std::string_view input) {
  std::vector<std::string_view> lines;
  for (size_t at = 0; at <= input.size() && lines.size() < 2 * patterns_max;) {
    size_t end = std::min(input.find('\n', at), input.size());
    lines.push_back(input.substr(at, end - at));
    at = end + 1;
  }
  if (lines.size() < 2) return;
  std::string_view path = lines.back();
  std::string_view host = lines[lines.size() - 2];
  std::vector<Pattern> patterns;
  for (size_t i = 0; i + 3 < lines.size(); i += 2) {
    std::string_view text = lines[i + 1];
    bool prefix = text.ends_with('*');
    bool regex = text.starts_with('~');
    if (regex) text.remove_prefix(1);
    if (prefix && !regex) text.remove_suffix(1);
    Pattern pattern{.host = std::string(lines[i]), .path = std::string(text)};
    pattern.form = regex ? Pattern::Form::regex : prefix ? Pattern::Form::prefix : Pattern::Form::exact;
    patterns.push_back(std::move(pattern));
  }
  auto table = RouteTable::compile(std::vector<Route>(1), patterns);
  if (!table) return;
  Params params;
  RouteTable::Match match = (*table)->match({.host = host, .path = path}, params);
  if (params.count > Params::count_max || (match.route == nullptr && params.count != 0)) std::abort();
  for (size_t i = 0; i < params.count; ++i)
    if (!params.items[i].value.empty() && !inside(params.items[i].value, path)) std::abort();
}

void made_up(std::string_view input) {
  Draw draw{input};
  std::vector<Pattern> patterns;
  std::vector<Route> routes;
  for (size_t count = draw(patterns_max); patterns.size() < count;) {
    auto route = static_cast<uint32_t>(patterns.size());
    routes.emplace_back().index = route;
    patterns.push_back(made_up_pattern(draw, route));
  }
  auto table = RouteTable::compile(routes, patterns);
  if (!table) std::abort();
  do {
    MadeUpRequest request = made_up_request(draw);
    Lookup asked = request.lookup();
    NaiveMatch due = naive_match(patterns, asked);
    Params params;
    RouteTable::Match match = (*table)->match(asked, params);
    if ((match.route == nullptr) != (due.pattern == nullptr) || match.allowed_methods != due.allowed_methods) std::abort();
    if (match.route == nullptr) continue;
    Params captured = naive_params(*due.pattern, request.path);
    if (match.route->index != due.pattern->route || params.count != captured.count) std::abort();
    for (size_t i = 0; i < params.count; ++i)
      if (params.items[i].name != captured.items[i].name || params.items[i].value != captured.items[i].value) std::abort();
  } while (!draw.input.empty());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
  if ((data[0] & 1) != 0)
    made_up(input);
  else
    any_text(input);
  return 0;
}
