// app/outline_page.cpp
//
// One line per call under its stage, and below it what it waits for and what the request makes of it.
#include "app/outline_page.h"

#include "app/table.h"

namespace portloom::app {
namespace {

using compose::Outline;

std::string joined(const std::vector<std::string>& texts, std::string_view between) {
  std::string all;
  for (const std::string& text : texts) all.append(all.empty() ? "" : between).append(text);
  return all;
}

// "required", "else stale 5m, else value []".
std::string fate(const Outline::Call& call) {
  if (call.fallback.empty()) return "required";
  return "else " + joined(call.fallback, ", else ") + (call.may_fail ? ", else the whole fails" : "");
}

std::vector<std::string> row(const Outline::Call& call) {
  bool inner = call.service.empty();
  return {call.name,
          inner ? "composition " + call.composition : call.service,
          inner ? "the request as it is" : call.request,
          call.timeout,
          fate(call),
          call.place};
}

std::string details(const Outline::Call& call) {
  std::string text;
  if (!call.waits_for.empty()) text += "      waits for " + joined(call.waits_for, ", ") + "\n";
  if (!call.when.empty()) text += "      when " + call.when + "\n";
  if (!call.note.empty()) text += "      " + call.note + "\n";
  return text;
}

void write_texts(data::JsonWriter& json, std::string_view key, const std::vector<std::string>& texts) {
  json.key(key).begin_array();
  for (const std::string& text : texts) json.value(std::string_view(text));
  json.end_array();
}

}  // namespace

std::string outline_text(const Outline& outline) {
  std::string text = "composition " + (outline.name.empty() ? "" : outline.name + "  ") + outline.place;
  text += (outline.timeout.empty() ? "" : "  within " + outline.timeout) + "\n";
  Table table("    ");
  std::vector<const Outline::Call*> calls;
  std::vector<std::string> unused;
  for (size_t stage = 1; stage <= outline.stages; ++stage)
    for (const Outline::Call& call : outline.calls)
      if (call.stage == stage) calls.push_back(&call);
  for (const Outline::Call* call : calls) table.row(row(*call));
  std::vector<std::string> lines = table.lines();
  size_t stage = 0;
  for (size_t i = 0; i < calls.size(); ++i) {
    if (calls[i]->stage != stage) text += "  stage " + std::to_string(stage = calls[i]->stage) + "\n";
    text += lines[i] + details(*calls[i]);
  }
  for (const Outline::Call& call : outline.calls)
    if (call.stage == 0) unused.push_back(call.name);
  if (!unused.empty()) text += "  never made, nothing in `body` needs it: " + joined(unused, ", ") + "\n";
  return text;
}

void write_outline(data::JsonWriter& json, const Outline& outline) {
  json.begin_object().member("composition", std::string_view(outline.name)).member("config", std::string_view(outline.place));
  json.member("timeout", std::string_view(outline.timeout)).member("stages", outline.stages);
  json.key("calls").begin_array();
  for (const Outline::Call& call : outline.calls) {
    json.begin_object().member("call", std::string_view(call.name)).member("config", std::string_view(call.place));
    json.member("stage", call.stage).member("service", std::string_view(call.service));
    json.member("composition", std::string_view(call.composition)).member("request", std::string_view(call.request));
    json.member("timeout", std::string_view(call.timeout)).member("when", std::string_view(call.when));
    write_texts(json, "waits_for", call.waits_for);
    json.member("required", call.fallback.empty());
    write_texts(json, "fallback", call.fallback);
    json.member("may_fail", call.may_fail).member("note", std::string_view(call.note)).end_object();
  }
  json.end_array().end_object();
}

}  // namespace portloom::app
