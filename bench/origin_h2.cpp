// origin_h2.cpp
//
// The origin behind the gRPC scenarios: HTTP/2 by prior knowledge over nghttp2, one thread on epoll. Every request is answered,
// when it has ended, as a unary call that went well: one message of 1,024 bytes and `grpc-status: 0` in the trailers.
// `bench_origin_h2 --listen 127.0.0.1:P`

#include <nghttp2/nghttp2.h>
#include <sys/epoll.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <string>
#include <string_view>
#include <vector>

#include "sockets.h"

namespace bench {
namespace {

constexpr size_t kMessage = 1'024;
constexpr uint32_t kStreams = 1'000;
constexpr int32_t kWindow = (1 << 30) - 1;

nghttp2_nv field(std::string_view name, std::string_view value) {
  const auto bytes = [](std::string_view text) { return reinterpret_cast<uint8_t*>(const_cast<char*>(text.data())); };
  return {bytes(name), bytes(value), name.size(), value.size(), NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE};
}

const std::string& answer() {
  static const std::string message = std::string("\0\0\0\4\0", 5) + std::string(kMessage, 'x');
  return message;
}

struct Connection {
  int fd = -1;
  nghttp2_session* session = nullptr;
  std::string unsent;
  size_t offset = 0;
};

ssize_t read_answer(nghttp2_session* session, int32_t stream, uint8_t* to, size_t size, uint32_t* flags, nghttp2_data_source*, void*) {
  // How far a stream's answer went: kept where nghttp2 keeps what belongs to the stream.
  auto sent = reinterpret_cast<uintptr_t>(nghttp2_session_get_stream_user_data(session, stream));
  const size_t count = std::min(size, answer().size() - sent);
  std::memcpy(to, answer().data() + sent, count);
  sent += count;
  nghttp2_session_set_stream_user_data(session, stream, reinterpret_cast<void*>(sent));
  if (sent == answer().size()) {
    *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
    const nghttp2_nv trailer = field("grpc-status", "0");
    nghttp2_submit_trailer(session, stream, &trailer, 1);
  }
  return static_cast<ssize_t>(count);
}

int on_frame(nghttp2_session* session, const nghttp2_frame* frame, void*) {
  if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0) return 0;
  if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) return 0;
  const std::array fields = {field(":status", "200"), field("content-type", "application/grpc")};
  nghttp2_data_provider body{};
  body.read_callback = read_answer;
  return nghttp2_submit_response(session, frame->hd.stream_id, fields.data(), fields.size(), &body);
}

class Origin {
 public:
  explicit Origin(int listener) : listener_(listener), scratch_(65'536) {
    nghttp2_session_callbacks_new(&callbacks_);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks_, on_frame);
    epoll_ = epoll_create1(EPOLL_CLOEXEC);
    epoll_event event{};
    event.events = EPOLLIN;
    if (epoll_ < 0 || epoll_ctl(epoll_, EPOLL_CTL_ADD, listener_, &event) < 0) fail("epoll");
  }

  [[noreturn]] void run() {
    std::array<epoll_event, 512> events;
    while (true) {
      const int count = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), -1);
      for (int i = 0; i < count; ++i) {
        auto* connection = static_cast<Connection*>(events[static_cast<size_t>(i)].data.ptr);
        if (connection == nullptr) {
          accept_all();
        } else if (!serve(*connection)) {
          close(connection->fd);
          nghttp2_session_del(connection->session);
          delete connection;
        }
      }
    }
  }

 private:
  void accept_all() {
    while (true) {
      const int fd = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd < 0) return;
      auto* connection = new Connection;  // owned by epoll's user data; run() deletes it when serve() says so
      connection->fd = fd;
      if (nghttp2_session_server_new(&connection->session, callbacks_, connection) != 0) fail("nghttp2_session_server_new");
      const nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, kStreams},
                                                 {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, kWindow}};
      nghttp2_submit_settings(connection->session, NGHTTP2_FLAG_NONE, settings, 2);
      nghttp2_session_set_local_window_size(connection->session, NGHTTP2_FLAG_NONE, 0, kWindow);
      epoll_event event{};
      event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
      event.data.ptr = connection;
      if (epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) < 0) fail("epoll_ctl");
    }
  }

  // False when the connection has ended.
  bool serve(Connection& connection) {
    while (true) {
      const ssize_t got = recv(connection.fd, scratch_.data(), scratch_.size(), 0);
      if (got == 0) return false;
      if (got < 0 && errno != EAGAIN) return false;
      if (got < 0) break;
      const auto* bytes = reinterpret_cast<const uint8_t*>(scratch_.data());
      if (nghttp2_session_mem_recv(connection.session, bytes, static_cast<size_t>(got)) < 0) return false;
      if (static_cast<size_t>(got) < scratch_.size()) break;  // drained; the next bytes raise a new edge
    }
    return send_all(connection);
  }

  static bool send_all(Connection& connection) {
    while (true) {
      if (connection.offset == connection.unsent.size()) {
        connection.unsent.clear();
        connection.offset = 0;
        const uint8_t* bytes = nullptr;
        ssize_t size = 0;
        while (connection.unsent.size() < 65'536 && (size = nghttp2_session_mem_send(connection.session, &bytes)) > 0)
          connection.unsent.append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(size));
        if (connection.unsent.empty()) return nghttp2_session_want_read(connection.session) != 0;
      }
      const ssize_t put =
          send(connection.fd, connection.unsent.data() + connection.offset, connection.unsent.size() - connection.offset, MSG_NOSIGNAL);
      if (put < 0) return errno == EAGAIN;  // EPOLLOUT continues
      connection.offset += static_cast<size_t>(put);
    }
  }

  int epoll_ = -1;
  int listener_;
  std::vector<char> scratch_;
  nghttp2_session_callbacks* callbacks_ = nullptr;
};

}  // namespace
}  // namespace bench

int main(int argc, char** argv) {
  if (argc != 3 || std::string_view(argv[1]) != "--listen") bench::usage("usage: bench_origin_h2 --listen ADDRESS:PORT");
  std::signal(SIGPIPE, SIG_IGN);
  bench::raise_descriptor_limit();
  bench::Origin(bench::open_listener(bench::parse_address(argv[2]))).run();
}
