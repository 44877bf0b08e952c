// app/demo_guide.cpp
//
// Lines of the configuration stay readable as they are: it is shown, edited and broken by whoever tries the demo.
#include "app/demo_guide.h"

#include <algorithm>
#include <array>
#include <cstdlib>

#include <unistd.h>

namespace portloom::app {
namespace {

constexpr std::string_view key = "shop-demo";
constexpr std::string_view key_digest = "80a6de7dd25502b88cb3c28f912b9fb644ea0f813fa0660c9cab3300ca609f24";

constexpr std::string_view routes = R"(routes:
  - {name: pages, match: {path: [/, /catalogue, /cart]}, to: monolith}
  - {match: {method: GET, path: "/home/{id}"}, to: {composition: home}}
  - {match: {method: GET, path_prefix: /users}, to: users}
  - {match: {method: GET, path_prefix: /orders}, to: orders}
  - {match: {method: GET, path_prefix: /payments}, to: payments}
  - {match: {method: GET, path_prefix: /notifications}, to: notifications}
  - {match: {method: [GET, POST], path_prefix: /recommendations}, to: recommendations}
  - match: {method: GET, path_prefix: /inventory}
    policies: [{rate_limit: {name: browsing, requests: 5, per: 10s}}]
    to: inventory
  - match: {method: POST}
    policies: [{authenticate: [{api_key: x-api-key}]}]
    routes:
      - {match: {path: /orders}, to: orders}
      - {match: {path: /payments}, to: payments}
compositions:
  home:                                      # what refers to user waits for it; the others are asked at once
    calls:
      user: {service: users, path: "/users/{id}"}                    # no fallback: without it there is no page
      orders: {service: orders, path: /orders, query: {user: "{user.id}"}, fallback: [{value: []}]}
      favourite: {service: inventory, path: "/inventory/{user.favourite}", fallback: [{omit: true}]}
      notifications: {service: notifications, path: "/notifications/{id}", fallback: [{value: []}]}
      recommendations: {service: recommendations, path: "/recommendations/{id}", timeout: 400ms, fallback: [{value: []}]}
)";

// As a value in double quotes; folders with a quote or a backslash in their names stay readable YAML.
std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + "\"";
}

std::string padded(std::string text, size_t width) {
  text.resize(std::max(width, text.size()), ' ');
  return text;
}

std::string trimmed(std::string line) {
  line.erase(line.find_last_not_of(' ') + 1);
  return line + "\n";
}

// What a command shows, and under it the command.
std::string step(std::string_view shows, const std::string& command) { return "  " + std::string(shows) + "\n    " + command + "\n"; }

std::string things_to_try(const std::string& url) {
  std::string order = "curl -i " + url + "/orders -d 'user=1&sku=mug&quantity=2'";
  std::string look = "curl -s -o /dev/null -w '%{http_code}\\n' " + url + "/inventory";
  std::string page = "curl -s " + url + "/home/1; echo";
  return step("every second page is degraded; the others are whole",
              "curl " + url + "/recommendations -d answer=flaky; for i in 1 2 3 4; do " + page + "; done") +
         step("the switch knows off, slow (2 s: the page waits 400 ms for it), flaky and well",
              "curl " + url + "/recommendations -d answer=slow; time " + page) +
         step("502, and failedServices says why: without the user there is no page", "curl -i " + url + "/home/9") +
         step("the monolith answers", "curl " + url + "/catalogue") +
         step("a service answers, and the client sees no difference", "curl " + url + "/orders/1001") +
         step("401: writing needs a key; the answer says who is to blame, and names policy and line", order) +
         step("201: a new order; it is on the page at once", order + " -H 'x-api-key: " + std::string(key) + "'") +
         step("200 five times, then 429", "for i in 1 2 3 4 5 6 7; do " + look + "; done") +
         step("504 after 500 ms: this service would take 2 s", "curl -i '" + url + "/recommendations/1?slow'") +
         step("404 from the gateway: problem+json", "curl -i " + url + "/nowhere") +
         step("405, and Allow says what would do", "curl -i -X DELETE " + url + "/orders");
}

std::string things_to_look_at(const std::string& url, const DemoFacts& facts) {
  return step("what would become of a request, and why", "curl '" + url + "/explain?method=POST&url=/orders&format=text'") +
         step("how the page is made, as a drawing", facts.program + " plan " + facts.file() + " home > home.svg") +
         step("state, configuration, listeners", "curl " + url + "/status") +
         step("how often which part of the page was missing", "curl -s " + url + "/metrics | grep degraded") +
         step("the access log, one line per request", "tail -f " + facts.access_log()) +
         step("the configuration; a change is loaded within a second, and no request is lost", "${EDITOR:-vi} " + facts.file());
}

}  // namespace

std::string demo_configuration(const DemoFacts& facts, uint16_t port) {
  std::string text =
      "# The demo's shop. A change is loaded by itself; what is wrong with it is said by whoever runs the demo.\nversion: 1\n";
  text += "listeners:\n  shop: {address: \"127.0.0.1:" + std::to_string(port) + "\"}\n";
  text += "consumers:\n  demo: {keys: [\"sha256:" + std::string(key_digest) + "\"]}   # of: " + std::string(key) + "\n";
  text += "services:\n";
  for (const DemoFacts::Place& place : facts.services) {
    text += "  " + place.name + ": {endpoints: [\"" + place.address + "\"]";
    text += place.name == "recommendations" ? ", policies: [{timeout: 500ms}]}\n" : "}\n";
  }
  text += routes;
  text += "telemetry: {access_log: {to: " + quoted(facts.access_log()) + "}}\n";
  return text + "admin: {address: \"127.0.0.1:0\"}\ndrain: {deadline: 5s}\n";
}

// https://no-color.org
std::string demo_heading(const std::string& text) {
  const char* term = std::getenv("TERM");
  bool bold = ::isatty(STDOUT_FILENO) != 0 && std::getenv("NO_COLOR") == nullptr && term != nullptr && std::string_view(term) != "dumb";
  return bold ? "\x1b[1m" + text + "\x1b[0m\n" : text + "\n";
}

std::string demo_picture(const DemoFacts& facts) {
  constexpr std::array<std::string_view, 7> paths{"/ /catalogue /cart", "/users",           "/orders",       "/inventory",
                                                  "/payments",          "/recommendations", "/notifications"};
  constexpr std::array<std::string_view, 7> notes{"", "", "POST needs a key", "5 requests per 10 s", "POST needs a key", "at most 500 ms",
                                                  ""};
  std::string border = "          +" + std::string(facts.gateway.size() + 2, '-') + "+";
  std::array<std::string, 7> left;
  left[2] = left[5] = border;
  left[3] = " you ---> | " + padded("gateway", facts.gateway.size()) + " |";
  left[4] = " curl     | " + facts.gateway + " |";
  auto arrow = [](std::string_view path) { return std::string(path) + " " + std::string(20 - path.size() - 1, '-') + "-> "; };
  std::string text = trimmed(padded("", border.size()) + "  " + arrow("/home/{id}") + "five of these, as one answer");
  for (size_t i = 0; i < facts.services.size(); ++i) {
    const DemoFacts::Place& place = facts.services[i];
    text += trimmed(padded(left[i], border.size()) + "  " + arrow(paths[i]) + padded(place.name, 16) + padded(place.address, 17) +
                    std::string(notes[i]));
  }
  return text;
}

std::string demo_commands(const DemoFacts& facts) {
  return demo_heading("Try, in another terminal") + things_to_try("http://" + facts.gateway) + "\n" + demo_heading("Look inside") +
         things_to_look_at("http://" + facts.admin, facts);
}

}  // namespace portloom::app
