// app/demo_shop.h
//
// The demo's shop: a monolith and the six services that have been taken out of it. Each answers JSON from its own small
// store, in memory. All of them live on one thread.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "pipeline/service.h"

namespace portloom::app {

struct ShopService {
  std::string_view name;
  std::unique_ptr<pipeline::Service> service;
};

// monolith, users, orders, inventory, payments, recommendations, notifications: in this order.
std::vector<ShopService> open_shop();

}  // namespace portloom::app
