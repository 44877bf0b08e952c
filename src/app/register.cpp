// app/register.cpp
//
// One coroutine registers and beats; an ending one takes its place when a signal comes or the command is over. Signals are turned into
// messages by a thread that does nothing else.
#include "app/register.h"

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <sstream>
#include <thread>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "app/gateway.h"
#include "app/host_names.h"
#include "async/race.h"
#include "async/scope.h"
#include "base/random.h"
#include "base/text.h"
#include "config/registry.h"
#include "data/json.h"
#include "discovery/instance.h"

namespace portloom::app {
namespace {

constexpr int exit_usage = 2;
constexpr int exit_internal = 70;
constexpr int exit_not_started = 127;  // as a shell has it
constexpr Duration look_every = 50ms;  // whether the command listens
constexpr Duration answer_max = 5s;
constexpr Duration farewell_max = 2s;
constexpr Duration again_first = 250ms;
constexpr Duration again_most = 5s;

sigset_t handled_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (int signal : {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGCHLD}) sigaddset(&set, signal);
  return set;
}

std::string made_id(uint16_t port) {
  char host[256] = "";
  ::gethostname(host, sizeof host - 1);
  std::string id;
  for (char c : std::string_view(host))
    if (id.size() < 64) id += is_alpha(c) || is_digit(c) || c == '.' || c == '-' ? c : '_';
  std::ostringstream chance;
  chance << std::hex << (random_seed() & 0xffffff);
  return (id.empty() ? "instance" : id) + "-" + std::to_string(port) + "-" + chance.str();
}

// The value of a text member of an answer of ours; empty when it is not there.
std::string text_member(std::string_view json, std::string_view name) {
  std::string key = "\"" + std::string(name) + "\":\"";
  size_t at = json.find(key);
  if (at == std::string_view::npos) return {};
  at += key.size();
  return std::string(json.substr(at, json.find('"', at) - at));
}

class Companion {
 public:
  Companion(const RegisterSettings& settings, std::string token, Duration ttl, Duration drain)
      : settings_(settings), token_(std::move(token)), ttl_(ttl), drain_(drain) {}

  int run(std::shared_ptr<io::TlsClientContext> tls) {
    signals_ = handled_signals();
    ::pthread_sigmask(SIG_BLOCK, &signals_, &inherited_);
    std::signal(SIGPIPE, SIG_IGN);
    if (!start_command()) return exit_not_started;
    Result<std::unique_ptr<io::Loop>> loop = io::make_loop(io::Engine::epoll);
    Result<std::unique_ptr<upstream::Resolver>> resolver = upstream::Resolver::make({});
    if (!loop || !resolver) {
      ::kill(child_, SIGTERM);
      return exit_internal;
    }
    loop_ = std::move(*loop);
    Agenda::make_current(loop_.get());
    names_.use(std::move(*resolver));
    fetcher_ = std::make_unique<http::Fetcher>(*http::Origin::parse(settings_.registry), names_, std::move(tls));
    watch_signals();
    scope_.spawn(work, this);
    while (!over_) loop_->turn(1s);
    scope_.cancel();
    ending_.cancel();
    fetcher_.reset();
    Agenda::make_current(nullptr);
    return status_;
  }

 private:
  bool start_command() {
    int report[2];
    if (::pipe2(report, O_CLOEXEC) != 0) return false;
    child_ = ::fork();
    if (child_ == 0) {
      ::pthread_sigmask(SIG_SETMASK, &inherited_, nullptr);
      std::signal(SIGPIPE, SIG_DFL);
      std::vector<char*> words;
      for (const std::string& word : settings_.command) words.push_back(const_cast<char*>(word.c_str()));
      words.push_back(nullptr);
      ::execvp(words[0], words.data());
      int error = errno;
      [[maybe_unused]] ssize_t written = ::write(report[1], &error, sizeof error);
      ::_exit(exit_not_started);
    }
    ::close(report[1]);
    int error = child_ < 0 ? errno : 0;
    if (child_ > 0 && ::read(report[0], &error, sizeof error) <= 0) error = 0;  // closed by exec
    ::close(report[0]);
    if (error == 0) return true;
    if (child_ > 0) ::waitpid(child_, nullptr, 0);
    say("portloom: cannot start " + settings_.command.front() + ": " + std::strerror(error));
    return false;
  }

  void watch_signals() {
    std::thread([this] {
      while (true) {
        int signal = 0;
        if (::sigwait(&signals_, &signal) != 0) return;
        loop_->mailbox().post([this, signal] { on_signal(signal); });
      }
    }).detach();
    on_signal(SIGCHLD);  // it may have ended before anybody listened
  }

  void on_signal(int signal) {
    if (signal == SIGCHLD) {
      int status = 0;
      if (over_ || ended_ || ::waitpid(child_, &status, WNOHANG) != child_) return;
      ended_ = true;
      status_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
      scope_.cancel();
      ending_.cancel();
      ending_.spawn(leave, this);
      return;
    }
    if (ended_) return;
    bool ends = signal == SIGTERM || signal == SIGINT || signal == SIGQUIT;
    if (!ends || std::exchange(told_to_end_, true)) {
      ::kill(child_, signal);  // the second one at once
      return;
    }
    scope_.cancel();
    ending_.spawn(drain, this, signal);
  }

  http::Fetcher::Question question(std::string method, std::string_view verb) const {
    http::Fetcher::Question asked;
    asked.method = std::move(method);
    asked.target = "/v1/services/" + settings_.service + "/" + settings_.id + std::string(verb);
    if (!token_.empty()) asked.fields.emplace_back("Authorization", "Bearer " + token_);
    if (!lease_.empty()) asked.fields.emplace_back("Lease", lease_);
    return asked;
  }

  http::Fetcher::Question registration(bool draining) const {
    http::Fetcher::Question asked = question("PUT", "");
    data::JsonWriter json(asked.body);
    json.begin_object().member("port", settings_.port).member("weight", settings_.weight).member("ttl", format_duration(ttl_));
    if (!address_.empty()) json.member("address", address_);
    if (!settings_.zone.empty()) json.member("zone", settings_.zone);
    if (!settings_.version.empty()) json.member("version", settings_.version);
    if (!settings_.metadata.empty()) json.key("metadata").raw(settings_.metadata);
    if (draining) json.member("state", "draining");
    json.end_object();
    return asked;
  }

  // Says it once, until it is another or all is well again.
  void complain(const std::string& what) {
    if (what == complaint_) return;
    complaint_ = what;
    say(what.empty() ? "portloom: the registry answers again" : "portloom: the registry at " + settings_.registry + ": " + what);
  }

  static std::string what_is_wrong(const Result<http::Fetcher::Answer>& answer) {
    if (!answer) return answer.error().detail.empty() ? std::string(name_of(answer.error().code)) : answer.error().detail;
    std::string detail = text_member(answer->body, "detail");
    return std::to_string(answer->status) + (detail.empty() ? "" : " " + detail);
  }

  static Task<void> work(Companion* self) {
    io::Address own = io::Address::loopback(self->settings_.port);
    if (!self->settings_.address.empty()) own = address_of(self->settings_.address, self->settings_.port);
    while (true) {
      std::optional<Result<io::Socket>> socket = co_await before(Agenda::current().now() + 1s, io::connect(own));
      if (socket && *socket) break;
      co_await sleep_for(look_every);
    }
    Duration pause = again_first;
    while (true) {
      bool registered = co_await self->enter();
      if (registered) {
        pause = again_first;
        co_await self->beat();
        continue;
      }
      co_await sleep_for(pause);
      pause = std::min(again_most, pause * 2);
    }
  }

  static io::Address address_of(const std::string& host, uint16_t port) {
    std::optional<io::Address> address = io::Address::parse((host.find(':') == std::string::npos ? host : "[" + host + "]") + ":1");
    return address ? address->with_port(port) : io::Address::loopback(port);
  }

  Task<bool> enter() {
    if (address_.empty()) {  // ours as the registry is reached: it may be behind somebody whose address it would see
      Result<http::Fetcher::Answer> ignored = co_await fetcher_->ask(question("GET", ""), Agenda::current().now() + answer_max);
      address_ = settings_.address.empty() ? fetcher_->local_host() : settings_.address;
    }
    entering_ = true;
    Result<http::Fetcher::Answer> answer = co_await fetcher_->ask(registration(false), Agenda::current().now() + answer_max);
    bool good = answer && (answer->status == 200 || answer->status == 201);
    complain(good ? std::string() : what_is_wrong(answer));
    if (!good) co_return false;
    lease_ = text_member(answer->body, "lease");
    say("portloom: registered " + settings_.service + "/" + settings_.id + " at " + settings_.registry);
    co_return true;
  }

  // Until the lease is no more.
  Task<void> beat() {
    Duration pause = ttl_ / 3;
    while (true) {
      co_await sleep_for(pause - Duration(static_cast<int64_t>(random_.below(static_cast<uint64_t>(pause.count() / 5)))));
      Result<http::Fetcher::Answer> answer =
          co_await fetcher_->ask(question("POST", "/heartbeat"), Agenda::current().now() + std::min(answer_max, ttl_));
      bool good = answer && answer->status == 204;
      complain(good ? std::string() : what_is_wrong(answer));
      bool lost = answer && (answer->status == 403 || answer->status == 404);
      if (lost) {
        lease_.clear();
        co_return;
      }
      pause = good ? ttl_ / 3 : std::min(ttl_ / 3, again_most);
    }
  }

  static Task<void> drain(Companion* self, int signal) {
    if (self->entering_) {
      Instant until = Agenda::current().now() + farewell_max;
      // Without a lease an answer is still on its way: registering again from the same place takes it over.
      http::Fetcher::Question asked = self->lease_.empty() ? self->registration(true) : self->question("POST", "/drain");
      Result<http::Fetcher::Answer> answer = co_await self->fetcher_->ask(std::move(asked), until);
      if (answer && self->lease_.empty()) self->lease_ = text_member(answer->body, "lease");
      if (answer && answer->status < 300) co_await sleep_for(self->drain_);
    }
    ::kill(self->child_, signal);
  }

  static Task<void> leave(Companion* self) {
    if (!self->lease_.empty()) {
      Result<http::Fetcher::Answer> ignored =
          co_await self->fetcher_->ask(self->question("DELETE", ""), Agenda::current().now() + farewell_max);
    }
    self->over_ = true;
  }

  const RegisterSettings& settings_;
  std::string token_;
  Duration ttl_;
  Duration drain_;
  sigset_t signals_{};
  sigset_t inherited_{};
  pid_t child_ = -1;
  std::unique_ptr<io::Loop> loop_;
  HostNames names_;
  std::unique_ptr<http::Fetcher> fetcher_;
  Random random_{random_seed()};
  std::string address_;
  std::string lease_;
  std::string complaint_;
  bool entering_ = false;     // the registry may know of it
  bool told_to_end_ = false;  // by a signal
  bool ended_ = false;        // the command
  bool over_ = false;
  int status_ = 0;
  Scope scope_;
  Scope ending_;
};

int refuse(const std::string& what) {
  say("portloom: register: " + what);
  return exit_usage;
}

std::optional<std::string> read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return std::nullopt;
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

}  // namespace

Registration::Registration(CLI::App& app) {
  verb_ = app.add_subcommand("register", "Run a command and register it as an instance of a service while it lives.");
  verb_->footer(
      "Examples:\n  portloom register orders --port 8081 -- ./orders --listen 8081\n  portloom register orders --port 8081 --registry "
      "https://control.internal:9910 --zone eu-1 -- ./orders");
  verb_->add_option("NAME", settings_.service, "the service's name")->required();
  verb_->add_option("--port", settings_.port, "the port that the command listens on")->required();
  verb_->add_option("--registry", settings_.registry, "http(s)://host[:port]; http://127.0.0.1:9910 unless said");
  verb_->add_option("--address", settings_.address, "the IP address to register; ours, as the registry is reached, unless said");
  verb_->add_option("--id", settings_.id, "the instance's id; made unless said");
  verb_->add_option("--zone", settings_.zone, "where it runs");
  verb_->add_option("--instance-version", settings_.version, "of what runs there");
  verb_->add_option("--weight", settings_.weight, "its share of the requests, 1 to 1000");
  verb_->add_option("--metadata", settings_.metadata, "a JSON object");
  verb_->add_option("--ttl", settings_.ttl, "how long its lease lasts without a heartbeat; 15s unless said");
  verb_->add_option("--drain", settings_.drain, "from \"draining\" until the command is told to end; 1s unless said");
  verb_->add_option("--token-file", settings_.token_file, "what the registry wants to be shown; $PORTLOOM_REGISTRY_TOKEN unless said");
  verb_->add_option("--ca", settings_.ca, "authorities for an https registry, PEM; the system's unless said");
  verb_->add_option("COMMAND", settings_.command, "the command and its arguments, behind --")->required();
}

std::optional<int> Registration::run() const {
  if (!*verb_) return std::nullopt;
  RegisterSettings settings = settings_;
  if (settings.id.empty()) settings.id = made_id(settings.port);
  if (!config::is_name(settings.service) || !config::is_name(settings.id)) return refuse("NAME and --id are letters, digits, _ - and .");
  if (!config::is_origin(settings.registry)) return refuse("--registry takes http(s)://host[:port], found " + settings.registry);
  std::optional<Duration> ttl = parse_duration(settings.ttl);
  std::optional<Duration> drain = parse_duration(settings.drain);
  if (!ttl || *ttl < discovery::ttl_least || *ttl > discovery::ttl_most)
    return refuse("--ttl takes a duration from 1s to 1h, found " + settings.ttl);
  if (!drain) return refuse("--drain takes a duration with its unit, found " + settings.drain);
  // As the registry will read it: what is wrong is said before anything is started.
  std::string body;
  data::JsonWriter json(body);
  json.begin_object().member("port", settings.port).member("weight", settings.weight);
  if (!settings.address.empty()) json.member("address", settings.address);
  if (!settings.zone.empty()) json.member("zone", settings.zone);
  if (!settings.version.empty()) json.member("version", settings.version);
  if (!settings.metadata.empty()) json.key("metadata").raw(settings.metadata);
  json.end_object();
  std::expected<discovery::Registration, std::string> read = discovery::read_registration(body);
  if (!read) return refuse(read.error());
  std::string token;
  if (const char* from_environment = std::getenv("PORTLOOM_REGISTRY_TOKEN")) token = from_environment;
  if (!settings.token_file.empty()) {
    std::optional<std::string> text = read_file(settings.token_file);
    if (!text) return refuse("cannot read " + settings.token_file);
    token = std::move(*text);
  }
  while (!token.empty() && (token.back() == '\n' || token.back() == '\r')) token.pop_back();
  std::shared_ptr<io::TlsClientContext> tls;
  if (settings.registry.starts_with("https://")) {
    std::optional<std::string> pem = settings.ca.empty() ? std::string() : read_file(settings.ca);
    if (!pem) return refuse("cannot read " + settings.ca);
    auto authorities = settings.ca.empty() ? io::system_authorities() : io::parse_authorities(*pem);
    if (!authorities) return refuse(authorities.error().detail);
    auto material = std::make_shared<io::TlsClientMaterial>();
    material->authorities = *authorities;
    auto made = io::TlsClientContext::make(material);
    if (!made) return refuse(made.error().detail);
    tls = std::move(*made);
  }
  ::unsetenv("PORTLOOM_REGISTRY_TOKEN");  // the command has no use for it
  return Companion(settings, std::move(token), *ttl, *drain).run(std::move(tls));
}

}  // namespace portloom::app
