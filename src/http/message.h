// http/message.h
//
// RequestHead and ResponseHead: what stands before a body, the same for HTTP/1 and HTTP/2. They own their bytes: the
// request line in one counted block (a copy shares it), the fields in another. Moving is cheap; one worker owns a head.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/bytes.h"
#include "http/headers.h"

namespace portloom::http {

enum class Method : uint8_t { GET, HEAD, POST, PUT, DELETE, CONNECT, OPTIONS, TRACE, PATCH, other };

// Methods are case-sensitive (RFC 9110 §9.1): "get" is `other`.
Method method_of(std::string_view text);
// Empty for `other`.
std::string_view text_of(Method method);
// GET, HEAD, OPTIONS, TRACE (RFC 9110 §9.2.1).
constexpr bool is_safe(Method method) {
  return method == Method::GET || method == Method::HEAD || method == Method::OPTIONS || method == Method::TRACE;
}
// The safe ones, PUT and DELETE (RFC 9110 §9.2.2).
constexpr bool is_idempotent(Method method) { return is_safe(method) || method == Method::PUT || method == Method::DELETE; }

// RFC 9112 §3.2.
enum class TargetForm : uint8_t { origin, absolute, authority, asterisk };

class RequestHead {
 public:
  Headers headers;
  uint8_t minor = 1;  // of HTTP/1.x, as received; 1 for HTTP/2

  RequestHead() = default;
  // For tests and for requests of our own: both texts must be valid (CHECKed).
  RequestHead(std::string_view method, std::string_view target);

  // Both copy what they are given into one block. False, and nothing is changed, when `method` is no token or `target` has no
  // form that fits the method: authority-form only for CONNECT, "*" only for OPTIONS, http(s) absolute-form without userinfo.
  [[nodiscard]] bool assign(std::string_view method, std::string_view target);
  // For HTTP/2: `path` is :path (origin-form or "*"), empty for CONNECT; `authority` is :authority or empty.
  [[nodiscard]] bool assign(std::string_view method, std::string_view scheme, std::string_view authority, std::string_view path);
  // Keeps the method; the new target is origin-form ("/a?b") or asterisk; scheme and authority are kept.
  [[nodiscard]] bool set_path_and_query(std::string_view path_and_query);

  Method method() const { return method_; }
  std::string_view method_text() const { return method_text_; }
  TargetForm form() const { return form_; }
  // The target as received; after set_path_and_query the new one.
  std::string_view target() const { return target_; }
  std::string_view scheme() const { return scheme_; }        // absolute-form and HTTP/2; else empty
  std::string_view authority() const { return authority_; }  // absolute-form, authority-form and HTTP/2; else empty
  // Never with "?". An absolute-form target without a path has "/" (RFC 9112 §3.2.1), OPTIONS of it "*" (§3.2.4), CONNECT nothing.
  std::string_view path() const { return path_; }
  bool has_query() const { return has_query_; }
  std::string_view query() const { return query_; }  // without "?"
  // What goes upstream in origin-form: path and query together.
  std::string_view path_and_query() const { return path_and_query_; }
  // The host that the request is for: the target's authority if it has one, else Host (RFC 9112 §3.3); may be empty.
  std::string_view host() const { return !authority_.empty() ? authority_ : headers.find(Name::host).value_or(std::string_view{}); }
  // The block behind the request line: whoever keeps it may keep method_text(), path() and the rest.
  const Bytes& line_bytes() const { return line_; }
  // Bytes of the block behind the request line.
  size_t held() const { return line_.held(); }

 private:
  struct Parts;
  static std::optional<Parts> split(Method method, std::string_view target);
  void store(std::string_view method, const Parts& parts, std::string_view target);

  Method method_ = Method::GET;
  TargetForm form_ = TargetForm::origin;
  bool has_query_ = false;
  Bytes line_;  // the views below point into it or at literals
  std::string_view method_text_ = "GET";
  std::string_view target_ = "/";
  std::string_view scheme_;
  std::string_view authority_;
  std::string_view path_ = "/";
  std::string_view query_;
  std::string_view path_and_query_ = "/";
};

struct ResponseHead {
  uint16_t status = 200;  // 100 to 999
  uint8_t minor = 1;      // of HTTP/1.x, as received
  Bytes reason;           // empty: the writer puts the standard phrase (grammar.h)
  Headers headers;

  bool informational() const { return status < 200; }
};

}  // namespace portloom::http
