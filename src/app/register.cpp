// app/register.cpp
//
// One coroutine registers and beats; an ending one takes its place when a signal comes or the command is over. Signals are turned into
// messages by a thread that does nothing else.
#include "app/register.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <iostream>
#include <sstream>
#include <thread>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "app/enrolment.h"
#include "app/gateway.h"
#include "app/host_names.h"
#include "async/race.h"
#include "async/scope.h"
#include "base/random.h"
#include "base/text.h"
#include "config/etcd.h"
#include "data/json.h"

namespace portloom::app {
namespace {

constexpr int exit_usage = 2;
constexpr int exit_internal = 70;
constexpr int exit_not_started = 127;  // as a shell has it
constexpr Duration look_every = 50ms;  // whether the command listens
constexpr Duration answer_max = 5s;
constexpr Duration etcd_answer_max = 1s;  // of one member: another one has to have its time too
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

class Companion {
 public:
  using Enrol = std::function<std::unique_ptr<Enrolment>(http::Names& names)>;
  // `own`: where the command listens.
  Companion(const RegisterSettings& settings, io::Address own, Duration ttl, Duration drain)
      : settings_(settings), own_(std::move(own)), ttl_(ttl), drain_(drain) {}

  int run(const Enrol& enrol) {
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
    enrolment_ = enrol(names_);
    watch_signals();
    scope_.spawn(work, this);
    while (!over_) loop_->turn(1s);
    scope_.cancel();
    ending_.cancel();
    enrolment_.reset();
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

  // Says it once, until it is another or all is well again.
  void complain(const std::string& what) {
    if (what == complaint_) return;
    complaint_ = what;
    say("portloom: " + enrolment_->where() + (what.empty() ? " answers again" : ": " + what));
  }

  // What came of a step, within its time.
  template <class T>
  static std::string what_is_wrong(const std::optional<Result<T>>& outcome) {
    if (!outcome) return "does not answer in time";
    if (*outcome) return {};
    const Error& error = outcome->error();
    return error.detail.empty() ? std::string(name_of(error.code)) : error.detail;
  }

  static Task<void> work(Companion* self) {
    while (true) {
      std::optional<Result<io::Socket>> socket = co_await before(Agenda::current().now() + 1s, io::connect(self->own_));
      if (socket && *socket) break;
      co_await sleep_for(look_every);
    }
    Duration pause = again_first;
    while (true) {
      self->entering_ = true;
      std::optional<Result<void>> entered = co_await before(Agenda::current().now() + answer_max, self->enrolment_->enter(false));
      self->complain(what_is_wrong(entered));
      if (entered && *entered) {
        say("portloom: registered " + self->settings_.service + "/" + self->settings_.id + " at " + self->enrolment_->where());
        pause = again_first;
        co_await self->beat();
        continue;
      }
      co_await sleep_for(pause);
      pause = std::min(again_most, pause * 2);
    }
  }

  // Until the lease is no more.
  Task<void> beat() {
    Duration pause = ttl_ / 3;
    while (true) {
      co_await sleep_for(pause - Duration(static_cast<int64_t>(random_.below(static_cast<uint64_t>(pause.count() / 5)))));
      std::optional<Result<bool>> renewed = co_await before(Agenda::current().now() + std::min(answer_max, ttl_), enrolment_->renew());
      complain(what_is_wrong(renewed));
      bool answered = renewed && *renewed;
      if (answered && !**renewed) co_return;
      pause = answered ? ttl_ / 3 : std::min(ttl_ / 3, again_most);
    }
  }

  static Task<void> drain(Companion* self, int signal) {
    if (self->entering_) {
      std::optional<Result<void>> drained = co_await before(Agenda::current().now() + farewell_max, self->enrolment_->drain());
      if (drained && *drained) co_await sleep_for(self->drain_);
    }
    ::kill(self->child_, signal);
  }

  static Task<void> leave(Companion* self) {
    std::optional<Result<void>> ignored = co_await before(Agenda::current().now() + farewell_max, self->enrolment_->leave());
    self->over_ = true;
  }

  const RegisterSettings& settings_;
  io::Address own_;
  Duration ttl_;
  Duration drain_;
  sigset_t signals_{};
  sigset_t inherited_{};
  pid_t child_ = -1;
  std::unique_ptr<io::Loop> loop_;
  HostNames names_;
  std::unique_ptr<Enrolment> enrolment_;
  Random random_{random_seed()};
  std::string complaint_;
  bool entering_ = false;     // others may know of it
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

// A secret's text: of the file, or of the variable where no file is named. Empty: neither is there; none: the file cannot be read.
std::optional<std::string> secret_of(const std::string& file, const char* variable) {
  std::string secret;
  if (const char* from_environment = std::getenv(variable)) secret = from_environment;
  ::unsetenv(variable);  // the command has no use for it
  if (!file.empty()) {
    std::optional<std::string> text = read_file(file);
    if (!text) return std::nullopt;
    secret = std::move(*text);
  }
  while (secret.ends_with('\n') || secret.ends_with('\r')) secret.pop_back();
  return secret;
}

// Null: in plain text.
Result<std::shared_ptr<io::TlsClientContext>> tls_of(const RegisterSettings& settings, bool secure) {
  if (!secure) return std::shared_ptr<io::TlsClientContext>();
  auto unreadable = [](const std::string& file) { return failure(Code::invalid, Side::gateway, "cannot read " + file); };
  std::optional<std::string> pem = settings.ca.empty() ? std::string() : read_file(settings.ca);
  if (!pem) return unreadable(settings.ca);
  auto authorities = settings.ca.empty() ? io::system_authorities() : io::parse_authorities(*pem);
  if (!authorities) return std::unexpected(authorities.error());
  auto material = std::make_shared<io::TlsClientMaterial>();
  material->authorities = *authorities;
  return io::TlsClientContext::make(material);
}

}  // namespace

Registration::Registration(CLI::App& app) {
  verb_ = app.add_subcommand("register", "Run a command and register it as an instance of a service while it lives.");
  verb_->footer(
      "Examples:\n  portloom register orders --port 8081 -- ./orders --listen 8081\n  portloom register orders --port 8081 --registry "
      "https://control.internal:9910 --zone eu-1 -- ./orders\n  portloom register orders --port 8081 --etcd "
      "http://etcd-1:2379,http://etcd-2:2379 -- "
      "./orders");
  verb_->add_option("NAME", settings_.service, "the service's name")->required();
  verb_->add_option("--port", settings_.port, "the port that the command listens on")->required();
  verb_->add_option("--registry", settings_.registry, "http(s)://host[:port]; http://127.0.0.1:9910 unless said");
  verb_->add_option("--etcd", settings_.etcd, "instead: members of an etcd cluster, http(s)://host:port, several with commas")
      ->delimiter(',')
      ->allow_extra_args(false);
  verb_->add_option("--etcd-path", settings_.etcd_path, "where services are in etcd: its key is PATH/NAME/ID; /services unless said");
  verb_->add_option("--address", settings_.address, "the IP address to register; ours, as the registry is reached, unless said");
  verb_->add_option("--id", settings_.id, "the instance's id; made unless said");
  verb_->add_option("--zone", settings_.zone, "where it runs");
  verb_->add_option("--instance-version", settings_.version, "of what runs there");
  verb_->add_option("--weight", settings_.weight, "its share of the requests, 1 to 1000");
  verb_->add_option("--metadata", settings_.metadata, "a JSON object");
  verb_->add_option("--ttl", settings_.ttl, "how long its lease lasts without a heartbeat; 15s unless said");
  verb_->add_option("--drain", settings_.drain, "from \"draining\" until the command is told to end; 1s unless said");
  verb_->add_option("--token-file", settings_.token_file, "what the registry wants to be shown; $PORTLOOM_REGISTRY_TOKEN unless said");
  verb_->add_option("--username", settings_.username, "who logs in at etcd");
  verb_->add_option("--password-file", settings_.password_file, "the user's password; $PORTLOOM_ETCD_PASSWORD unless said");
  verb_->add_option("--ca", settings_.ca, "authorities for https, PEM; the system's unless said");
  verb_->add_option("COMMAND", settings_.command, "the command and its arguments, behind --")->required();
}

std::optional<int> Registration::run() const {
  if (!*verb_) return std::nullopt;
  RegisterSettings settings = settings_;
  if (settings.id.empty()) settings.id = made_id(settings.port);
  if (!config::is_name(settings.service) || !config::is_name(settings.id)) return refuse("NAME and --id are letters, digits, _ - and .");
  std::vector<std::string> origins = settings.etcd.empty() ? std::vector{settings.registry} : settings.etcd;
  for (const std::string& origin : origins)
    if (!config::is_origin(origin))
      return refuse((settings.etcd.empty() ? "--registry" : "--etcd") + std::string(" takes http(s)://host[:port], found ") + origin);
  if (!config::is_etcd_path(settings.etcd_path)) return refuse("--etcd-path takes a path such as /services, found " + settings.etcd_path);
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
  std::optional<std::string> token = secret_of(settings.token_file, "PORTLOOM_REGISTRY_TOKEN");
  if (!token) return refuse("cannot read " + settings.token_file);
  std::optional<std::string> password = secret_of(settings.password_file, "PORTLOOM_ETCD_PASSWORD");
  if (!password) return refuse("cannot read " + settings.password_file);
  if (settings.username.empty() != password->empty() && !settings.etcd.empty())
    return refuse("a user of etcd has --username and a password (--password-file or $PORTLOOM_ETCD_PASSWORD)");
  bool secure = std::ranges::any_of(origins, [](const std::string& one) { return one.starts_with("https://"); });
  Result<std::shared_ptr<io::TlsClientContext>> tls = tls_of(settings, secure);
  if (!tls) return refuse(tls.error().detail);
  Enrolment::Who who{settings.service, std::move(read->instance), read->has_address, *ttl};
  who.instance.id = settings.id;
  io::Address own = who.instance.address;
  return Companion(settings, own, *ttl, *drain).run([&](http::Names& names) {
    if (settings.etcd.empty()) return enrol_in_registry(std::move(who), settings.registry, std::move(*token), names, *tls);
    discovery::EtcdClient::Settings client{
        .endpoints = settings.etcd, .user = settings.username, .password = std::move(*password), .answer_max = etcd_answer_max};
    return enrol_in_etcd(std::move(who), std::move(client), settings.etcd_path, names, *tls);
  });
}

}  // namespace portloom::app
