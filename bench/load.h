// load.h
//
// What the load generators share: options, clocks, the marks at which the rig reads the proxy's CPU, the result's line, and
// Wire, a client's connection that speaks TLS or not. Both generators are single-threaded and closed-loop.

#pragma once

#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/resource.h>

#include <cerrno>
#include <cstdio>
#include <ctime>
#include <string>
#include <string_view>
#include <utility>

#include "histogram.h"
#include "sockets.h"

namespace bench {

struct Options {
  sockaddr_in to{};
  std::string path = "/1k";
  std::string fields;  // more header lines, each with its CRLF; HTTP/1.1 only
  uint64_t connections = 1;
  uint64_t streams = 1;   // at a time on each connection (HTTP/2)
  uint64_t requests = 0;  // 0: until the duration has passed
  uint64_t warmup = 0;
  uint64_t duration = 0;  // seconds; 0: until the requests are done
  uint64_t rps = 0;       // 0: as fast as answers come
  uint64_t body_bytes = 1'024;
  uint64_t idle = 0;
  uint64_t together = 1;  // requests that are made at once, each on a connection of its own, and count as one; HTTP/1.1 only
  bool gate = false;
  bool tls = false;
  bool grpc = false;
  std::string handshake;  // "full", "resumed": each request on a new connection; else connections are kept
};

inline Options parse_options(int argc, char** argv, const std::string& text) {
  Options options;
  const std::pair<std::string_view, uint64_t*> numbers[] = {
      {"--body-bytes", &options.body_bytes},
      {"--connections", &options.connections},
      {"--streams", &options.streams},
      {"--requests", &options.requests},
      {"--duration", &options.duration},
      {"--warmup", &options.warmup},
      {"--rps", &options.rps},
      {"--idle", &options.idle},
      {"--together", &options.together},
  };
  const std::pair<std::string_view, bool*> switches[] = {{"--gate", &options.gate}, {"--tls", &options.tls}, {"--grpc", &options.grpc}};
  bool has_target = false;
  for (int i = 1; i < argc; i += 2) {
    if (i + 1 == argc) usage(text);
    const std::string_view name = argv[i];
    const std::string_view value = argv[i + 1];
    bool known = true;
    if (name == "--to")
      options.to = parse_address(value), has_target = true;
    else if (name == "--path")
      options.path = value;
    else if (name == "--field")
      options.fields = std::string(value) + "\r\n";
    else if (name == "--handshake" && (value == "full" || value == "resumed"))
      options.handshake = value;
    else
      known = false;
    for (const auto& [option, number] : numbers)
      if (name == option) *number = parse_number(value), known = true;
    for (const auto& [option, flag] : switches)
      if (name == option) *flag = parse_number(value) != 0, known = true;
    if (!known) usage(text);
  }
  if (options.together == 0 || !has_target || (options.idle == 0 && options.requests == 0 && options.duration == 0)) usage(text);
  return options;
}

inline uint64_t now_ns() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<uint64_t>(time.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(time.tv_nsec);
}

inline double own_cpu_us() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto microseconds = [](const timeval& time) { return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_usec); };
  return microseconds(usage.ru_utime) + microseconds(usage.ru_stime);
}

// Waits for a line on standard input; false at its end.
inline bool wait_for_line() {
  char byte = 0;
  ssize_t got = 0;
  while ((got = read(STDIN_FILENO, &byte, 1)) == 1 && byte != '\n') {
  }
  return got == 1;
}

// The first mark: everything is warm, the proxy's accounting can be read.
inline void announce_ready() {
  std::puts("ready");
  std::fflush(stdout);
  wait_for_line();
}

struct Result {
  uint64_t requests = 0;
  uint64_t errors = 0;
  double seconds = 0;
  double load_cpu_us = 0;
};

inline void print_result(const Result& result, const Histogram& latencies) {
  std::printf(
      "{\"requests\": %lu, \"errors\": %lu, \"seconds\": %.6f, \"requests_per_second\": %.1f, \"p50_us\": %.1f, \"p99_us\": %.1f, "
      "\"max_us\": %.1f, \"load_cpu_us\": %.0f}\n",
      result.requests, result.errors, result.seconds, static_cast<double>(result.requests) / result.seconds,
      latencies.percentile(0.5) / 1e3, latencies.percentile(0.99) / 1e3, static_cast<double>(latencies.max()) / 1e3, result.load_cpu_us);
  std::fflush(stdout);
}

// The last mark: connections stay open until standard input ends. The exit status.
inline int finish(const Options& options, uint64_t errors) {
  std::fflush(stdout);
  if (options.gate) {
    while (wait_for_line()) {
    }
  }
  return errors == 0 ? 0 : 3;
}

// The TLS that every generator offers, so that all subjects do the same work: TLS 1.3, X25519, AES-128-GCM. Certificates are
// not checked (they are the rig's own); their signature over the handshake is.
inline SSL_CTX* client_tls(bool h2) {
  SSL_CTX* context = SSL_CTX_new(TLS_client_method());
  if (context == nullptr) fail("SSL_CTX_new");
  SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
  SSL_CTX_set_ciphersuites(context, "TLS_AES_128_GCM_SHA256");
  SSL_CTX_set1_groups_list(context, "X25519");
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_read_ahead(context, 1);  // an answer's records with one recv
  const std::string_view protocols = h2 ? std::string_view("\x02h2") : std::string_view("\x08http/1.1");
  SSL_CTX_set_alpn_protos(context, reinterpret_cast<const unsigned char*>(protocols.data()), static_cast<unsigned>(protocols.size()));
  return context;
}

// A client's connection. Reads and writes never block once it is open; requests are small, so a write that is cut short is
// an error and not waited for.
class Wire {
 public:
  enum class Step { done, again, failed };

  Wire() = default;
  Wire(const Wire&) = delete;
  Wire& operator=(const Wire&) = delete;
  ~Wire() { drop(); }

  int fd() const { return fd_; }
  SSL* tls() const { return ssl_; }

  // Connects; blocking, because on the loopback a connection exists at once, or the listener's queue is full and we wait.
  // With `context` the handshake is still to be done: step().
  void open(const sockaddr_in& to, SSL_CTX* context, SSL_SESSION* session = nullptr) {
    fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd_ < 0) fail("socket");
    set_no_delay(fd_);
    if (connect(fd_, reinterpret_cast<const sockaddr*>(&to), sizeof to) < 0) fail("connect");
    fcntl(fd_, F_SETFL, O_NONBLOCK);
    if (context == nullptr) return;
    ssl_ = SSL_new(context);
    SSL_set_fd(ssl_, fd_);
    SSL_set_tlsext_host_name(ssl_, "bench.example");
    if (session != nullptr) SSL_set_session(ssl_, session);
    SSL_set_connect_state(ssl_);
  }

  // Goes on with the handshake as far as it can.
  Step step() {
    ERR_clear_error();
    const int outcome = SSL_do_handshake(ssl_);
    if (outcome == 1) return Step::done;
    return SSL_get_error(ssl_, outcome) == SSL_ERROR_WANT_READ ? Step::again : Step::failed;
  }

  bool write(std::string_view bytes) {
    ERR_clear_error();
    const ssize_t put = ssl_ != nullptr ? SSL_write(ssl_, bytes.data(), static_cast<int>(bytes.size()))
                                        : send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    return put == static_cast<ssize_t>(bytes.size());
  }

  // As recv: 0 at the end of the stream, -1 with errno EAGAIN when nothing is there.
  ssize_t read(char* to, size_t size) {
    if (ssl_ == nullptr) return recv(fd_, to, size, 0);
    ERR_clear_error();
    const int got = SSL_read(ssl_, to, static_cast<int>(size));
    if (got > 0) return got;
    const int error = SSL_get_error(ssl_, got);
    errno = error == SSL_ERROR_WANT_READ ? EAGAIN : EIO;
    return error == SSL_ERROR_ZERO_RETURN ? 0 : -1;
  }

  // As a client that is done: close_notify, then the end of the stream.
  void close_politely() {
    if (ssl_ != nullptr) SSL_shutdown(ssl_);
    drop();
  }

  void drop() {
    if (ssl_ != nullptr) SSL_free(std::exchange(ssl_, nullptr));
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }

 private:
  int fd_ = -1;
  SSL* ssl_ = nullptr;
};

}  // namespace bench
