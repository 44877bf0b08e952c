// io/proxy_protocol.h
//
// The header that a balancer puts in front of a connection to say whose it is ("The PROXY protocol", versions 1 and 2, by
// HAProxy's authors; section numbers are those of that specification). A pure reader and a pure writer: nothing here waits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "io/address.h"

namespace portloom::io {

enum class ProxyVersion : uint8_t { v1, v2 };

struct ProxyHeader {
  enum class State : uint8_t {
    partial,   // a valid beginning: more bytes are due
    complete,  // `bytes` of the input were the header
    invalid,   // no PROXY header, or a wrong one: `fault` says why, and the connection is to be closed
  };
  State state = State::partial;
  size_t bytes = 0;
  std::string_view fault;  // a literal
  // Whom the connection is made for. Without: the sender speaks for itself (LOCAL, UNKNOWN, a family without addresses).
  bool has_addresses = false;
  Address source;
  Address destination;
};

// Of the longest header that is read: version 1 has at most 107 (§2.1); version 2 may carry TLVs, of which this bounds the sum.
constexpr size_t proxy_header_max = 4096;

// Reads what has come so far, from its first byte; the same answer whether it came whole or byte by byte. A version 2 header
// with a checksum (PP2_TYPE_CRC32C) is complete only if it is right; other TLVs are skipped.
ProxyHeader read_proxy_header(std::string_view input);

// For a connection that we open on behalf of `source`. What is not of one IP family is said as UNKNOWN (version 1) or LOCAL
// (version 2): the receiver then takes our own address.
std::string write_proxy_header(ProxyVersion version, const Address& source, const Address& destination);

}  // namespace portloom::io
