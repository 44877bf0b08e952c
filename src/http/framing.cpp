// http/framing.cpp
//
// The rules stand in the order in which RFC 9112 §6.3 applies them; each refusal names the sentence that it obeys.
#include "http/framing.h"

#include <optional>

#include "base/text.h"
#include "http/grammar.h"

namespace portloom::http {

namespace {

constexpr size_t connection_options_max = 64;  // each may have to be looked for among the fields
constexpr uint64_t length_max = uint64_t{1} << 62;

struct Blame {
  Side side;
  std::unexpected<Error> operator()(Code code, const char* detail) const {
    return failure(side == Side::upstream ? Code::upstream_protocol : code, side, detail);
  }
};

// All Content-Length values are one number (RFC 9110 §8.6: a list of equal ones may be taken as one, others are refused).
Result<std::optional<uint64_t>> content_length(const Headers& headers, Blame refuse) {
  std::optional<uint64_t> length;
  const char* fault = nullptr;
  headers.for_each(Name::content_length, [&](std::string_view list) {
    while (fault == nullptr) {
      size_t comma = list.find(',');
      std::optional<uint64_t> one = parse_number(trim(list.substr(0, comma)));
      if (!one || *one > length_max)
        fault = "Content-Length is no number";
      else if (length && *length != *one)
        fault = "Content-Length values differ";
      length = one;
      if (comma == std::string_view::npos) return;
      list.remove_prefix(comma + 1);
    }
  });
  if (fault != nullptr) return refuse(Code::bad_request, fault);
  return length;
}

// Transfer-Encoding is there: it must say "chunked" and nothing else.
Result<void> only_chunked(const Headers& headers, Blame refuse) {
  size_t codings = 0;
  size_t chunked = 0;
  bool last_is_chunked = false;
  bool empty = false;
  headers.for_each(Name::transfer_encoding, [&](std::string_view list) {
    while (true) {
      size_t comma = list.find(',');
      std::string_view coding = trim(list.substr(0, comma));
      empty = empty || coding.empty();
      last_is_chunked = equals_ignoring_case(coding, "chunked");
      chunked += last_is_chunked;
      ++codings;
      if (comma == std::string_view::npos) return;
      list.remove_prefix(comma + 1);
    }
  });
  // RFC 9112 §6.3: a request whose last coding is not chunked has no length that could be known.
  if (empty || !last_is_chunked) return refuse(Code::bad_request, "the last transfer coding is not chunked");
  if (chunked > 1) return refuse(Code::bad_request, "chunked is applied twice");  // RFC 9112 §6.1
  if (codings > 1) return refuse(Code::unsupported_coding, "a transfer coding other than chunked");
  return {};
}

struct Options {
  bool close = false;
  bool keep_alive = false;
  bool upgrade = false;
  size_t count = 0;
};
Options connection_options(const Headers& headers) {
  Options options;
  headers.for_each(Name::connection, [&](std::string_view list) {
    for_each_element(list, [&](std::string_view option) {
      ++options.count;
      options.close = options.close || equals_ignoring_case(option, "close");
      options.keep_alive = options.keep_alive || equals_ignoring_case(option, "keep-alive");
      options.upgrade = options.upgrade || equals_ignoring_case(option, "upgrade");
      return options.count <= connection_options_max;
    });
  });
  return options;
}

// RFC 9112 §9.3.
void persistence(Framing& framing, const Options& options, uint8_t minor) {
  framing.keep_alive = !options.close && (minor >= 1 || options.keep_alive);
  framing.announce_keep_alive = minor == 0 && framing.keep_alive;
}

Result<void> host_rules(const RequestHead& head) {
  size_t hosts = head.headers.count(Name::host);
  // RFC 9112 §3.2: HTTP/1.1 without Host, with several, or with an invalid one, is answered 400.
  if (hosts > 1 || (hosts == 0 && head.minor >= 1)) return failure(Code::bad_request, Side::client, "exactly one Host is due");
  Authority authority;
  // An empty Host is what a URI without authority has (RFC 9110 §7.2); for http(s) there is none, but the field is valid.
  if (hosts == 1 && !parse_authority(*head.headers.find(Name::host), authority, true))
    return failure(Code::bad_request, Side::client, "Host is malformed");
  return {};
}

}  // namespace

bool list_contains(const Headers& headers, Name name, std::string_view token) {
  bool found = false;
  headers.for_each(name, [&](std::string_view list) {
    for_each_element(list, [&](std::string_view element) {
      found = found || equals_ignoring_case(element, token);
      return !found;
    });
  });
  return found;
}

Result<Framing> request_body_framing(const RequestHead& head) {
  constexpr Blame refuse{Side::client};
  const Headers& headers = head.headers;
  Framing framing;
  bool coded = headers.contains(Name::transfer_encoding);
  if (coded && headers.contains(Name::content_length))  // RFC 9112 §6.1: may be an attempt at smuggling
    return refuse(Code::bad_request, "both Transfer-Encoding and Content-Length");
  if (coded && head.minor == 0) return refuse(Code::bad_request, "Transfer-Encoding in HTTP/1.0");  // RFC 9112 §6.1
  if (coded) {
    if (Result<void> checked = only_chunked(headers, refuse); !checked) return std::unexpected(std::move(checked.error()));
    framing.kind = Framing::Kind::chunked;
  } else {
    auto length = content_length(headers, refuse);
    if (!length) return std::unexpected(std::move(length.error()));
    framing.length = length->value_or(0);
    framing.kind = framing.length != 0 ? Framing::Kind::length : Framing::Kind::none;
  }
  if (head.method() == Method::CONNECT && framing.kind != Framing::Kind::none)
    return refuse(Code::bad_request, "CONNECT with a body");  // RFC 9110 §9.3.6: it has no content
  Options options = connection_options(headers);
  if (options.count > connection_options_max) return refuse(Code::bad_request, "too many connection options");
  persistence(framing, options, head.minor);
  // RFC 9110 §7.8: Upgrade is ignored in HTTP/1.0 and without the connection option.
  framing.upgrade = head.minor >= 1 && options.upgrade && headers.contains(Name::upgrade);
  if (head.minor >= 1 && headers.contains(Name::expect)) {  // RFC 9110 §10.1.1: ignored in HTTP/1.0
    bool known = true;
    headers.for_each(Name::expect, [&](std::string_view value) { known = known && equals_ignoring_case(value, "100-continue"); });
    if (!known) return refuse(Code::unsupported_expectation, "an expectation other than 100-continue");
    framing.expect_continue = framing.kind != Framing::Kind::none;
  }
  return framing;
}

Result<Framing> request_framing(const RequestHead& head) {
  if (Result<void> checked = host_rules(head); !checked) return std::unexpected(std::move(checked.error()));
  return request_body_framing(head);
}

Result<Framing> response_framing(const ResponseHead& head, Method request_method) {
  constexpr Blame refuse{Side::upstream};
  const Headers& headers = head.headers;
  Framing framing;
  Options options = connection_options(headers);
  if (options.count > connection_options_max) return refuse({}, "too many connection options");
  persistence(framing, options, head.minor);
  framing.announce_keep_alive = false;
  framing.upgrade = head.status == 101;
  bool connected = request_method == Method::CONNECT && head.status >= 200 && head.status < 300;
  if (connected || head.status == 101) {  // RFC 9112 §6.3 rule 2: whatever else the head says; RFC 9110 §7.8
    framing.kind = Framing::Kind::tunnel;
    framing.keep_alive = false;
    return framing;
  }
  bool coded = headers.contains(Name::transfer_encoding);
  bool bodiless = head.informational() || head.status == 204 || head.status == 304 || request_method == Method::HEAD;
  if (!bodiless && coded && headers.contains(Name::content_length)) return refuse({}, "both Transfer-Encoding and Content-Length");
  auto length = content_length(headers, refuse);
  if (!length) return std::unexpected(std::move(length.error()));
  if (bodiless) {  // RFC 9112 §6.3 rule 1
    bool declares = length->has_value() && !head.informational() && head.status != 204;
    framing.declares_length = declares;
    framing.length = declares ? **length : 0;
    return framing;
  }
  if (coded) {
    if (head.minor == 0) return refuse({}, "Transfer-Encoding in HTTP/1.0");  // RFC 9112 §6.1
    if (Result<void> checked = only_chunked(headers, refuse); !checked) return std::unexpected(std::move(checked.error()));
    framing.kind = Framing::Kind::chunked;
  } else if (length->has_value()) {
    framing.kind = Framing::Kind::length;
    framing.length = **length;
  } else {  // RFC 9112 §6.3 rule 8
    framing.kind = Framing::Kind::until_close;
    framing.keep_alive = false;
  }
  return framing;
}

}  // namespace portloom::http
