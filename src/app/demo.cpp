// app/demo.cpp
//
// `portloom demo`: the shop's seven services on a thread of their own, on free loopback ports, the gateway in front, from a
// configuration that is written to a folder so that it can be read, edited and loaded again, and a tour that shows what it does.
#include <atomic>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <optional>
#include <thread>

#include <unistd.h>

#include "app/commands.h"
#include "app/demo_guide.h"
#include "app/demo_shop.h"
#include "app/demo_tour.h"
#include "app/door.h"
#include "app/process.h"

namespace portloom::app {
namespace {

namespace fs = std::filesystem;

constexpr int exit_bind = 3;
constexpr int exit_internal = 70;

// The seven services: opened by start() on their thread, closed by stop().
class Shop {
 public:
  using Place = DemoFacts::Place;
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
  std::error_code unknown;
  fs::path program = fs::read_symlink("/proc/self/exe", unknown);
  DemoFacts facts{
      .services = shop.places(), .folder = make_folder(), .program = unknown ? "portloom" : program.string(), .gateway = {}, .admin = {}};
  std::string configuration = demo_configuration(facts, port);
  bool written = !facts.folder.empty() && (std::ofstream(facts.file()) << configuration << std::flush);
  if (!written) {
    std::cerr << "portloom: no folder for the demo's files: neither $XDG_STATE_HOME nor /tmp can be written\n";
    return exit_internal;
  }
  std::optional<DemoTour> tour;
  RunSettings settings;
  std::error_code elsewhere;  // from inside the folder, messages name the file and not the way to it
  fs::current_path(facts.folder, elsewhere);
  settings.files = {elsewhere ? facts.file() : fs::path(facts.file()).filename().string()};
  settings.on_ready = [&](const std::vector<io::Address>& open) {
    facts.gateway = open.front().text();
    facts.admin = open.back().text();
    tour.emplace(facts, configuration).start();
  };
  int status = run_gateway(std::move(settings));
  tour.reset();
  if (status == 0) std::cout << "\nThe shop is closed. Its configuration and its logs are in " << facts.folder << ".\n" << std::flush;
  return status;
}

}  // namespace portloom::app
