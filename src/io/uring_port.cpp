// io/uring_port.cpp
//
// Listening: one multishot accept per port, known by a number, for memory is reused while completions are on their way.
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "io/last_call.h"
#include "io/uring_loop.h"

namespace portloom::io {
namespace {

void* number_as_object(uint64_t number) { return reinterpret_cast<void*>(number * (operation_mask + 1)); }

}  // namespace

UringPort::~UringPort() {
  for (int waiting : queue) ::close(waiting);
  loop.forget(*this);
  ::close(descriptor);
}

bool UringPort::poll() {
  while (!queue.empty()) {
    int connected = queue.front();
    queue.pop_front();
    sockaddr_storage storage;
    socklen_t size = sizeof storage;
    if (::getpeername(connected, reinterpret_cast<sockaddr*>(&storage), &size) != 0) {
      ::close(connected);  // reset already; nobody may be served whose address is not known
      continue;
    }
    peer = Address::from(reinterpret_cast<sockaddr*>(&storage), size);
    accepted = loop.adopt(connected);
    return true;
  }
  if (error != 0) return true;
  if (!armed) loop.accept(*this);
  return false;
}

bool UringPort::poll_last() {
  begin_no_handshake(descriptor);
  if (queue.empty()) loop.collect_accepted(*this);
  if (queue.empty()) {
    int connected = ::accept4(descriptor, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (connected < 0) return false;
    queue.push_back(connected);
  }
  armed = true;  // poll() must not ask for more
  return poll();
}

void UringLoop::accept(UringPort& port) {
  port.armed = true;
  port.number = ++next_port_;
  ports_.emplace(port.number, &port);
  prepared(entry(number_as_object(port.number), Operation::accept), [&](io_uring_sqe* sqe) {
    io_uring_prep_multishot_accept(sqe, port.descriptor, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
  });
}

void UringLoop::collect_accepted(UringPort& port) {
  uint64_t sought = reinterpret_cast<uint64_t>(number_as_object(port.number)) | static_cast<uint64_t>(Operation::accept);
  unsigned head = 0;
  io_uring_cqe* completion = nullptr;
  io_uring_for_each_cqe(&ring_, head, completion) {
    if (completion->user_data != sought || completion->res < 0) continue;
    port.queue.push_back(completion->res);
    completion->user_data = 0;
  }
}

void UringLoop::forget(UringPort& port) {
  if (ports_.erase(port.number) == 0 || !port.armed) return;
  uint64_t target = reinterpret_cast<uint64_t>(number_as_object(port.number)) | static_cast<uint64_t>(Operation::accept);
  prepared(entry(nullptr, Operation::none), [&](io_uring_sqe* sqe) { io_uring_prep_cancel64(sqe, target, 0); });
  io_uring_submit(&ring_);  // before the descriptor is closed
}

void UringLoop::accepted(const io_uring_cqe& completion) {
  auto found = ports_.find(completion.user_data / (operation_mask + 1));
  if (found == ports_.end()) {  // the port was closed meanwhile
    if (completion.res >= 0) ::close(completion.res);
    return;
  }
  UringPort& port = *found->second;
  if ((completion.flags & IORING_CQE_F_MORE) == 0) {
    port.armed = false;
    ports_.erase(found);
  }
  if (completion.res >= 0)
    port.queue.push_back(completion.res);
  else if (completion.res != -ECANCELED && completion.res != -ECONNABORTED)
    port.error = -completion.res;
  if (port.waiter != nullptr && !port.waiter->linked() && port.poll()) wake(port.waiter);
  run_ready();
}

Result<std::unique_ptr<Port>> UringLoop::open_port(const Address& address, bool shared) {
  Address bound;
  Result<int> descriptor = open_listening(address, shared, bound);
  if (!descriptor) return std::unexpected(std::move(descriptor.error()));
  auto port = std::make_unique<UringPort>(*this, *descriptor);
  port->address = bound;
  return port;
}

}  // namespace portloom::io
