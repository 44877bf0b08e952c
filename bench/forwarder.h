// forwarder.h
//
// The byte forwarder: a user-space TCP proxy without HTTP, one upstream connection per client connection, one thread. It does
// the least work a proxy in user space can do (receive, send, both ways), so its CPU per request is the floor that Portloom is
// compared with on the same engine.

#pragma once

#include <netinet/in.h>

namespace bench {

// Both serve until the process is killed.
[[noreturn]] void forward_with_epoll(int listener, const sockaddr_in& upstream);
[[noreturn]] void forward_with_io_uring(int listener, const sockaddr_in& upstream);

}  // namespace bench
