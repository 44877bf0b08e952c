// io/loop.cpp
//
// The choice of an engine, and the system calls on sockets that both engines make.
#include "io/loop.h"

#include <fcntl.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "io/engines.h"

namespace portloom::io {
namespace {

void set(int descriptor, int level, int option) {
  int on = 1;
  ::setsockopt(descriptor, level, option, &on, sizeof on);
}

std::unexpected<Error> system_failure(int error, std::string_view doing, const Address& address) {
  Code code = error == EMFILE || error == ENFILE || error == ENOMEM ? Code::exhausted : Code::refused;
  return failure(code, Side::gateway, std::string(doing) + " " + address.text() + ": " + std::strerror(error));
}

}  // namespace

void Loop::send_now(Channel& channel, std::string_view bytes) {
  [[maybe_unused]] ssize_t sent = ::send(channel.descriptor, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
}

uint64_t Loop::taken(Channel& channel) {
  struct tcp_info info{};  // the kernel's, which knows more than libc's
  socklen_t size = sizeof info;
  if (::getsockopt(channel.descriptor, IPPROTO_TCP, TCP_INFO, &info, &size) == 0) return info.tcpi_bytes_acked;
  int unsent = 0;  // a Unix socket
  return ::ioctl(channel.descriptor, SIOCOUTQ, &unsent) == 0 ? ~static_cast<uint64_t>(unsent) : 0;
}

void Loop::end_with_reset(Channel& channel) {
  linger hard{.l_onoff = 1, .l_linger = 0};
  ::setsockopt(channel.descriptor, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
}

Port::~Port() {
  if (accepted != nullptr) accepted->loop.release(*accepted);
}

std::optional<Engine> parse_engine(std::string_view text) {
  if (text == "auto") return Engine::automatic;
  if (text == "io_uring") return Engine::io_uring;
  if (text == "epoll") return Engine::epoll;
  return std::nullopt;
}

Result<std::unique_ptr<Loop>> make_loop(Engine engine) {
  if (engine == Engine::automatic) engine = io_uring_works() ? Engine::io_uring : Engine::epoll;
  return engine == Engine::io_uring ? make_uring_loop() : make_epoll_loop();
}

Result<int> open_listening(const Address& address, bool shared, Address& bound) {
  sockaddr_storage storage;
  socklen_t size = address.fill(storage);
  int descriptor = ::socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (descriptor < 0) return system_failure(errno, "cannot listen on", address);
  set(descriptor, SOL_SOCKET, SO_REUSEADDR);
  if (shared && !address.is_unix()) set(descriptor, SOL_SOCKET, SO_REUSEPORT);
  if (!address.is_unix()) set(descriptor, IPPROTO_TCP, TCP_NODELAY);  // accepted sockets inherit it
  if (address.family() == AF_INET6 && address.host() != "::") set(descriptor, IPPROTO_IPV6, IPV6_V6ONLY);
  struct stat about{};
  if (address.is_unix() && ::stat(address.path().c_str(), &about) == 0 && S_ISSOCK(about.st_mode)) {
    // Left behind by a process that has gone, or somebody's who still listens: only a connection tells.
    int probe = ::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    bool alive = ::connect(probe, reinterpret_cast<sockaddr*>(&storage), size) == 0 || errno == EAGAIN;
    ::close(probe);
    if (!alive) ::unlink(address.path().c_str());
  }
  if (::bind(descriptor, reinterpret_cast<sockaddr*>(&storage), size) != 0 || ::listen(descriptor, 4096) != 0) {
    int error = errno;
    ::close(descriptor);
    return system_failure(error, "cannot listen on", address);
  }
  bound = address;
  if (!address.is_unix()) {
    size = sizeof storage;
    ::getsockname(descriptor, reinterpret_cast<sockaddr*>(&storage), &size);
    bound = Address::from(reinterpret_cast<sockaddr*>(&storage), size);
  }
  return descriptor;
}

Result<int> open_connecting(const Address& address) {
  int descriptor = ::socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (descriptor < 0) return system_failure(errno, "cannot connect to", address);
  if (!address.is_unix()) set(descriptor, IPPROTO_TCP, TCP_NODELAY);
  return descriptor;
}

}  // namespace portloom::io
