// forwarder.cpp
//
// Command line of the byte forwarder: `bench_forwarder --io io_uring|epoll --listen 127.0.0.1:P --to 127.0.0.1:Q`.

#include "forwarder.h"

#include <csignal>
#include <string_view>

#include "sockets.h"

int main(int argc, char** argv) {
  constexpr const char* kUsage = "usage: bench_forwarder --io io_uring|epoll --listen ADDRESS:PORT --to ADDRESS:PORT";
  std::string_view io;
  std::string_view listen;
  std::string_view to;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view name = argv[i];
    if (name == "--io")
      io = argv[i + 1];
    else if (name == "--listen")
      listen = argv[i + 1];
    else if (name == "--to")
      to = argv[i + 1];
    else
      bench::usage(kUsage);
  }
  if (argc % 2 == 0 || listen.empty() || to.empty() || (io != "io_uring" && io != "epoll")) bench::usage(kUsage);

  std::signal(SIGPIPE, SIG_IGN);
  bench::raise_descriptor_limit();
  const int listener = bench::open_listener(bench::parse_address(listen));
  const sockaddr_in upstream = bench::parse_address(to);
  if (io == "epoll") bench::forward_with_epoll(listener, upstream);
  bench::forward_with_io_uring(listener, upstream);
}
