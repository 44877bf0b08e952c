// load.cpp
//
// Closed-loop load generator for HTTP/1.1: N keep-alive connections, each with one request under way. Made to be cheap,
// because it shares a core with the origin: one recv per small answer, and bodies that come without TLS are counted and thrown
// away inside the kernel (MSG_TRUNC). It measures only between two marks, so that the rig can read the proxy's CPU exactly
// around a known number of requests: after the warm-up it prints "ready" and waits for a line on standard input (--gate); then
// it prints one JSON line, and keeps its connections open until standard input ends.

// --rps fixes the rate. A request's latency then counts from the moment it was due, so a stall is not hidden by the requests
// that could not be sent meanwhile. --idle N opens N connections, makes one request on each, and holds them. --handshake makes
// a new connection for each request; "resumed" shows a ticket of the one before it, and a server that does not take it is an
// error, so that nobody is measured with a full handshake by mistake. --together N makes N requests at once where it made one, on N
// times the connections: answered when the last one is.

#include <poll.h>
#include <sys/epoll.h>

#include <array>
#include <csignal>
#include <deque>
#include <vector>

#include "load.h"

namespace bench {
namespace {

constexpr const char* kUsage =
    "usage: bench_load --to ADDRESS:PORT [--path P] [--body-bytes N] [--connections N] [--requests N | --duration SECONDS]\n"
    "                  [--warmup N] [--rps N] [--gate 1] [--idle N] [--tls 1] [--handshake full|resumed]\n"
    "                  [--field 'NAME: VALUE'] [--together N]";

struct Connection {
  Wire wire;
  SSL_SESSION* session = nullptr;  // the latest ticket
  bool busy = false;
  bool resuming = false;
  bool shaking = false;  // the handshake is under way; the request follows
  bool in_body = false;
  Connection* first = nullptr;  // of those whose requests are made together; itself where there is only one
  uint64_t under_way = 0;       // of the first: how many of them are not answered
  uint64_t begun = 0;           // of the first: when their requests were sent, or were due
  uint64_t remaining = 0;       // body bytes to come
  std::string head;             // the beginning of an answer whose head is not complete
};

struct Head {
  bool valid = false;
  size_t bytes = 0;  // 0: not complete yet
  int status = 0;
  uint64_t content_length = 0;
};

Head parse_head(std::string_view bytes) {
  Head head;
  const size_t end = bytes.find("\r\n\r\n");
  if (end == std::string_view::npos) return head;
  head.bytes = end + 4;
  if (bytes.size() < 12 || bytes.substr(0, 9) != "HTTP/1.1 ") return head;
  head.status = static_cast<int>(parse_number(bytes.substr(9, 3)));
  constexpr std::string_view kName = "content-length:";
  for (size_t line = bytes.find("\r\n"); line < end; line = bytes.find("\r\n", line + 2)) {
    const std::string_view field = bytes.substr(line + 2, kName.size());
    if (field.size() < kName.size() || strncasecmp(field.data(), kName.data(), kName.size()) != 0) continue;
    std::string_view value = bytes.substr(line + 2 + kName.size());
    value = value.substr(0, value.find('\r'));
    value.remove_prefix(std::min(value.find_first_not_of(' '), value.size()));
    head.content_length = parse_number(value);
    head.valid = true;
    return head;
  }
  return head;
}

class Load {
 public:
  explicit Load(const Options& options)
      : options_(options), scratch_(65'536), connections_(options.idle > 0 ? options.idle : options.connections * options.together) {
    for (size_t i = 0; i < connections_.size(); ++i) connections_[i].first = &connections_[i - i % options.together];
    if (options_.tls || fresh()) {
      tls_ = client_tls(false);
      SSL_CTX_set_session_cache_mode(tls_, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE);
      SSL_CTX_sess_set_new_cb(tls_, keep_ticket);
    }
    request_ =
        "GET " + options_.path + " HTTP/1.1\r\nHost: bench.example\r\nUser-Agent: bench_load\r\nAccept: */*\r\n" + options_.fields + "\r\n";
    epoll_ = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_ < 0) fail("epoll_create1");
  }

  int run() {
    if (!fresh()) {
      for (Connection& connection : connections_) open(connection);
    }
    return options_.idle > 0 ? hold_idle() : measure();
  }

 private:
  int measure() {
    drive(std::max(options_.warmup, options_.connections), 0, 0);
    if (options_.gate) announce_ready();
    latencies_ = {};
    errors_ = 0;
    const double cpu_begin = own_cpu_us();
    const uint64_t begin = now_ns();
    const uint64_t done = drive(options_.requests, options_.duration * 1'000'000'000, options_.rps);
    const double seconds = static_cast<double>(now_ns() - begin) / 1e9;
    print_result({done, errors_, seconds, own_cpu_us() - cpu_begin}, latencies_);
    return finish(options_, errors_);
  }

  // At most 64 requests at a time, so that the proxy's pool of upstream connections stays small while clients are many.
  int hold_idle() {
    constexpr size_t kTogether = 64;
    uint64_t next = 0;
    uint64_t busy = 0;
    while (next < connections_.size() || busy > 0) {
      while (next < connections_.size() && busy < kTogether) {
        if (begin_request(connections_[next++], now_ns())) ++busy;
      }
      if (busy > 0) busy -= turn(-1);
    }
    std::printf("{\"held\": %zu, \"errors\": %lu}\n", connections_.size(), errors_);
    std::fflush(stdout);
    wait_for_line();
    uint64_t closed = 0;
    for (const Connection& connection : connections_) {
      char byte = 0;
      if (recv(connection.wire.fd(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0 || errno != EAGAIN) ++closed;
    }
    std::printf("{\"closed_while_idle\": %lu}\n", closed);
    return finish(options_, errors_);
  }

  bool fresh() const { return !options_.handshake.empty(); }

  // Called by OpenSSL with each ticket; ours from now on.
  static int keep_ticket(SSL* ssl, SSL_SESSION* session) {
    auto* connection = static_cast<Connection*>(SSL_get_app_data(ssl));
    if (connection->session != nullptr) SSL_SESSION_free(connection->session);
    connection->session = session;
    return 1;
  }

  // Makes requests until `count` are done (if not 0) or `duration` has passed (if not 0). Returns how many were answered.
  uint64_t drive(uint64_t count, uint64_t duration, uint64_t rps) {
    const uint64_t begin = now_ns();
    uint64_t started = 0;
    uint64_t ended = 0;
    std::deque<Connection*> free;
    for (Connection& connection : connections_)
      if (connection.first == &connection) free.push_back(&connection);
    bool closing = false;
    while (true) {
      const uint64_t now = now_ns();
      closing = (count > 0 && started == count) || (duration > 0 && now - begin >= duration);
      if (closing && started == ended) return ended;
      for (; !closing && !free.empty(); closing = count > 0 && started == count) {
        const uint64_t due = rps > 0 ? begin + started * 1'000'000'000 / rps : now_ns();
        if (due > now_ns()) break;
        Connection* first = free.front();
        free.pop_front();
        ++started;
        for (uint64_t i = 0; i < options_.together; ++i) begin_request(first[i], due);
        if (first->under_way == 0) {  // none could be sent
          ++ended;
          free.push_back(first);
        }
      }
      int64_t wait_ns = -1;
      if (!closing && rps > 0 && !free.empty()) {
        const uint64_t due = begin + started * 1'000'000'000 / rps;
        wait_ns = due > now_ns() ? static_cast<int64_t>(due - now_ns()) : 0;
      }
      if (duration > 0 && wait_ns < 0) wait_ns = 100'000'000;
      ended += turn(wait_ns, &free);
    }
  }

  // Handles what has arrived; returns how many requests ended. Their connections, the first of those together, are put into `free`.
  uint64_t turn(int64_t wait_ns, std::deque<Connection*>* free = nullptr) {
    std::array<epoll_event, 256> events;
    const timespec timeout{.tv_sec = wait_ns / 1'000'000'000, .tv_nsec = wait_ns % 1'000'000'000};
    const int count = epoll_pwait2(epoll_, events.data(), static_cast<int>(events.size()), wait_ns < 0 ? nullptr : &timeout, nullptr);
    uint64_t ended = 0;
    for (int i = 0; i < count; ++i) {
      auto& connection = *static_cast<Connection*>(events[static_cast<size_t>(i)].data.ptr);
      if (!connection.busy) {
        // Closed between requests: no error of the peer, but the connection must be replaced. Or a ticket has come.
        if (!only_a_ticket(connection)) reopen(connection);
        continue;
      }
      if (!receive(connection, (events[static_cast<size_t>(i)].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0)) continue;
      connection.busy = false;
      if (--connection.first->under_way > 0) continue;
      ++ended;
      if (free != nullptr) free->push_back(connection.first);
    }
    return ended;
  }

  // Ready for a request, but for a fresh connection, whose handshake comes with it.
  void open(Connection& connection) {
    connection.wire.open(options_.to, tls_, options_.handshake == "resumed" ? connection.session : nullptr);
    if (tls_ != nullptr) {
      SSL_set_app_data(connection.wire.tls(), &connection);
      if (!fresh()) shake_to_the_end(connection.wire);
    }
    epoll_event event{};
    event.events = EPOLLIN | EPOLLRDHUP | EPOLLET;
    event.data.ptr = &connection;
    if (epoll_ctl(epoll_, EPOLL_CTL_ADD, connection.wire.fd(), &event) < 0) fail("epoll_ctl");
  }

  bool only_a_ticket(Connection& connection) {
    return tls_ != nullptr && connection.wire.read(scratch_.data(), scratch_.size()) < 0 && errno == EAGAIN;
  }

  static void shake_to_the_end(Wire& wire) {
    Wire::Step step = wire.step();
    for (; step == Wire::Step::again; step = wire.step()) {
      pollfd waited{wire.fd(), POLLIN, 0};
      poll(&waited, 1, 10'000);
    }
    if (step == Wire::Step::failed) usage("the TLS handshake failed");
  }

  void reopen(Connection& connection) {
    connection.wire.drop();
    connection.busy = connection.in_body = connection.shaking = false;
    connection.head.clear();
    if (!fresh()) open(connection);
  }

  // False if the connection failed at once: counted as an error.
  bool begin_request(Connection& connection, uint64_t begun) {
    connection.first->begun = begun;
    ++connection.first->under_way;
    if (fresh()) {
      connection.resuming = options_.handshake == "resumed" && connection.session != nullptr;
      open(connection);
      connection.shaking = connection.busy = true;
      if (go_on_shaking(connection)) return true;
    } else if (connection.wire.write(request_)) {
      return connection.busy = true;
    }
    ++errors_;
    --connection.first->under_way;
    reopen(connection);
    return false;
  }

  // False if the request could not be sent.
  bool go_on_shaking(Connection& connection) {
    const Wire::Step step = connection.wire.step();
    if (step == Wire::Step::again) return true;
    if (step == Wire::Step::failed) return false;
    if (connection.resuming != (SSL_session_reused(connection.wire.tls()) == 1)) return false;
    connection.shaking = false;
    return connection.wire.write(request_);
  }

  // True when the request has ended, well or not. `to_the_end`: the end of the stream was reported with the data.
  bool receive(Connection& connection, bool to_the_end) {
    if (connection.shaking) {
      if (!go_on_shaking(connection)) return give_up(connection);
      if (connection.shaking) return false;
    }
    while (true) {
      ssize_t got = 0;
      size_t wanted = scratch_.size();
      if (connection.in_body && tls_ == nullptr) {
        wanted = connection.remaining;
        got = recv(connection.wire.fd(), nullptr, wanted, MSG_TRUNC);
      } else {
        got = connection.wire.read(scratch_.data(), wanted);
      }
      if (got < 0 && errno == EAGAIN) return false;
      if (got <= 0) return give_up(connection);
      if (connection.in_body)
        connection.remaining -= std::min(connection.remaining, static_cast<uint64_t>(got));
      else if (!take_head(connection, {scratch_.data(), static_cast<size_t>(got)}))
        return give_up(connection);
      if (connection.in_body && connection.remaining == 0) {
        connection.in_body = false;
        if (connection.first->under_way == 1) latencies_.add(now_ns() - connection.first->begun);
        if (fresh()) connection.wire.close_politely();
        return true;
      }
      // A short read drained the socket, and the next bytes raise a new edge. TLS hands out record by record: ask again.
      if (tls_ == nullptr && static_cast<size_t>(got) < wanted && !to_the_end) return false;
    }
  }

  // False if the bytes are no good answer.
  bool take_head(Connection& connection, std::string_view bytes) {
    if (!connection.head.empty()) {
      connection.head += bytes;
      bytes = connection.head;
    }
    const Head head = parse_head(bytes);
    if (head.bytes == 0) {
      if (connection.head.empty()) connection.head = bytes;
      return true;
    }
    const size_t body = bytes.size() - head.bytes;
    if (!head.valid || head.status != 200 || head.content_length != options_.body_bytes || body > head.content_length) return false;
    connection.remaining = head.content_length - body;
    connection.in_body = true;
    connection.head.clear();
    return true;
  }

  bool give_up(Connection& connection) {
    ++errors_;
    reopen(connection);
    return true;
  }

  Options options_;
  std::string request_;
  SSL_CTX* tls_ = nullptr;
  int epoll_ = -1;
  std::vector<char> scratch_;
  std::vector<Connection> connections_;
  Histogram latencies_;
  uint64_t errors_ = 0;
};

}  // namespace
}  // namespace bench

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  bench::raise_descriptor_limit();
  return bench::Load(bench::parse_options(argc, argv, bench::kUsage)).run();
}
