// testing/clusters.h
//
// Call, Clusters: what tests of a Cluster without a server in front of it share. All in virtual time.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <optional>
#include <vector>

#include "pipeline/exchange.h"
#include "testing/wire.h"
#include "upstream/cluster.h"

namespace portloom::testing {

using pipeline::Exchange;
using pipeline::Request;
using pipeline::Response;

inline constexpr std::string_view answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

// One call, with what it needs around it.
struct Call {
  Call(pipeline::Plan& plan, const pipeline::Peer& peer, std::string_view method)
      : exchange(plan, peer), request(exchange, exchange.record.call) {
    static_cast<http::RequestHead&>(request) = http::RequestHead(method, "/a");
    request.headers.add(http::Name::host, "shop");
  }
  static Task<void> run(Call* self, upstream::Cluster* cluster) {
    self->response.emplace(co_await cluster->call(self->request));
    self->scope_free = true;
  }
  Exchange exchange;
  Request request;
  std::optional<Response> response;
  bool scope_free = false;
  Scope scope;  // dropped first
};

class Clusters : public ::testing::TestWithParam<uint64_t> {
 protected:
  Call& call(upstream::Cluster& cluster, std::string_view method = "GET") {
    Call& made = *calls.emplace_back(std::make_unique<Call>(plan, peer, method));
    made.scope.spawn(Call::run, &made, &cluster);
    return made;
  }
  std::vector<upstream::Target> addresses() {
    std::vector<upstream::Target> list;
    for (Origin& origin : origins) list.push_back(origin.address());
    return list;
  }
  size_t active(const upstream::Cluster& cluster) {
    size_t sum = 0;
    for (const auto& endpoint : cluster.endpoints()) sum += endpoint->active;
    return sum;
  }
  SimLoop loop{GetParam()};
  pipeline::Plan plan{std::make_shared<pipeline::Snapshot>()};
  pipeline::Peer peer;
  upstream::ClusterSettings settings{.name = "shop"};
  std::array<Origin, 3> origins;
  std::vector<std::unique_ptr<Call>> calls;
};

}  // namespace portloom::testing
