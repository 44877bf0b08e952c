// http/fetch.h
//
// Fetcher: a bounded client for control traffic, not for requests of clients: one origin, one request at a time, one kept-alive
// HTTP/1.1 connection, answers whole in memory, or piece by piece where one does not end. Names: who knows the addresses of a host.
// Used on one loop.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "async/task.h"
#include "http/client_connection.h"
#include "io/tls.h"

namespace portloom::http {

// Where a control service is: "https://control.internal:9910".
struct Origin {
  bool secure = false;
  std::string host;  // a name, or an address without brackets
  uint16_t port = 80;
  std::string authority() const;  // as Host has it
  // Empty when `text` is not http(s)://host[:port] with nothing, or "/", behind it.
  static std::optional<Origin> parse(std::string_view text);
};

class Names {
 public:
  virtual ~Names() = default;
  // Addresses with port 0; an address as `host` is not asked for.
  virtual Task<Result<std::vector<io::Address>>> addresses(std::string host) = 0;
};

class Fetcher {
 public:
  struct Settings {
    Duration connect_timeout = 2s;
    size_t answer_max = 64 * 1024 * 1024;  // bytes of an answer's body
    Duration silence_max = 60s;            // of an answer that has begun
  };
  struct Answer {
    uint16_t status = 0;
    std::string body;
  };
  struct Question {
    std::string method = "GET";
    std::string target = "/";
    std::vector<std::pair<std::string, std::string>> fields;  // valid names and values
    std::string body;                                         // JSON; empty: none
  };
  // `names` outlives it; `tls` is there where the origin is secure.
  Fetcher(Origin origin, Names& names, std::shared_ptr<io::TlsClientContext> tls, Settings settings);
  Fetcher(Origin origin, Names& names, std::shared_ptr<io::TlsClientContext> tls = nullptr)
      : Fetcher(std::move(origin), names, std::move(tls), Settings{}) {}
  Fetcher(const Fetcher&) = delete;
  // The pieces of an answer's body as they come; false: no more of them.
  using Hear = std::function<bool(uint16_t status, std::string_view piece)>;

  // The whole answer, by `deadline`: else Code::upstream_timeout. An idle connection that turns out to be dead is replaced once.
  // One at a time. Dropping the task closes the connection.
  Task<Result<Answer>> ask(Question question, Instant deadline);
  // The same piece by piece, over a connection of its own that ends with it; the head comes by `deadline`. Returns when the answer is
  // over, or `hear` has had enough.
  Task<Result<void>> listen(Question question, Instant deadline, Hear hear);
  const Origin& origin() const { return origin_; }
  // Our own end of the connection, while there is one; else empty.
  std::string local_host() const;
  void close() { connection_.reset(); }

 private:
  Task<Result<Answer>> try_once(const Question& question, Instant deadline, bool& stale);
  // False: `question` is no request.
  bool compose(const Question& question, Request& request) const;
  Task<Result<std::unique_ptr<ClientConnection>>> connect(Instant deadline);
  Task<Result<std::vector<io::Address>>> resolve();

  Origin origin_;
  Names& names_;
  std::shared_ptr<io::TlsClientContext::Peer> peer_;  // null: it is spoken to in plain text
  Settings settings_;
  ClientSettings client_;
  std::unique_ptr<ClientConnection> connection_;  // idle, or null
};

}  // namespace portloom::http
