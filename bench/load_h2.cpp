// load_h2.cpp
//
// Closed-loop load generator for HTTP/2 over nghttp2: N connections with M streams each, a new stream for each that ends.
// Prior knowledge, or ALPN with --tls. The same marks as bench_load, so that the rig reads the proxy's CPU around a known number
// of requests (h2load has none: its figures hold the opening of connections). Checks status 200 and the body's length; with --grpc
// makes a unary call with a message of 64 bytes and checks the trailers' grpc-status too.

#include <nghttp2/nghttp2.h>
#include <poll.h>
#include <sys/epoll.h>

#include <array>
#include <csignal>
#include <memory>
#include <vector>

#include "load.h"

namespace bench {
namespace {

constexpr const char* kUsage =
    "usage: bench_load_h2 --to ADDRESS:PORT [--path P] [--body-bytes N] [--connections N] [--streams N]\n"
    "                     [--requests N | --duration SECONDS] [--warmup N] [--gate 1] [--tls 1] [--grpc 1]";
constexpr int32_t kWindow = (1 << 30) - 1;  // as h2load: the load side never holds an answer up
constexpr size_t kMessage = 64;             // bytes of a gRPC request's message

struct Stream {
  uint64_t begun = 0;
  uint64_t bytes = 0;
  size_t sent = 0;
  bool status_ok = false;
  bool grpc_ok = false;
};

class Load;

struct Connection {
  Load* load = nullptr;
  Wire wire;
  nghttp2_session* session = nullptr;
  std::vector<std::unique_ptr<Stream>> free;
  std::string output;
};

nghttp2_nv field(std::string_view name, std::string_view value) {
  const auto bytes = [](std::string_view text) { return reinterpret_cast<uint8_t*>(const_cast<char*>(text.data())); };
  return {bytes(name), bytes(value), name.size(), value.size(), NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE};
}

class Load {
 public:
  explicit Load(const Options& options) : options_(options), scratch_(65'536), connections_(options.connections) {
    if (options_.tls) tls_ = client_tls(true);
    epoll_ = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_ < 0) fail("epoll_create1");
    message_.assign("\0\0\0\0", 4);
    message_ += static_cast<char>(kMessage);
    message_.append(kMessage, 'x');
    make_fields();
  }

  int run() {
    nghttp2_session_callbacks_new(&callbacks_);
    nghttp2_session_callbacks_set_on_header_callback(callbacks_, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks_, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks_, on_close);
    for (Connection& connection : connections_) open(connection);
    drive(std::max(options_.warmup, options_.connections * options_.streams), 0);
    if (options_.gate) announce_ready();
    latencies_ = {};
    errors_ = 0;
    const double cpu_begin = own_cpu_us();
    const uint64_t begin = now_ns();
    const uint64_t done = drive(options_.requests, options_.duration * 1'000'000'000);
    print_result({done, errors_, static_cast<double>(now_ns() - begin) / 1e9, own_cpu_us() - cpu_begin}, latencies_);
    return finish(options_, errors_);
  }

 private:
  void make_fields() {
    fields_ = {field(":method", options_.grpc ? "POST" : "GET"), field(":scheme", options_.tls ? "https" : "http"),
               field(":authority", "bench.example"), field(":path", options_.path), field("user-agent", "bench_load")};
    if (options_.grpc) {
      fields_.push_back(field("content-type", "application/grpc"));
      fields_.push_back(field("te", "trailers"));
    } else {
      fields_.push_back(field("accept", "*/*"));
    }
  }

  void open(Connection& connection) {
    connection.load = this;
    connection.wire.open(options_.to, tls_);
    if (tls_ != nullptr) shake(connection.wire);
    if (nghttp2_session_client_new(&connection.session, callbacks_, &connection) != 0) fail("nghttp2_session_client_new");
    const nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_ENABLE_PUSH, 0}, {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, kWindow}};
    nghttp2_submit_settings(connection.session, NGHTTP2_FLAG_NONE, settings, 2);
    nghttp2_session_set_local_window_size(connection.session, NGHTTP2_FLAG_NONE, 0, kWindow);
    for (uint64_t i = 0; i < options_.streams; ++i) connection.free.push_back(std::make_unique<Stream>());
    epoll_event event{};
    event.events = EPOLLIN | EPOLLRDHUP | EPOLLET;
    event.data.ptr = &connection;
    if (epoll_ctl(epoll_, EPOLL_CTL_ADD, connection.wire.fd(), &event) < 0) fail("epoll_ctl");
  }

  static void shake(Wire& wire) {
    Wire::Step step = wire.step();
    for (; step == Wire::Step::again; step = wire.step()) {
      pollfd waited{wire.fd(), POLLIN, 0};
      poll(&waited, 1, 10'000);
    }
    const unsigned char* protocol = nullptr;
    unsigned size = 0;
    if (step == Wire::Step::done) SSL_get0_alpn_selected(wire.tls(), &protocol, &size);
    if (size != 2) usage("no HTTP/2 was agreed on by ALPN");
  }

  // Makes requests until `count` have ended (if not 0) or `duration` has passed (if not 0). Returns how many ended.
  uint64_t drive(uint64_t count, uint64_t duration) {
    count_ = count;
    end_ = duration > 0 ? now_ns() + duration : 0;
    started_ = ended_ = 0;
    for (Connection& connection : connections_) {
      submit(connection);
      send(connection);
    }
    std::array<epoll_event, 64> events;
    while (ended_ < started_) {
      const int ready = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), 10'000);
      if (ready == 0) usage("no answer for ten seconds");
      for (int i = 0; i < ready; ++i) serve(*static_cast<Connection*>(events[static_cast<size_t>(i)].data.ptr));
    }
    return ended_;
  }

  bool closing() const { return (count_ > 0 && started_ == count_) || (end_ > 0 && now_ns() >= end_); }

  // As many new streams as the connection may have.
  void submit(Connection& connection) {
    while (!connection.free.empty() && !closing()) {
      Stream* stream = connection.free.back().release();  // comes back in on_close
      connection.free.pop_back();
      *stream = Stream{.begun = now_ns()};
      nghttp2_data_provider body{};
      body.source.ptr = stream;
      body.read_callback = read_message;
      ++started_;
      const int32_t id =
          nghttp2_submit_request(connection.session, nullptr, fields_.data(), fields_.size(), options_.grpc ? &body : nullptr, stream);
      if (id < 0) usage("the connection takes no more streams");
    }
  }

  void send(Connection& connection) {
    const uint8_t* bytes = nullptr;
    connection.output.clear();
    while (true) {
      const ssize_t size = nghttp2_session_mem_send(connection.session, &bytes);
      if (size < 0) usage("nghttp2_session_mem_send failed");
      if (size == 0) break;
      connection.output.append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(size));
    }
    if (!connection.output.empty() && !connection.wire.write(connection.output)) usage("a request could not be sent");
  }

  void serve(Connection& connection) {
    while (true) {
      const ssize_t got = connection.wire.read(scratch_.data(), scratch_.size());
      if (got < 0 && errno == EAGAIN) break;
      if (got <= 0) usage("the proxy closed a connection");
      const auto* bytes = reinterpret_cast<const uint8_t*>(scratch_.data());
      if (nghttp2_session_mem_recv(connection.session, bytes, static_cast<size_t>(got)) < 0) usage("not HTTP/2");
      // A short read drained the socket, and the next bytes raise a new edge. TLS hands out record by record: ask again.
      if (tls_ == nullptr && static_cast<size_t>(got) < scratch_.size()) break;
    }
    submit(connection);
    send(connection);
  }

  static ssize_t read_message(nghttp2_session*, int32_t, uint8_t* to, size_t size, uint32_t* flags, nghttp2_data_source* source,
                              void* user) {
    const std::string& message = static_cast<Connection*>(user)->load->message_;
    auto* stream = static_cast<Stream*>(source->ptr);
    const size_t count = std::min(size, message.size() - stream->sent);
    std::memcpy(to, message.data() + stream->sent, count);
    stream->sent += count;
    if (stream->sent == message.size()) *flags |= NGHTTP2_DATA_FLAG_EOF;
    return static_cast<ssize_t>(count);
  }

  static int on_header(nghttp2_session* session, const nghttp2_frame* frame, const uint8_t* name, size_t name_size, const uint8_t* value,
                       size_t value_size, uint8_t, void*) {
    auto* stream = static_cast<Stream*>(nghttp2_session_get_stream_user_data(session, frame->hd.stream_id));
    if (stream == nullptr) return 0;
    const std::string_view field_name(reinterpret_cast<const char*>(name), name_size);
    const std::string_view text(reinterpret_cast<const char*>(value), value_size);
    if (field_name == ":status") stream->status_ok = text == "200";
    if (field_name == "grpc-status") stream->grpc_ok = text == "0";
    return 0;
  }

  static int on_data(nghttp2_session* session, uint8_t, int32_t id, const uint8_t*, size_t size, void*) {
    auto* stream = static_cast<Stream*>(nghttp2_session_get_stream_user_data(session, id));
    if (stream != nullptr) stream->bytes += size;
    return 0;
  }

  static int on_close(nghttp2_session* session, int32_t id, uint32_t, void* user) {
    auto* connection = static_cast<Connection*>(user);
    auto* stream = static_cast<Stream*>(nghttp2_session_get_stream_user_data(session, id));
    connection->load->end(*connection, *stream);
    return 0;
  }

  void end(Connection& connection, Stream& stream) {
    ++ended_;
    if (stream.status_ok && stream.bytes == options_.body_bytes && (stream.grpc_ok || !options_.grpc))
      latencies_.add(now_ns() - stream.begun);
    else
      ++errors_;
    connection.free.emplace_back(&stream);
  }

  Options options_;
  std::vector<char> scratch_;
  std::vector<Connection> connections_;
  SSL_CTX* tls_ = nullptr;
  nghttp2_session_callbacks* callbacks_ = nullptr;
  std::vector<nghttp2_nv> fields_;
  std::string message_;  // with its length in front
  int epoll_ = -1;
  uint64_t count_ = 0;
  uint64_t end_ = 0;
  uint64_t started_ = 0;
  uint64_t ended_ = 0;
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
