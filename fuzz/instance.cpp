// fuzz/instance.cpp
//
// Any bytes as what says where an instance is: a registration's body, a value in etcd, an answer of etcd's gateway. What is read is
// written as JSON that is read back alike.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "base/base64.h"
#include "discovery/etcd_wire.h"
#include "discovery/instance.h"

using namespace portloom;
using namespace portloom::discovery;

namespace {

void demand(bool holds) {
  if (!holds) std::abort();
}

void read_back(const Instance& instance) {
  std::string text;
  data::JsonWriter json(text);
  write_instance(json, instance);
  std::expected<Instance, std::string> again = read_value(text);
  demand(again.has_value() && *again == instance);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  if (std::expected<Instance, std::string> value = read_value(text)) read_back(*value);
  if (std::expected<Registration, std::string> registration = read_registration(text)) read_back(registration->instance);
  if (std::optional<etcd::News> news = etcd::read_news(text))
    for (const etcd::News::Event& event : news->events) demand(!event.pair.key.empty());
  if (std::optional<etcd::Pairs> pairs = etcd::read_range(text)) demand(pairs->header.revision != 0);
  (void)etcd::read_grant(text);
  (void)etcd::read_keepalive(text);
  (void)etcd::read_token(text);
  (void)etcd::read_error(text);
  demand(from_base64(to_base64(text)) == text);
  if (std::optional<std::string> bytes = from_base64(text)) demand(to_base64(*bytes) == text);
  return 0;
}
