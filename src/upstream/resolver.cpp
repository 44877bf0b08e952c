// upstream/resolver.cpp
//
// c-ares asks, and calls back when an answer is there; a look at its sockets every few milliseconds while a question is out is
// all that drives it. Callbacks only take notes: what waits is resumed by the loop.
#include "upstream/resolver.h"

#include <algorithm>

#include <ares.h>
#include <arpa/nameser.h>
#include <netdb.h>
#include <poll.h>

#include "async/agenda.h"

namespace portloom::upstream {

namespace {

constexpr Duration look_every = 5ms;
constexpr int timeout_ms = 1000;  // for the first server; c-ares gives later rounds more
constexpr int rounds = 2;

// The library wants to be told once per process.
bool started() {
  static const bool well = ::ares_library_init(ARES_LIB_INIT_ALL) == ARES_SUCCESS;
  return well;
}

std::unexpected<Error> failed(const std::string& name, int status) {
  bool told = status == ARES_ENOTFOUND || status == ARES_ENODATA;
  return failure(told ? Code::no_endpoint : Code::unavailable, Side::upstream, "cannot resolve " + name + ": " + ::ares_strerror(status));
}

Result<Answer> answer_of(const std::string& name, int status, const ares_addrinfo* info) {
  if (status != ARES_SUCCESS) return failed(name, status);
  Answer answer;
  int ttl = INT32_MAX;
  for (const ares_addrinfo_cname* alias = info->cnames; alias != nullptr; alias = alias->next) ttl = std::min(ttl, alias->ttl);
  for (const ares_addrinfo_node* node = info->nodes; node != nullptr; node = node->ai_next) {
    ttl = std::min(ttl, node->ai_ttl);
    answer.addresses.push_back(io::Address::from(node->ai_addr, node->ai_addrlen));
  }
  if (answer.addresses.empty()) return failed(name, ARES_ENODATA);
  auto text_less = [](const io::Address& a, const io::Address& b) { return a.text() < b.text(); };
  std::sort(answer.addresses.begin(), answer.addresses.end(), text_less);
  answer.addresses.erase(std::unique(answer.addresses.begin(), answer.addresses.end()), answer.addresses.end());
  if (answer.addresses.size() > Lookup::addresses_max) answer.addresses.resize(Lookup::addresses_max);
  answer.ttl = std::chrono::seconds(std::max(ttl, 0));
  return answer;
}

Result<SrvTargets> targets_of(const std::string& name, int status, const unsigned char* message, int length) {
  if (status != ARES_SUCCESS) return failed(name, status);
  std::optional<SrvTargets> targets = parse_srv({message, static_cast<size_t>(length)});
  if (!targets) return failed(name, ARES_EBADRESP);
  if (targets->list.empty()) return failed(name, ARES_ENODATA);
  return std::move(*targets);
}

}  // namespace

struct Resolver::Library {
  ares_channel channel = nullptr;
  ~Library() {
    if (channel != nullptr) ::ares_destroy(channel);  // calls back whoever still waits
  }
  // What the sockets and the clock have for it; waits so long for that.
  void process(Duration wait) {
    std::array<ares_socket_t, ARES_GETSOCK_MAXNUM> sockets{};
    auto bits = static_cast<unsigned>(::ares_getsock(channel, sockets.data(), ARES_GETSOCK_MAXNUM));
    std::array<pollfd, ARES_GETSOCK_MAXNUM> asked{};
    nfds_t count = 0;
    for (unsigned i = 0; i < ARES_GETSOCK_MAXNUM; ++i) {
      short events = 0;
      if (ARES_GETSOCK_READABLE(bits, i)) events |= POLLIN;
      if (ARES_GETSOCK_WRITABLE(bits, i)) events |= POLLOUT;
      if (events != 0) asked[count++] = {sockets[i], events, 0};
    }
    ::poll(asked.data(), count, static_cast<int>(wait / 1ms));
    ::ares_process_fd(channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);  // time-outs
    for (nfds_t i = 0; i < count; ++i) {
      ares_socket_t socket = asked[i].fd;
      short got = asked[i].revents;
      ::ares_process_fd(channel, (got & (POLLIN | POLLERR | POLLHUP)) != 0 ? socket : ARES_SOCKET_BAD,
                        (got & POLLOUT) != 0 ? socket : ARES_SOCKET_BAD);
    }
  }
};

// Held by who asked and, until it has called back, by c-ares.
template <class T>
struct Resolver::Question {
  explicit Question(std::string of) : name(std::move(of)) {}
  std::string name;
  std::optional<Result<T>> answer;
  static void* held(std::shared_ptr<Question> question) { return new std::shared_ptr<Question>(std::move(question)); }
  static void called_back(void* argument, int status, int, ares_addrinfo* info) {
    std::unique_ptr<std::shared_ptr<Question>> held(static_cast<std::shared_ptr<Question>*>(argument));
    (*held)->answer = answer_of((*held)->name, status, info);
    if (info != nullptr) ::ares_freeaddrinfo(info);
  }
  static void called_back_raw(void* argument, int status, int, unsigned char* message, int length) {
    std::unique_ptr<std::shared_ptr<Question>> held(static_cast<std::shared_ptr<Question>*>(argument));
    (*held)->answer = targets_of((*held)->name, status, message, length);
  }
};

Resolver::Resolver(std::unique_ptr<Library> library) : library_(std::move(library)) {}
Resolver::~Resolver() = default;

Result<std::unique_ptr<Resolver>> Resolver::make(const std::vector<std::string>& servers) {
  auto invalid = [](int status) {
    return failure(Code::invalid, Side::gateway, std::string("the resolver does not start: ") + ::ares_strerror(status));
  };
  if (!started()) return invalid(ARES_ENOTINITIALIZED);
  auto library = std::make_unique<Library>();
  ares_options options{};
  options.timeout = timeout_ms;
  options.tries = rounds;
  int status = ::ares_init_options(&library->channel, &options, ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES);
  if (status != ARES_SUCCESS) return invalid(status);
  std::string list;
  for (const std::string& server : servers) list += (list.empty() ? "" : ",") + server;
  if (!list.empty()) status = ::ares_set_servers_ports_csv(library->channel, list.c_str());
  if (status != ARES_SUCCESS) return invalid(status);
  return std::unique_ptr<Resolver>(new Resolver(std::move(library)));
}

std::shared_ptr<Resolver::Question<Answer>> Resolver::ask(const std::string& name) {
  auto question = std::make_shared<Question<Answer>>(name);
  ares_addrinfo_hints hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = ARES_AI_NOSORT;  // all are used: their order means nothing
  ::ares_getaddrinfo(library_->channel, name.c_str(), nullptr, &hints, Question<Answer>::called_back, Question<Answer>::held(question));
  return question;
}

std::shared_ptr<Resolver::Question<SrvTargets>> Resolver::ask_targets(const std::string& name) {
  auto question = std::make_shared<Question<SrvTargets>>(name);
  ::ares_query(library_->channel, name.c_str(), ns_c_in, ns_t_srv, Question<SrvTargets>::called_back_raw,
               Question<SrvTargets>::held(question));
  return question;
}

template <class T>
Task<Result<T>> Resolver::answered(std::shared_ptr<Question<T>> question) {
  while (!question->answer) {
    co_await sleep_for(look_every);
    library_->process(0ms);
  }
  co_return *question->answer;
}

Task<Result<Answer>> Resolver::lookup(std::string name) { return answered(ask(name)); }
Task<Result<SrvTargets>> Resolver::targets(std::string name) { return answered(ask_targets(name)); }

template <class T>
std::vector<Result<T>> Resolver::answered_now(const std::vector<std::shared_ptr<Question<T>>>& questions, Duration wait_max) {
  Instant end = SteadyClock::now() + wait_max;
  auto open = [&questions] { return std::any_of(questions.begin(), questions.end(), [](const auto& one) { return !one->answer; }); };
  while (open() && SteadyClock::now() < end) library_->process(look_every);
  std::vector<Result<T>> answers;
  for (const auto& question : questions)
    answers.push_back(question->answer ? *question->answer : Result<T>(failed(question->name, ARES_ETIMEOUT)));
  return answers;
}

std::vector<Result<Answer>> Resolver::lookup_now(const std::vector<std::string>& names, Duration wait_max) {
  std::vector<std::shared_ptr<Question<Answer>>> questions;
  for (const std::string& name : names) questions.push_back(ask(name));
  return answered_now(questions, wait_max);
}

std::vector<Result<SrvTargets>> Resolver::targets_now(const std::vector<std::string>& names, Duration wait_max) {
  std::vector<std::shared_ptr<Question<SrvTargets>>> questions;
  for (const std::string& name : names) questions.push_back(ask_targets(name));
  return answered_now(questions, wait_max);
}

}  // namespace portloom::upstream
