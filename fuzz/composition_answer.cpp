// fuzz/composition_answer.cpp
//
// Any bytes as what three services answer: the first byte has their statuses, the rest are their bodies, separated by a NUL. The answer is
// JSON with the members that the configuration promises; what is good stands in it byte for byte, what is not is told of; and the same
// again gives the same.
#include <algorithm>
#include <string>
#include <string_view>

#include "data/json_members.h"
#include "data/slicer.h"
#include "fuzz/composed.h"

namespace {

using namespace portloom;
using fuzz::demand;

constexpr std::array<uint16_t, 4> statuses = {200, 204, 404, 201};

// The text of a member of an object that is JSON; nothing when it is not there.
std::optional<std::string> member(std::string_view object, std::string_view name) {
  data::JsonSelection wanted;
  data::JsonSelection::Step step{.name = std::string(name)};
  uint32_t node = wanted.add({&step, 1});
  std::vector<data::JsonSpan> found(wanted.size());
  data::JsonLimits limits{.bytes = 1 << 30};
  demand(data::slice(object, limits, wanted, found).has_value());
  if (!found[node].there()) return std::nullopt;
  return std::string(found[node].in(object));
}

std::string_view piece_of(std::string_view& input) {
  std::string_view piece = input.substr(0, input.find('\0'));
  input.remove_prefix(std::min(input.size(), piece.size() + 1));
  return piece;
}

std::string_view without_mark(std::string_view text) {
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  return text;
}

bool is_good(const std::pair<uint16_t, std::string_view>& answer) {
  if (answer.first == 204) return true;
  return answer.first < 300 && answer.second.size() <= 1024 && data::slice(answer.second).has_value();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  static const fuzz::Composed plain(
      "    calls:\n"
      "      a: {service: a, path: /, limit: 1KiB, fallback: [{value: {instead: \"{id}\"}}]}\n"
      "      b: {service: b, path: /, limit: 1KiB, fallback: [{omit: true}]}\n"
      "      c: {service: c, path: /, limit: 1KiB, query: {x: \"{a.v || b[0].w || '1'}\"}, when: \"a\", fallback: [{value: null}]}\n");
  static const fuzz::Composed shaped(
      "    calls:\n"
      "      a: {service: a, path: /, limit: 1KiB, pick: [v, n], fallback: [{value: \"<{id}>\"}]}\n"
      "      b: {service: b, path: /, limit: 1KiB, omit: [w], fallback: [{value: {}}]}\n"
      "      c: {service: c, path: /, limit: 1KiB, fallback: [{stale: 1m}, {value: [1]}]}\n"
      "    body: {whole: \"{a}\", part: \"{b.v[1].w || c}\", text: \"x {a.v} {b} {c.n}\", list: [\"{c[0]}\", 1], \"a\\\"b\": null}\n"
      "    answer: {failures: true, server_timing: true}\n");
  if (size < 1 || size > 4096) return 0;
  std::string_view input(reinterpret_cast<const char*>(bytes) + 1, size - 1);
  if (std::ranges::count_if(input, [](char c) { return c == '[' || c == '{'; }) > 500)
    return 0;  // the answer would be deeper than can be read
  std::array<std::pair<uint16_t, std::string_view>, 3> answers;
  for (size_t i = 0; i < 3; ++i) answers[i] = {statuses[(bytes[0] >> (2 * i)) & 3], piece_of(input)};

  fuzz::Composed::Answer answer = plain.ask(answers);
  demand(answer.status == 200 && !answer.fault && answer.body == plain.ask(answers).body);
  bool degraded = member(answer.body, "degraded").has_value();
  demand(member(answer.body, "failedServices").has_value() == degraded);
  if (!is_good(answers[0]) || !is_good(answers[1]))
    demand(degraded);
  else if (!answer.plates[2].asked.empty())  // else it was left out, or its query could not be filled
    demand(degraded == !is_good(answers[2]));
  demand(member(answer.body, "b").has_value() == is_good(answers[1]));
  if (is_good(answers[1]) && answers[1].first != 204) {
    std::string_view sent = without_mark(answers[1].second);
    demand(answer.body.find("\"b\":" + std::string(sent)) != std::string::npos);
  }
  std::string names;
  data::each_json_member(answer.body, [&](std::string_view name, std::string_view) { names.append(name).append(" "); });
  demand(names.starts_with("a "));

  answer = shaped.ask(answers);
  demand(answer.status == 200 && member(answer.body, "whole").has_value() && member(answer.body, "part").has_value());
  demand(member(answer.body, "text")->front() == '"' && member(answer.body, "list")->ends_with(",1]"));
  size_t members = 0;
  data::each_json_member(answer.body, [&](std::string_view, std::string_view) { ++members; });
  degraded = !is_good(answers[0]) || !is_good(answers[1]) || !is_good(answers[2]);
  demand(members == (degraded ? 8U : 5U));
  return 0;
}
