// app/listing.cpp
//
// A route is known by its shape: listener, host, path without the names in braces, methods, conditions.
#include "app/listing.h"

#include <algorithm>
#include <map>
#include <set>
#include <vector>

#include "app/explain.h"
#include "app/routes.h"
#include "data/print.h"

namespace portloom::app {
namespace {

using config::Part;
using config::ResolvedRoute;

std::string joined(const std::vector<std::string>& texts, std::string_view between = ",") {
  std::string all;
  for (const std::string& text : texts) all.append(all.empty() ? "" : between).append(text);
  return all;
}

std::string conditions(const config::Named<std::string>& wanted, std::string_view prefix) {
  std::string all;
  for (const auto& [name, value] : wanted) all.append(" ").append(prefix).append(name).append("=").append(value);
  return all;
}

std::string match_text(const config::Match& match) {
  std::string text = match.method.empty() ? "" : joined(match.method) + " ";
  if (!match.host.empty()) text += joined(match.host);
  std::vector<std::string> paths = match.path;
  for (const std::string& prefix : match.path_prefix) paths.push_back(prefix + (prefix.ends_with('/') ? "*" : "/*"));
  for (const std::string& regex : match.path_regex) paths.push_back("~" + regex);
  if (paths.empty()) paths.emplace_back("/*");
  text += (match.host.empty() ? "" : " ") + joined(paths);
  return text + conditions(match.headers, "header ") + conditions(match.query, "?");
}

std::vector<Part> chain_of(const ResolvedRoute& route) {
  std::vector<Part> chain = route.listener_policies;
  chain.insert(chain.end(), route.policies.begin(), route.policies.end());
  return chain;
}

// Of a part that has such a list: "authorize" has consumers and groups.
std::vector<std::string> texts_of(const Part& part, std::string_view field) {
  const data::Field* found = part.shape->find(field);
  if (found == nullptr || found->shape().kind != data::Shape::Kind::list) return {};
  return *reinterpret_cast<const std::vector<std::string>*>(static_cast<const char*>(part.config.get()) + found->offset);
}

std::string who_may_pass(const std::vector<Part>& chain) {
  std::string who;
  bool known = false;
  for (const Part& part : chain) {
    known = known || part.kind == "authenticate";
    if (part.kind != "authorize") continue;
    std::vector<std::string> names = texts_of(part, "consumers");
    for (const std::string& group : texts_of(part, "groups")) names.push_back("group " + group);
    who += (who.empty() ? "" : " and ") + joined(names, ", ");
  }
  return !who.empty() ? who : known ? "known callers" : "anyone";
}

bool is_limit(const Part& part) {
  static constexpr std::string_view kinds[] = {"rate_limit", "timeout", "body_limit", "concurrency", "plan_limits"};
  return std::ranges::find(kinds, part.kind) != std::end(kinds);
}

std::string limits_text(const ResolvedRoute& route) {
  std::string text;
  bool timeout = false;
  for (const Part& part : chain_of(route)) {
    timeout = timeout || part.kind == "timeout";
    if (is_limit(part)) text += (text.empty() ? "" : ", ") + policy_text(part);
  }
  if (!timeout) text += (text.empty() ? "" : ", ") + std::string("timeout: 15s");
  return text;
}

std::string destination_text(const Part& to) {
  if (const auto* one = to.as<config::ServiceDestination>(); one != nullptr && one->empty()) return one->service;
  if (const auto* one = to.as<config::ServiceDestination>()) return one->service + (one->path.empty() ? "" : " " + one->path);
  if (const auto* split = to.as<config::SplitDestination>()) {
    std::string text;
    for (const config::SplitSide& side : split->split)
      text += (text.empty() ? "" : ", ") + data::format_percent(side.share) + " " + side.service;
    return text;
  }
  if (const auto* composed = to.as<config::CompositionDestination>())
    return "composition " + (composed->name.empty() ? "of " + std::to_string(composed->calls.size()) + " calls" : composed->name);
  if (const auto* answer = to.as<config::ResponseDestination>()) return "response " + std::to_string(answer->status);
  if (const auto* redirect = to.as<config::RedirectDestination>(); redirect != nullptr && !redirect->location.empty())
    return "redirect " + redirect->location;
  return part_text(to);
}

std::string columns(const std::vector<std::vector<std::string>>& rows) {
  constexpr size_t width_max = 48;
  std::vector<size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], std::min(row[i].size(), width_max));
  }
  std::string all;
  for (const auto& row : rows) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      line += row[i];
      if (i + 1 < row.size()) line.append(widths[i] > row[i].size() ? widths[i] - row[i].size() + 2 : 2, ' ');
    }
    all += line + "\n";
  }
  return all;
}

// ---- differences

// {name}s are called alike, so that a new name is no new route.
std::string shape_of_path(std::string_view path) {
  std::string shape;
  bool inside = false;
  for (char c : path) {
    if (!inside || c == '}') shape += c;
    if (c == '{' || c == '}') inside = c == '{';
  }
  return shape;
}

std::string shape_of(const ResolvedRoute& route) {
  config::Match match = route.match;
  for (auto* paths : {&match.path, &match.path_prefix})
    for (std::string& path : *paths) path = shape_of_path(path);
  for (auto* list : {&match.host, &match.method, &match.path, &match.path_prefix, &match.path_regex}) std::ranges::sort(*list);
  return route.listener + " " + match_text(match);
}

// What a reader wants to see of a change: "from -> to".
void change(std::vector<std::string>& changes, std::string_view what, const std::string& before, const std::string& after) {
  if (before == after) return;
  changes.push_back(std::string(what) + ": " + (before.empty() ? "none" : before) + " -> " + (after.empty() ? "none" : after));
}

std::string others_text(const ResolvedRoute& route) {
  std::string text;
  for (const Part& part : chain_of(route))
    if (!is_limit(part) && part.kind != "authenticate" && part.kind != "authorize") text += (text.empty() ? "" : ", ") + part_text(part);
  return text;
}

// Routes by shape; several of one shape in the order written.
std::map<std::string, std::vector<const ResolvedRoute*>> by_shape(const config::Document& document) {
  std::map<std::string, std::vector<const ResolvedRoute*>> all;
  for (const ResolvedRoute& route : document.resolved) all[shape_of(route)].push_back(&route);
  return all;
}

// A request that the pattern takes: {name}s are filled in. Nothing for a regex: nobody knows one.
bool sample(const pipeline::Pattern& pattern, std::string& path, http::Headers& headers, std::string& query) {
  if (pattern.form == pipeline::Pattern::Form::regex) return false;
  for (size_t i = 0; i < pattern.path.size(); ++i) {
    if (pattern.path[i] != '{') {
      path += pattern.path[i];
      continue;
    }
    path += "a-value";
    i = pattern.path.find('}', i);
  }
  if (path.empty()) path = "/";
  for (const pipeline::Condition& condition : pattern.headers) headers.add(condition.name, condition.any ? "a-value" : condition.value);
  for (const pipeline::Condition& condition : pattern.query)
    query += (query.empty() ? "" : "&") + condition.name + "=" + (condition.any ? "a-value" : condition.value);
  return true;
}

// Who takes the requests of `route` on the other side.
std::string taken_by(const ResolvedRoute& route, const config::Document& other, const pipeline::RouteTable& table) {
  std::vector<std::string> listeners;
  for (const auto& [name, listener] : other.listeners) listeners.push_back(name);
  if (std::ranges::find(listeners, route.listener) == listeners.end()) return "no such listener";
  std::vector<pipeline::Pattern> patterns = patterns_of(route, 0, listener_index(listeners, route.listener));
  const pipeline::Pattern& pattern = patterns.front();
  std::string path;
  std::string query;
  http::Headers headers;
  if (!sample(pattern, path, headers, query)) return "not known";
  std::string host = pattern.host.starts_with("*.") ? "a-value" + pattern.host.substr(1) : pattern.host;
  http::Method method = route.match.method.empty() ? http::Method::GET : http::method_of(route.match.method.front());
  pipeline::Params params;
  pipeline::RouteTable::Match found = table.match({pattern.listener, method, host, path, query, &headers}, params);
  if (found.route == nullptr) return found.allowed_methods == 0 ? "404" : "405";
  const ResolvedRoute& taker = other.resolved[found.route->index];
  return taker.name + " to " + destination_text(taker.to);
}

class Differences {
 public:
  Differences(const config::Loaded& before, const pipeline::RouteTable& table_before, const config::Loaded& after,
              const pipeline::RouteTable& table_after)
      : before_(before), after_(after), table_before_(table_before), table_after_(table_after) {}

  std::string run() {
    routes();
    services();
    compositions();
    listeners();
    std::vector<std::string> limits = fields(data::shape_of<config::Limits>(), &before_.document->limits, &after_.document->limits);
    if (!limits.empty()) line('~', "limits", {}, limits);
    return text_;
  }

 private:
  void line(char sign, const std::string& what, const std::string& place, const std::vector<std::string>& details = {}) {
    text_ += std::string(1, sign) + " " + what + (place.empty() ? "" : "  (" + place + ")") + "\n";
    for (const std::string& detail : details) text_ += "    " + detail + "\n";
  }

  void routes() {
    auto old_routes = by_shape(*before_.document);
    auto new_routes = by_shape(*after_.document);
    for (const auto& [shape, routes] : old_routes)
      if (!new_routes.contains(shape))
        line('-', routes.front()->listener + " " + match_text(routes.front()->match), before_.place(routes.front()->at),
             {"went to " + destination_text(routes.front()->to),
              "its requests are now taken by: " + taken_by(*routes.front(), *after_.document, table_after_)});
    for (const auto& [shape, routes] : new_routes) {
      auto old_ones = old_routes.find(shape);
      if (old_ones == old_routes.end())
        line('+', routes.front()->listener + " " + match_text(routes.front()->match), after_.place(routes.front()->at),
             {"goes to " + destination_text(routes.front()->to),
              "its requests were taken by: " + taken_by(*routes.front(), *before_.document, table_before_)});
      else
        route(*old_ones->second.front(), *routes.front());
    }
  }

  void route(const ResolvedRoute& old_route, const ResolvedRoute& new_route) {
    std::vector<std::string> changes;
    change(changes, "to", destination_of(old_route), destination_of(new_route));
    change(changes, "may pass", who_may_pass(chain_of(old_route)), who_may_pass(chain_of(new_route)));
    change(changes, "limits", limits_text(old_route), limits_text(new_route));
    change(changes, "policies", others_text(old_route), others_text(new_route));
    if (!changes.empty()) line('~', new_route.listener + " " + match_text(new_route.match), after_.place(new_route.at), changes);
  }
  static std::string destination_of(const ResolvedRoute& route) { return part_text(route.to); }

  void services() {
    const data::Shape& shape = data::shape_of<config::Service>();
    for (const auto& [name, service] : before_.document->services)
      if (after_.document->services.find(name) == nullptr) line('-', "service " + name, before_.place(service.at));
    for (const auto& [name, service] : after_.document->services) {
      const config::Service* old_one = before_.document->services.find(name);
      if (old_one == nullptr) {
        line('+', "service " + name, after_.place(service.at));
        continue;
      }
      std::vector<std::string> changes = fields(shape, old_one, &service);
      change(changes, "policies", policies_text(*before_.document, *old_one), policies_text(*after_.document, service));
      if (!changes.empty()) line('~', "service " + name, after_.place(service.at), changes);
    }
  }

  void compositions() {
    const data::Shape& shape = data::shape_of<config::Composition>();
    for (const auto& [name, composition] : before_.document->compositions)
      if (after_.document->compositions.find(name) == nullptr) line('-', "composition " + name, place(before_, name));
    for (const auto& [name, composition] : after_.document->compositions) {
      const config::Composition* old_one = before_.document->compositions.find(name);
      if (old_one == nullptr) {
        line('+', "composition " + name, place(after_, name));
        continue;
      }
      std::vector<std::string> changes;
      for (const auto& [call, written] : old_one->calls)
        if (composition.calls.find(call) == nullptr) change(changes, "call " + call, call_text(written), {});
      for (const auto& [call, written] : composition.calls) {
        const config::Call* old_call = old_one->calls.find(call);
        change(changes, "call " + call, old_call == nullptr ? "" : call_text(*old_call), call_text(written));
      }
      bool other_calls = !changes.empty();
      for (const std::string& other : fields(shape, old_one, &composition))
        if (!other.starts_with("calls: "))
          changes.push_back(other);
        else if (!other_calls)
          changes.emplace_back("calls: in another order");
      if (!changes.empty()) line('~', "composition " + name, place(after_, name), changes);
    }
  }
  static std::string call_text(const config::Call& call) { return data::format_value(data::shape_of<config::Call>(), &call); }
  static std::string place(const config::Loaded& loaded, const std::string& name) {
    return loaded.place(loaded.origins->nearest("compositions." + name));
  }

  void listeners() {
    const data::Shape& shape = data::shape_of<config::Listener>();
    for (const auto& [name, listener] : before_.document->listeners)
      if (after_.document->listeners.find(name) == nullptr) line('-', "listener " + name, before_.place(listener.at));
    for (const auto& [name, listener] : after_.document->listeners) {
      const config::Listener* old_one = before_.document->listeners.find(name);
      if (old_one == nullptr) {
        line('+', "listener " + name, after_.place(listener.at));
        continue;
      }
      std::vector<std::string> changes = fields(shape, old_one, &listener);
      if (!changes.empty()) line('~', "listener " + name, after_.place(listener.at), changes);
    }
  }

  static std::vector<std::string> fields(const data::Shape& shape, const void* before, const void* after) {
    std::vector<std::string> changes;
    for (const data::Field& field : shape.fields)
      if (field.name != "policies")  // they may be in chains: said at each route and service
        change(changes, field.name, data::format_value(field.shape(), static_cast<const char*>(before) + field.offset),
               data::format_value(field.shape(), static_cast<const char*>(after) + field.offset));
    return changes;
  }
  static std::string policies_text(const config::Document& document, const config::Service& service) {
    std::string text;
    for (const Part& part : document.expand(service.policies)) text += (text.empty() ? "" : ", ") + part_text(part);
    return text;
  }

  const config::Loaded& before_;
  const config::Loaded& after_;
  const pipeline::RouteTable& table_before_;
  const pipeline::RouteTable& table_after_;
  std::string text_;
};

}  // namespace

std::string list_routes(const config::Loaded& loaded) {
  std::vector<std::vector<std::string>> rows;
  for (const ResolvedRoute& route : loaded.document->resolved)
    rows.push_back({route.listener, match_text(route.match), who_may_pass(chain_of(route)), limits_text(route),
                    "-> " + destination_text(route.to), loaded.place(route.at)});
  for (const auto& [name, listener] : loaded.document->listeners)
    if (!listener.to.empty())
      rows.push_back({name, "/*", who_may_pass(loaded.document->expand(listener.policies)), "", "-> " + destination_text(listener.to),
                      loaded.place(listener.at)});
  return columns(rows);
}

std::string list_differences(const config::Loaded& before, const pipeline::RouteTable& table_before, const config::Loaded& after,
                             const pipeline::RouteTable& table_after) {
  return Differences(before, table_before, after, table_after).run();
}

}  // namespace portloom::app
