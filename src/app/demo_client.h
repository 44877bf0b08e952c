// app/demo_client.h
//
// What the demo's tour asks the gateway with: one connection to one address, on the loop of the thread that it lives on, opened when it
// is needed and kept. Nothing is tried again.
#pragma once

#include <memory>
#include <string>

#include "http/client_connection.h"
#include "io/address.h"

namespace portloom::app {

class DemoClient {
 public:
  static constexpr Duration patience = 10s;  // for a whole answer
  struct Reply {
    uint16_t status = 0;
    http::Headers headers;
    std::string body;
  };

  explicit DemoClient(io::Address address) : address_(std::move(address)) { settings_.body_timeout = patience; }

  // One request at a time. `path` with its query, valid as it stands; a `form` goes along with a POST. An Error: there is no whole answer.
  Task<Result<Reply>> ask(http::Method method, std::string path, std::string form = {});
  // On the loop's thread, before the loop ends.
  void close() { connection_.reset(); }

 private:
  Task<Result<void>> connect(Instant deadline);

  io::Address address_;
  http::ClientSettings settings_;
  std::unique_ptr<http::ClientConnection> connection_;
};

}  // namespace portloom::app
