// app/explain_page.cpp
//
// An Explanation for people, and for tools.
#include <algorithm>

#include "app/explain.h"
#include "app/outline_page.h"
#include "app/table.h"
#include "data/json.h"

namespace portloom::app {
namespace {

using Step = Explanation::Step;
using Way = Explanation::Way;

std::string steps_text(const std::vector<Step>& steps, const std::string& indent) {
  Table table(indent);
  for (const Step& step : steps) table.row({step.level, step.policy, step.place, step.note});
  return table.text();
}

std::string way_text(const Way& way) {
  std::string text = "\nservice " + way.service + "  " + way.place;
  if (!way.share.empty()) text += "  " + way.share + (way.chosen ? "" : ", not this request");
  text += "\n";
  if (!way.refusal.empty()) return text + "  refused with " + way.refusal + "\n";
  if (!way.request.empty()) text += "  sends " + way.request + "\n";
  text += steps_text(way.steps, "  ");
  text += "  endpoint " + way.pick + "\n";
  for (const std::string& endpoint : way.endpoints) text += "    " + endpoint + "\n";
  return text;
}

std::string rules_text(const Explanation& said) {
  if (said.rules.empty()) return {};
  Table table("  ");
  for (const Explanation::Rule& rule : said.rules) {
    bool chosen = rule.reason == pipeline::Verdict::Reason::chosen;
    table.row({chosen ? "chosen" : "rejected", rule.name, rule.place, chosen ? "" : std::string(name_of(rule.reason)) + ": " + rule.why});
  }
  std::string text = "\nrules\n" + table.text();
  if (said.omitted > 0) text += "  and " + std::to_string(said.omitted) + " more that fit no better\n";
  return text;
}

// ---- JSON

void write_steps(data::JsonWriter& json, std::string_view key, const std::vector<Step>& steps) {
  json.key(key).begin_array();
  for (const Step& step : steps) {
    json.begin_object().member("level", std::string_view(step.level)).member("policy", std::string_view(step.policy));
    json.member("config", std::string_view(step.place)).member("note", std::string_view(step.note)).end_object();
  }
  json.end_array();
}

void write_rules(data::JsonWriter& json, const Explanation& said) {
  json.key("rules").begin_array();
  for (const Explanation::Rule& rule : said.rules) {
    json.begin_object().member("route", std::string_view(rule.name)).member("config", std::string_view(rule.place));
    json.member("verdict", name_of(rule.reason)).member("why", std::string_view(rule.why)).end_object();
  }
  json.end_array().member("rules_omitted", said.omitted);
}

void write_way(data::JsonWriter& json, const Way& way) {
  json.begin_object().member("service", std::string_view(way.service)).member("config", std::string_view(way.place));
  json.member("share", std::string_view(way.share)).member("chosen", way.chosen);
  json.member("request", std::string_view(way.request)).member("refusal", std::string_view(way.refusal));
  write_steps(json, "chain", way.steps);
  json.key("endpoints").begin_array();
  for (const std::string& endpoint : way.endpoints) json.value(std::string_view(endpoint));
  json.end_array().member("pick", std::string_view(way.pick));
  if (!way.sights.empty()) write_sights(json.key("loads"), way.sights);
  json.end_object();
}

}  // namespace

std::string explain_text(const Explanation& said) {
  std::string text = said.request + "\n";
  Table facts("  ");
  facts.row({"host", said.host.empty() ? "(none)" : said.host});
  facts.row({"client", said.client});
  facts.row({"listener", said.listener + "  " + said.listener_place + "  " + said.listener_why});
  if (!said.refusal.empty()) return text + facts.text() + "\nrefused with " + said.refusal + "\n";
  if (!said.route.empty()) facts.row({"route", said.route + "  " + said.route_place});
  for (const auto& [name, value] : said.captured) facts.row({"{" + name + "}", value});
  facts.row({"outcome", said.outcome});
  text += facts.text() + rules_text(said);
  if (!said.steps.empty()) text += "\nchain\n" + steps_text(said.steps, "  ");
  for (const compose::Outline& outline : said.compositions) text += "\n" + outline_text(outline);
  for (const Way& way : said.ways) text += way_text(way);
  return text;
}

std::string explain_json(const Explanation& said) {
  std::string text;
  data::JsonWriter json(text, 2);
  json.begin_object().member("request", std::string_view(said.request)).member("host", std::string_view(said.host));
  json.member("client", std::string_view(said.client));
  json.key("listener")
      .begin_object()
      .member("name", std::string_view(said.listener))
      .member("config", std::string_view(said.listener_place));
  json.member("why", std::string_view(said.listener_why)).end_object();
  json.member("refusal", std::string_view(said.refusal)).member("outcome", std::string_view(said.outcome));
  json.member("route", std::string_view(said.route)).member("config", std::string_view(said.route_place));
  json.key("captured").begin_object();
  for (const auto& [name, value] : said.captured) json.member(name, std::string_view(value));
  json.end_object();
  write_rules(json, said);
  write_steps(json, "chain", said.steps);
  json.key("compositions").begin_array();
  for (const compose::Outline& outline : said.compositions) write_outline(json, outline);
  json.end_array().key("services").begin_array();
  for (const Way& way : said.ways) write_way(json, way);
  json.end_array().end_object();
  return text + "\n";
}

}  // namespace portloom::app
