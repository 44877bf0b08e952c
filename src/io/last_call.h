// io/last_call.h
//
// What a port is told before it closes. Between the last look into its queue and close() another handshake may end: that client is
// connected, and the close would reset it.
#pragma once

#include <linux/filter.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cstdint>
#include <iterator>

namespace portloom::io {

// From now on no handshake begins at this port: the kernel drops each SYN. Those under way end, and go into the queue. A client that
// comes now tries again after a second and finds the port closed, or whoever has it then. Nothing happens to a Unix socket.
inline void begin_no_handshake(int descriptor) {
  constexpr uint32_t flags_at = 13;  // in the TCP header (RFC 9293 §3.1)
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_B | BPF_ABS, flags_at),
      BPF_STMT(BPF_ALU | BPF_AND | BPF_K, TH_SYN | TH_ACK),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, TH_SYN, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, 0),
      BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
  };
  sock_fprog filter{static_cast<unsigned short>(std::size(program)), program};
  ::setsockopt(descriptor, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter);
}

}  // namespace portloom::io
