// pipeline/request_for_tests.h
//
// One request with its exchange, as if it had come in and been matched. Only tests and fuzz targets include it.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "async/agenda.h"
#include "base/check.h"
#include "pipeline/exchange.h"
#include "pipeline/plan.h"

namespace portloom::pipeline {

// A clock that stands still.
class StillAgenda final : public Agenda {
 public:
  StillAgenda() : Agenda(Instant{} + 1h) { make_current(this); }
  ~StillAgenda() override { make_current(nullptr); }
};

struct RequestForTests {
  explicit RequestForTests(std::string_view target = "/", std::string_view method = "GET")
      : plan(std::make_shared<const Snapshot>()), exchange(plan, peer), request(exchange, exchange.record.call) {
    CHECK(request.assign(method, target));
    exchange.client = "192.0.2.1";
  }
  void capture(std::string_view name, std::string_view value) { exchange.params.items[exchange.params.count++] = {name, value}; }

  Plan plan;
  Peer peer;
  Exchange exchange;
  Request request;
};

// What has come to a service, as "METHOD target host | name: value | ...".
class Noting final : public Service {
 public:
  std::vector<std::string> seen;
  uint16_t status = 200;
  Task<Response> call(Request& request) override {
    std::string all = std::string(request.method_text()) + " " + std::string(request.path_and_query()) + " " + std::string(request.host());
    for (http::Headers::Field field : request.headers)
      if (field.id != http::Name::host) all += " | " + std::string(field.name) + ": " + std::string(field.value);
    seen.push_back(std::move(all));
    co_return Response(status);
  }
};

}  // namespace portloom::pipeline
