// fuzz/composed.h
//
// Composed: a composition in front of services that answer at once with given bytes, for fuzz targets. The document is read once; a run
// leaves nothing behind.
#pragma once

#include <array>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "async/scope.h"
#include "compose/composition.h"
#include "config/load.h"
#include "pipeline/exchange.h"
#include "testing/sim_loop.h"

namespace portloom::fuzz {

inline void demand(bool holds) {
  if (!holds) std::abort();
}

// What a service is asked, and what it answers.
class Plate final : public pipeline::Service {
 public:
  uint16_t status = 200;
  std::string body;
  struct Asked {
    std::string path;
    std::string query;
    http::Headers headers;
    std::string body;
  };
  std::vector<Asked> asked;

  Task<pipeline::Response> call(pipeline::Request& request) override {
    Result<Bytes> sent = co_await request.body.read();
    asked.push_back({std::string(request.path()), std::string(request.query()), request.headers, std::string(sent->view())});
    pipeline::Response response(status);
    response.body = http::Body(Bytes::copy(body));
    co_return response;
  }
};

class Composed {
 public:
  // `calls` is what stands under `compositions.home`; services are a, b and c.
  explicit Composed(const std::string& calls)
      : loaded_(config::load_text("fuzz.yaml",
                                  "version: 1\nlisteners: {edge: {port: 1}}\n"
                                  "services: {a: {endpoints: [\"a:1\"]}, b: {endpoints: [\"b:1\"]}, c: {endpoints: [\"c:1\"]}}\n"
                                  "routes: [{match: {path: \"/home/{id}\"}, to: {composition: home}}]\ncompositions:\n  home:\n" +
                                      calls,
                                  config::Catalogue())) {
    demand(static_cast<bool>(loaded_));
  }

  struct Answer {
    uint16_t status = 0;
    bool fault = false;
    std::string body;
    std::array<Plate, 3> plates;
  };
  // `answers` of a, b and c. Asked for /home/ID?QUERY, which must be a target.
  Answer ask(const std::array<std::pair<uint16_t, std::string_view>, 3>& answers, std::string_view query = {}) const {
    testing::SimLoop loop;
    Answer answer;
    for (size_t i = 0; i < 3; ++i) {
      answer.plates[i].status = answers[i].first;
      answer.plates[i].body = answers[i].second;
    }
    compose::Composition composition(
        *loaded_.document->compositions.find("home"), "compositions.home", "home", 2s,
        [&](std::string_view name) { return &answer.plates[static_cast<size_t>(name.front() - 'a')]; },
        [](std::string_view) { return nullptr; });
    pipeline::Plan plan(std::make_shared<const pipeline::Snapshot>());
    pipeline::Peer peer;
    pipeline::Exchange exchange(plan, peer);
    exchange.params.items[exchange.params.count++] = {"id", "7"};
    pipeline::Request request(exchange, exchange.record.call);
    demand(request.assign("GET", "/home/7?" + std::string(query)));
    request.headers.add("Host", "shop");
    Scope scope;
    bool done = false;
    scope.spawn(run, &composition, &request, &answer, &done);
    demand(loop.run_until([&] { return done; }, 60s));
    return answer;
  }

 private:
  static Task<void> run(compose::Composition* composition, pipeline::Request* request, Answer* answer, bool* done) {
    pipeline::Response response = co_await composition->call(*request);
    answer->status = response.status;
    answer->fault = response.fault.has_value();
    while (true) {
      Result<Bytes> piece = co_await response.body.read();
      demand(piece.has_value());
      if (piece->empty()) break;
      answer->body += piece->view();
    }
    *done = true;
  }

  config::Loaded loaded_;
};

}  // namespace portloom::fuzz
