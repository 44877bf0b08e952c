// app/demo.cpp
//
// `portloom demo`: the shop's seven services on a thread of their own, on free loopback ports, and the gateway in front, from a
// configuration that is written to a folder so that it can be read, edited and loaded again.
#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <thread>

#include <unistd.h>

#include "app/commands.h"
#include "app/demo_shop.h"
#include "app/door.h"
#include "app/process.h"

namespace portloom::app {
namespace {

namespace fs = std::filesystem;

constexpr int exit_bind = 3;
constexpr int exit_internal = 70;
constexpr std::string_view key = "shop-demo";
constexpr std::string_view key_digest = "80a6de7dd25502b88cb3c28f912b9fb644ea0f813fa0660c9cab3300ca609f24";

// The seven services: opened by start() on their thread, closed by stop().
class Shop {
 public:
  struct Place {
    std::string name;
    std::string address;
  };
  ~Shop() { stop(); }

  Result<void> start() {
    std::atomic<bool> opened = false;
    Result<void> outcome;
    thread_ = std::thread([&] {
      outcome = open();
      opened.store(true);
      opened.notify_one();
      serve();
    });
    opened.wait(false);
    return outcome;
  }
  void stop() {
    if (!thread_.joinable()) return;
    stopping_.store(true);
    if (loop_) loop_->mailbox().post([] {});
    thread_.join();
  }
  const std::vector<Place>& places() const { return places_; }

 private:
  Result<void> open() {
    Result<std::unique_ptr<io::Loop>> loop = io::make_loop(io::Engine::epoll);
    if (!loop) return std::unexpected(std::move(loop.error()));
    loop_ = std::move(*loop);
    Agenda::make_current(loop_.get());
    for (ShopService& one : open_shop()) {
      Result<std::unique_ptr<ServiceDoor>> door =
          ServiceDoor::open(io::Address::loopback(0), std::move(one.service), std::string(one.name));
      if (!door) return std::unexpected(std::move(door.error()));
      places_.push_back({std::string(one.name), (*door)->address().text()});
      doors_.push_back(std::move(*door));
    }
    return {};
  }
  void serve() {
    while (loop_ && !stopping_.load()) loop_->turn(1s);
    doors_.clear();
    Agenda::make_current(nullptr);
  }

  std::vector<Place> places_;
  std::unique_ptr<io::Loop> loop_;
  std::vector<std::unique_ptr<ServiceDoor>> doors_;
  std::atomic<bool> stopping_ = false;
  std::thread thread_;
};

// $XDG_STATE_HOME/portloom/demo-XXXXXX, or in /tmp; empty when neither can be written.
std::string make_folder() {
  const char* state = std::getenv("XDG_STATE_HOME");
  std::error_code ignored;
  std::vector<std::string> parents;
  if (state != nullptr && state[0] == '/') parents.push_back(std::string(state) + "/portloom/");
  parents.push_back(fs::temp_directory_path(ignored).string() + "/portloom-");
  for (std::string folder : parents) {
    fs::create_directories(fs::path(folder).parent_path(), ignored);
    folder += "demo-XXXXXX";
    if (::mkdtemp(folder.data()) != nullptr) return folder;
  }
  return {};
}

// As a value in double quotes; folders with a quote or a backslash in their names stay readable YAML.
std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + "\"";
}

std::string configuration(const std::vector<Shop::Place>& places, uint16_t port, const std::string& log) {
  std::string text =
      "# The demo's shop. After a change: POST /reload on the admin's port, or SIGHUP, loads it.\n"
      "version: 1\n"
      "listeners:\n"
      "  shop: {address: \"127.0.0.1:" +
      std::to_string(port) +
      "\"}\n"
      "consumers:\n"
      "  demo: {keys: [\"sha256:" +
      std::string(key_digest) + "\"]}   # of: " + std::string(key) +
      "\n"
      "services:\n";
  for (const Shop::Place& place : places) {
    text += "  " + place.name + ":\n    endpoints: [\"" + place.address + "\"]\n";
    if (place.name == "recommendations") text += "    policies: [{timeout: 300ms}]\n";
  }
  text +=
      "routes:\n"
      "  - {name: pages, match: {path: [/, /catalogue, /cart]}, to: monolith}\n"
      "  - {match: {method: GET, path_prefix: /users}, to: users}\n"
      "  - {match: {method: GET, path_prefix: /orders}, to: orders}\n"
      "  - {match: {method: GET, path_prefix: /payments}, to: payments}\n"
      "  - {match: {method: GET, path_prefix: /recommendations}, to: recommendations}\n"
      "  - {match: {method: GET, path_prefix: /notifications}, to: notifications}\n"
      "  - match: {method: GET, path_prefix: /inventory}\n"
      "    policies: [{rate_limit: {name: browsing, requests: 5, per: 10s}}]\n"
      "    to: inventory\n"
      "  - match: {method: POST}\n"
      "    policies: [{authenticate: [{api_key: x-api-key}]}]\n"
      "    routes:\n"
      "      - {match: {path: /orders}, to: orders}\n"
      "      - {match: {path: /payments}, to: payments}\n"
      "telemetry: {access_log: {to: " +
      quoted(log) +
      "}}\n"
      "admin: {address: \"127.0.0.1:0\"}\n"
      "drain: {deadline: 5s}\n";
  return text;
}

// Headings are bold on a terminal, plain in a pipe (https://no-color.org).
std::string heading(const std::string& text) {
  const char* term = std::getenv("TERM");
  bool bold = ::isatty(STDOUT_FILENO) != 0 && std::getenv("NO_COLOR") == nullptr && term != nullptr && std::string_view(term) != "dumb";
  return bold ? "\x1b[1m" + text + "\x1b[0m\n" : text + "\n";
}

std::string padded(std::string text, size_t width) {
  text.resize(std::max(width, text.size()), ' ');
  return text;
}

// What runs where.
std::string picture(const std::vector<Shop::Place>& places, const std::string& gateway) {
  constexpr std::array<std::string_view, 7> paths{"/ /catalogue /cart", "/users",           "/orders",       "/inventory",
                                                  "/payments",          "/recommendations", "/notifications"};
  constexpr std::array<std::string_view, 7> notes{"", "", "POST needs a key", "5 requests per 10 s", "POST needs a key", "at most 300 ms",
                                                  ""};
  std::string border = "          +" + std::string(gateway.size() + 2, '-') + "+";
  std::array<std::string, 7> left;
  left[2] = left[5] = border;
  left[3] = " you ---> | " + padded("gateway", gateway.size()) + " |";
  left[4] = " curl     | " + gateway + " |";
  std::string text;
  for (size_t i = 0; i < places.size(); ++i) {
    std::string arrow = padded(std::string(paths[i]) + " ", 20);
    std::replace(arrow.begin() + static_cast<std::ptrdiff_t>(paths[i].size()) + 1, arrow.end(), ' ', '-');
    std::string line = padded(left[i], border.size()) + "  " + arrow + "-> " + padded(places[i].name, 16) + padded(places[i].address, 17);
    line += notes[i];
    text += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
  }
  return text;
}

// What a command shows, and under it the command.
std::string step(std::string_view shows, const std::string& command) { return "  " + std::string(shows) + "\n    " + command + "\n"; }

std::string things_to_try(const std::string& url) {
  std::string order = "curl -i " + url + "/orders -d 'user=1&sku=mug&quantity=2'";
  std::string look = "curl -s -o /dev/null -w '%{http_code}\\n' " + url + "/inventory";
  return step("the monolith answers", "curl " + url + "/catalogue") +
         step("a service answers, and the client sees no difference", "curl " + url + "/orders/1001") +
         step("401: writing needs a key; the answer says who is to blame, and names policy and route", order) +
         step("201: a new order", order + " -H 'x-api-key: " + std::string(key) + "'") +
         step("200 five times, then 429", "for i in 1 2 3 4 5 6 7; do " + look + "; done") +
         step("504 after 300 ms: this service would take 2 s", "curl -i '" + url + "/recommendations/1?slow'") +
         step("404 from the gateway: problem+json", "curl -i " + url + "/nowhere") +
         step("404 from a service, passed on as it came", "curl -i " + url + "/orders/9") +
         step("405, and Allow says what would do", "curl -i -X DELETE " + url + "/orders");
}

std::string things_to_look_at(const std::string& url, const std::string& folder) {
  return step("state, configuration, listeners", "curl " + url + "/status") + step("metrics for Prometheus", "curl " + url + "/metrics") +
         step("the access log, one line per request", "tail -f " + folder + "/access.log") +
         step("the configuration; edit it, and load it without losing a request",
              "${EDITOR:-vi} " + folder + "/shop.yaml && curl -X POST " + url + "/reload");
}

std::string guide(const std::vector<Shop::Place>& places, const std::string& gateway, const std::string& admin, const std::string& folder) {
  std::string text = "\n" + heading("Portloom demo: a shop on its way from a monolith to services, all in this one process");
  text += "\n" + picture(places, gateway);
  text += "\n" + heading("Try, in another terminal") + things_to_try("http://" + gateway);
  text += "\n" + heading("Look inside") + things_to_look_at("http://" + admin, folder);
  return text + "\nCtrl-C ends it.\n";
}

// Before any thread starts: run_gateway waits for these on a thread of its own.
void block_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (int signal : {SIGTERM, SIGINT, SIGHUP, SIGUSR1}) sigaddset(&set, signal);
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

// Workers share their port (SO_REUSEPORT), and so would a second demo, unseen, and take every other connection. So ask for it alone.
Result<void> port_is_free(uint16_t port) {
  io::Address bound;
  Result<int> alone = io::open_listening(io::Address::loopback(port), false, bound);
  if (!alone) return std::unexpected(std::move(alone.error()));
  ::close(*alone);
  return {};
}

}  // namespace

int demo(uint16_t port) {
  block_signals();
  Shop shop;
  Result<void> started = port_is_free(port);
  if (started) started = shop.start();
  if (!started) {
    std::cerr << "portloom: " << started.error().detail << "\n";
    return exit_bind;
  }
  std::string folder = make_folder();
  std::string file = folder + "/shop.yaml";
  bool written = !folder.empty() && (std::ofstream(file) << configuration(shop.places(), port, folder + "/access.log") << std::flush);
  if (!written) {
    std::cerr << "portloom: no folder for the demo's files: neither $XDG_STATE_HOME nor /tmp can be written\n";
    return exit_internal;
  }
  RunSettings settings;
  settings.files = {file};
  settings.on_ready = [&](const std::vector<io::Address>& open) {
    std::cout << guide(shop.places(), open.front().text(), open.back().text(), folder) << std::flush;
  };
  int status = run_gateway(std::move(settings));
  if (status == 0) std::cout << "\nThe shop is closed. Its access log and configuration are in " << folder << ".\n" << std::flush;
  return status;
}

}  // namespace portloom::app
