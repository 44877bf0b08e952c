// origin.cpp
//
// The origin behind every subject: HTTP/1.1, keep-alive, pipelining, one thread on epoll. `bench_origin --listen 127.0.0.1:P`
// answers by the path's last segment: /0, /1k (1,024 bytes), /100k, /10m, /j1k (1,024 bytes of JSON); anything else is 404. Answers
// are built once, at start; a request costs one recv and one send. Requests carry no body: it only knows GET.

#include <sys/epoll.h>
#include <sys/uio.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "sockets.h"

namespace bench {
namespace {

std::string make_answer(std::string_view status, std::string_view type, std::string_view body) {
  std::string answer = "HTTP/1.1 ";
  answer += status;
  answer += "\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\nContent-Type: ";
  answer += type;
  answer += "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n";
  answer += body;
  return answer;
}

std::string make_answer(std::string_view status, size_t body_bytes) {
  return make_answer(status, "application/octet-stream", std::string(body_bytes, 'x'));
}

// A JSON object of so many bytes, as JSON.stringify would write it again: whoever parses and writes it ends with the same length.
std::string make_document(size_t bytes) {
  std::string text = R"({"id":7,"name":"Ada Brandt","active":true,"items":[)";
  for (int i = 1; text.size() + 80 < bytes; ++i) {
    if (i > 1) text += ',';
    text += R"({"sku":"item-)" + std::to_string(i) + R"(","quantity":)" + std::to_string(i) + R"(,"price":12.5})";
  }
  text += R"(],"note":")";
  text.append(bytes - text.size() - 2, 'x');
  return text + R"("})";
}

struct Connection {
  int fd = -1;
  std::string partial;                     // the beginning of a request whose rest has not arrived
  std::vector<const std::string*> unsent;  // answers in order
  size_t offset = 0;                       // bytes of the first one that were sent
};

class Origin {
 public:
  explicit Origin(int listener) : listener_(listener), scratch_(65'536) {
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
        const epoll_event& event = events[static_cast<size_t>(i)];
        auto* connection = static_cast<Connection*>(event.data.ptr);
        if (connection == nullptr)
          accept_all();
        else if (!serve(*connection, event.events)) {
          close(connection->fd);
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
      epoll_event event{};
      event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
      event.data.ptr = connection;
      if (epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) < 0) fail("epoll_ctl");
    }
  }

  // False when the connection has ended.
  bool serve(Connection& connection, uint32_t events) {
    constexpr uint32_t kEnd = EPOLLRDHUP | EPOLLHUP | EPOLLERR;
    if (!connection.unsent.empty() && !send_answers(connection)) return false;
    if ((events & (EPOLLIN | kEnd)) == 0) return true;
    while (true) {
      const ssize_t got = recv(connection.fd, scratch_.data(), scratch_.size(), 0);
      if (got == 0) return false;
      if (got < 0) return errno == EAGAIN;
      take(connection, {scratch_.data(), static_cast<size_t>(got)});
      if (!send_answers(connection)) return false;
      // A short read drained the socket, and the next bytes raise a new edge.
      if (static_cast<size_t>(got) < scratch_.size() && (events & kEnd) == 0) return true;
    }
  }

  // Queues an answer for every whole request in the bytes.
  void take(Connection& connection, std::string_view bytes) {
    if (!connection.partial.empty()) {
      connection.partial += bytes;
      bytes = connection.partial;
    }
    size_t begin = 0;
    for (size_t end = bytes.find("\r\n\r\n"); end != std::string_view::npos; end = bytes.find("\r\n\r\n", begin)) {
      connection.unsent.push_back(&answer_to(bytes.substr(begin, end - begin)));
      begin = end + 4;
    }
    std::string rest(bytes.substr(begin));
    connection.partial.swap(rest);
  }

  const std::string& answer_to(std::string_view request) const {
    const size_t path_begin = request.find(' ') + 1;
    const std::string_view path = request.substr(path_begin, request.find_first_of(" ?", path_begin) - path_begin);
    const std::string_view name = path.substr(path.rfind('/') + 1);
    if (name == "1k") return answer_1k_;
    if (name == "100k") return answer_100k_;
    if (name == "10m") return answer_10m_;
    if (name == "j1k") return answer_j1k_;
    if (name == "0") return answer_0_;
    return not_found_;
  }

  bool send_answers(Connection& connection) {
    while (!connection.unsent.empty()) {
      std::array<iovec, 64> parts;
      size_t count = 0;
      size_t skip = connection.offset;
      for (const std::string* answer : connection.unsent) {
        if (count == parts.size()) break;
        parts[count++] = {const_cast<char*>(answer->data()) + skip, answer->size() - skip};
        skip = 0;
      }
      const ssize_t put = count == 1 ? send(connection.fd, parts[0].iov_base, parts[0].iov_len, MSG_NOSIGNAL)
                                     : writev(connection.fd, parts.data(), static_cast<int>(count));
      if (put < 0) return errno == EAGAIN;  // EPOLLOUT continues
      size_t sent = connection.offset + static_cast<size_t>(put);
      size_t whole = 0;
      while (whole < connection.unsent.size() && sent >= connection.unsent[whole]->size()) sent -= connection.unsent[whole++]->size();
      connection.unsent.erase(connection.unsent.begin(), connection.unsent.begin() + static_cast<std::ptrdiff_t>(whole));
      connection.offset = sent;
    }
    return true;
  }

  int epoll_ = -1;
  int listener_;
  std::vector<char> scratch_;
  const std::string answer_0_ = make_answer("200 OK", 0);
  const std::string answer_1k_ = make_answer("200 OK", 1'024);
  const std::string answer_100k_ = make_answer("200 OK", 102'400);
  const std::string answer_10m_ = make_answer("200 OK", 10'485'760);
  const std::string answer_j1k_ = make_answer("200 OK", "application/json", make_document(1'024));
  const std::string not_found_ = make_answer("404 Not Found", 0);
};

}  // namespace
}  // namespace bench

int main(int argc, char** argv) {
  if (argc != 3 || std::string_view(argv[1]) != "--listen") bench::usage("usage: bench_origin --listen ADDRESS:PORT");
  std::signal(SIGPIPE, SIG_IGN);
  bench::raise_descriptor_limit();
  bench::Origin(bench::open_listener(bench::parse_address(argv[2]))).run();
}
