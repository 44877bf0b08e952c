// sockets.h
//
// The few socket calls that the forwarder, the origin and the load generator share: parse "address:port", listen, open a
// non-blocking TCP socket, raise the descriptor limit. Failures at start end the program with one line; a benchmark tool has
// nobody to report to but the terminal.

#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

namespace bench {

// Prints "what: errno text" and ends the program.
[[noreturn]] inline void fail(const char* what) {
  std::perror(what);
  std::exit(1);
}

// Prints a usage problem and ends the program with status 2.
[[noreturn]] inline void usage(const std::string& text) {
  std::fprintf(stderr, "%s\n", text.c_str());
  std::exit(2);
}

// A whole decimal number, or a usage error.
inline uint64_t parse_number(std::string_view text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) usage("not a number: " + std::string(text));
  return value;
}

// "127.0.0.1:8080". IPv4 only: the rig measures on the loopback.
inline sockaddr_in parse_address(std::string_view text) {
  const size_t colon = text.rfind(':');
  sockaddr_in address{};
  address.sin_family = AF_INET;
  if (colon == std::string_view::npos || inet_pton(AF_INET, std::string(text.substr(0, colon)).c_str(), &address.sin_addr) != 1)
    usage("not an ADDRESS:PORT: " + std::string(text));
  address.sin_port = htons(static_cast<uint16_t>(parse_number(text.substr(colon + 1))));
  return address;
}

inline void set_no_delay(int fd) {
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

// A non-blocking TCP socket with Nagle's algorithm off.
inline int open_socket() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) fail("socket");
  set_no_delay(fd);
  return fd;
}

// A non-blocking listening socket; accepted sockets inherit TCP_NODELAY from it.
inline int open_listener(const sockaddr_in& address) {
  const int fd = open_socket();
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) < 0) fail("bind");
  if (listen(fd, 4096) < 0) fail("listen");
  return fd;
}

// Takes as many descriptors as the hard limit allows.
inline void raise_descriptor_limit() {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace bench
