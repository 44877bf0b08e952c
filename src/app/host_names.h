// app/host_names.h
//
// HostNames: the resolver as http::Names, for control traffic to hosts that are named. A question keeps the resolver that it asks,
// whichever comes after it. Control thread.
#pragma once

#include <memory>
#include <utility>

#include "http/fetch.h"
#include "upstream/resolver.h"

namespace portloom::app {

class HostNames final : public http::Names {
 public:
  Task<Result<std::vector<io::Address>>> addresses(std::string host) override {
    std::shared_ptr<upstream::Resolver> resolver = resolver_;
    if (resolver == nullptr) co_return failure(Code::unavailable, Side::gateway, "no resolver");
    Result<upstream::Answer> answer = co_await resolver->lookup(std::move(host));
    if (!answer) co_return std::unexpected(std::move(answer.error()));
    co_return std::move(answer->addresses);
  }
  void use(std::shared_ptr<upstream::Resolver> resolver) { resolver_ = std::move(resolver); }

 private:
  std::shared_ptr<upstream::Resolver> resolver_;
};

}  // namespace portloom::app
