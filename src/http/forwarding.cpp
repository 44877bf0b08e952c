// http/forwarding.cpp
//
// Lists are appended to as text: one field goes out, whatever came.
#include "http/forwarding.h"

#include <string>

#include "base/text.h"
#include "http/grammar.h"
#include "http/writer.h"

namespace portloom::http {

namespace {

constexpr NameSet told_by_peers{Name::x_forwarded_for,  Name::x_forwarded_proto, Name::x_forwarded_host,
                                Name::x_forwarded_port, Name::x_real_ip,         Name::forwarded};
constexpr size_t hops_max = 64;  // of a received list; what lies further left is not looked at

// Joins all fields of that name and one more element into one field.
void append_element(Headers& headers, Name name, std::string_view element) {
  Writer joined(256);
  headers.for_each(name, [&](std::string_view value) {
    if (value.empty()) return;
    joined.text(value);
    joined.text(", ");
  });
  joined.text(element);
  headers.set(name, joined.view());
}

// RFC 7239 §4: a value that is no token is quoted.
void append_pair(std::string& to, std::string_view key, std::string_view value) {
  if (!to.empty()) to.push_back(';');
  to.append(key);
  to.push_back('=');
  if (is_token(value)) {
    to.append(value);
    return;
  }
  to.push_back('"');
  for (char c : value) {
    if (c == '"' || c == '\\') to.push_back('\\');
    to.push_back(c);
  }
  to.push_back('"');
}

// "192.0.2.1", "192.0.2.1:80", "[2001:db8::1]", "[2001:db8::1]:80" or a bare IPv6 address.
std::optional<Address> address_of_hop(std::string_view text) {
  if (text.starts_with('[')) {
    size_t close = text.find(']');
    if (close == std::string_view::npos) return std::nullopt;
    std::string_view after = text.substr(close + 1);
    if (!after.empty() && (after[0] != ':' || !parse_number(after.substr(1)))) return std::nullopt;
    return Address::parse(text.substr(1, close - 1));
  }
  size_t colon = text.find(':');
  if (colon != std::string_view::npos && text.find(':', colon + 1) == std::string_view::npos) {
    if (!parse_number(text.substr(colon + 1))) return std::nullopt;
    text = text.substr(0, colon);
  }
  return Address::parse(text);
}

// The for= of one element of Forwarded, unquoted; empty when there is none.
std::string_view for_of_element(std::string_view element) {
  while (true) {
    size_t semicolon = element.find(';');
    std::string_view pair = trim(element.substr(0, semicolon));
    if (pair.size() > 4 && equals_ignoring_case(pair.substr(0, 4), "for=")) {
      std::string_view value = pair.substr(4);
      if (value.size() >= 2 && value.front() == '"' && value.back() == '"') value = value.substr(1, value.size() - 2);
      return value;
    }
    if (semicolon == std::string_view::npos) return {};
    element.remove_prefix(semicolon + 1);
  }
}

// Walks the values of `name` from the last element leftwards; f returns false to stop. An element that is empty is passed on.
template <class F>
void for_each_element_reversed(const Headers& headers, Name name, F f) {
  size_t seen = 0;
  for (size_t i = headers.size(); i-- > 0;) {
    if (headers.at(i).id != name) continue;
    std::string_view list = headers.at(i).value;
    while (true) {
      size_t comma = list.rfind(',');
      std::string_view element = trim(comma == std::string_view::npos ? list : list.substr(comma + 1));
      if (++seen > hops_max || !f(element)) return;
      if (comma == std::string_view::npos) break;
      list = list.substr(0, comma);
    }
  }
}

}  // namespace

void write_forwarding(Headers& headers, const Forwarding& facts) {
  Bytes host = Bytes::copy(facts.host);  // it may be the Host of these headers
  if (!facts.trusted) headers.remove_all(told_by_peers);
  std::string address = facts.peer.text();
  if (facts.x_forwarded) {
    append_element(headers, Name::x_forwarded_for, address);
    // These say what the first client asked for: a trusted hop's word stands.
    if (!headers.contains(Name::x_forwarded_proto)) headers.add(Name::x_forwarded_proto, facts.scheme);
    if (!headers.contains(Name::x_forwarded_host) && !host.empty()) headers.add(Name::x_forwarded_host, host);
  }
  if (!facts.forwarded) return;
  std::string element;
  append_pair(element, "for", facts.peer.is_v4() ? address : "[" + address + "]");  // RFC 7239 §6: IPv6 in brackets, so quoted
  if (!host.empty()) append_pair(element, "host", host);
  append_pair(element, "proto", facts.scheme);
  append_element(headers, Name::forwarded, element);
}

void write_via(Headers& headers, std::string_view name, int major, int minor) {
  std::string element;
  append_number(element, static_cast<uint64_t>(major));
  if (major < 2) {
    element.push_back('.');
    append_number(element, static_cast<uint64_t>(minor));
  }
  element.push_back(' ');
  element.append(name);
  append_element(headers, Name::via, element);
}

bool via_contains(const Headers& headers, std::string_view name) {
  bool found = false;
  headers.for_each(Name::via, [&](std::string_view list) {
    for_each_element(list, [&](std::string_view element) {
      size_t space = element.find_first_of(" \t");  // received-protocol RWS received-by [ RWS comment ]
      if (space == std::string_view::npos) return true;
      std::string_view by = trim(element.substr(space));
      found = found || equals_ignoring_case(by.substr(0, by.find_first_of(" \t(")), name);
      return !found;
    });
  });
  return found;
}

Address believed_client(const Headers& headers, const Address& peer, const CidrSet& trusted) {
  Address believed = peer;
  if (trusted.empty() || !trusted.contains(peer)) return believed;
  bool x_forwarded = headers.contains(Name::x_forwarded_for);
  for_each_element_reversed(headers, x_forwarded ? Name::x_forwarded_for : Name::forwarded, [&](std::string_view element) {
    std::optional<Address> hop = address_of_hop(x_forwarded ? element : for_of_element(element));
    if (!hop) return false;
    believed = *hop;
    return trusted.contains(believed);
  });
  return believed;
}

Result<bool> count_down_max_forwards(RequestHead& head) {
  if (head.method() != Method::TRACE && head.method() != Method::OPTIONS) return false;
  if (!head.headers.contains(Name::max_forwards)) return false;
  std::optional<uint64_t> left = parse_number(*head.headers.find(Name::max_forwards));
  if (!left || head.headers.count(Name::max_forwards) != 1) return failure(Code::bad_request, Side::client, "Max-Forwards is no number");
  if (*left == 0) return true;
  std::string text;
  append_number(text, *left - 1);
  head.headers.set(Name::max_forwards, text);
  return false;
}

}  // namespace portloom::http
