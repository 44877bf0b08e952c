// fuzz/proxy_protocol.cpp
//
// Any bytes as a PROXY header: what is said of the whole agrees with what is said of each beginning, nothing is read twice, and
// addresses that are found are written and read back the same.
#include "io/proxy_protocol.h"

#include <algorithm>

#include "base/check.h"

using namespace portloom;
using namespace portloom::io;
using State = ProxyHeader::State;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view input(reinterpret_cast<const char*>(data), size);
  ProxyHeader whole = read_proxy_header(input);
  State state = State::partial;
  size_t bytes = 0;
  for (size_t i = 0; i <= std::min<size_t>(size, 600) && state == State::partial; ++i) {
    ProxyHeader part = read_proxy_header(input.substr(0, i));
    state = part.state;
    bytes = part.bytes;
  }
  if (state != State::partial || size <= 600) CHECK(state == whole.state && bytes == whole.bytes);
  CHECK((whole.state == State::invalid) != whole.fault.empty());
  CHECK(whole.bytes <= size && whole.bytes <= proxy_header_max);
  if (whole.state == State::partial) CHECK(size < proxy_header_max);
  if (!whole.has_addresses) return 0;
  CHECK(whole.state == State::complete);
  for (ProxyVersion version : {ProxyVersion::v1, ProxyVersion::v2}) {
    ProxyHeader again = read_proxy_header(write_proxy_header(version, whole.source, whole.destination));
    CHECK(again.state == State::complete);
    bool mixed = whole.source.family() != whole.destination.family();  // an IPv4 address that was spelt as IPv6 on one side
    CHECK(again.has_addresses != mixed);
    if (!mixed) CHECK(again.source == whole.source && again.destination == whole.destination);
  }
  return 0;
}
