// http/message.cpp
//
// Splits a request target into its parts (RFC 9112 §3.2) and keeps them in one block.
#include "http/message.h"

#include "base/check.h"
#include "base/text.h"
#include "http/grammar.h"

namespace portloom::http {

namespace {

constexpr std::string_view method_texts[] = {"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", ""};

}  // namespace

Method method_of(std::string_view text) {
  for (size_t i = 0; i < static_cast<size_t>(Method::other); ++i)
    if (method_texts[i] == text) return static_cast<Method>(i);
  return Method::other;
}
std::string_view text_of(Method method) { return method_texts[static_cast<size_t>(method)]; }

struct RequestHead::Parts {
  TargetForm form = TargetForm::origin;
  std::string_view scheme;  // a literal
  std::string_view authority;
  std::string_view path_and_query;  // as given: may lack its "/"
  bool slash_missing = false;
};

std::optional<RequestHead::Parts> RequestHead::split(Method method, std::string_view target) {
  if (!is_target_text(target)) return std::nullopt;
  Authority authority;
  if (method == Method::CONNECT) {  // RFC 9112 §3.2.3: authority-form only, and the port is not optional
    if (!parse_authority(target, authority) || authority.port.empty()) return std::nullopt;
    return Parts{TargetForm::authority, {}, target, {}, false};
  }
  if (target.front() == '/') return Parts{TargetForm::origin, {}, {}, target, false};
  if (target == "*") {  // RFC 9112 §3.2.4
    if (method != Method::OPTIONS) return std::nullopt;
    return Parts{TargetForm::asterisk, {}, {}, target, false};
  }
  Parts parts{TargetForm::absolute, {}, {}, {}, false};  // RFC 9112 §3.2.2
  size_t colon = target.find("://");
  if (colon == std::string_view::npos) return std::nullopt;
  for (std::string_view scheme : {std::string_view("http"), std::string_view("https")})
    if (equals_ignoring_case(target.substr(0, colon), scheme)) parts.scheme = scheme;
  if (parts.scheme.empty()) return std::nullopt;
  std::string_view rest = target.substr(colon + 3);
  size_t end = std::min(rest.find_first_of("/?"), rest.size());
  parts.authority = rest.substr(0, end);
  if (!parse_authority(parts.authority, authority)) return std::nullopt;  // userinfo and an empty host fail here (RFC 9110 §4.2)
  parts.path_and_query = rest.substr(end);
  if (parts.path_and_query.empty() && method == Method::OPTIONS)
    parts.path_and_query = "*";  // RFC 9112 §3.2.4: the last proxy sends "*"
  else
    parts.slash_missing = !parts.path_and_query.starts_with('/');
  return parts;
}

void RequestHead::store(std::string_view method, const Parts& parts, std::string_view target) {
  Method known = method_of(method);
  bool shared = parts.path_and_query.data() == target.data() && parts.path_and_query.size() == target.size();
  size_t size = (known == Method::other ? method.size() : 0) + target.size() + parts.authority.size() +
                (shared ? 0 : parts.path_and_query.size() + parts.slash_missing);
  Bytes line = Bytes::uninitialized(size);
  char* at = line.writable();
  auto place = [&](std::string_view text) {
    char* start = at;
    if (!text.empty()) std::memcpy(at, text.data(), text.size());
    at += text.size();
    return std::string_view(start, text.size());
  };
  method_text_ = known == Method::other ? place(method) : text_of(known);
  authority_ = place(parts.authority);
  std::string_view kept_target = place(target);
  if (shared) {
    path_and_query_ = kept_target;
  } else {
    std::string_view slash = place(std::string_view("/").substr(0, parts.slash_missing));
    std::string_view rest = place(parts.path_and_query);
    path_and_query_ = {slash.data(), slash.size() + rest.size()};
  }
  target_ = kept_target;
  method_ = known;
  form_ = parts.form;
  scheme_ = parts.scheme;
  size_t question = path_and_query_.find('?');
  has_query_ = question != std::string_view::npos;
  path_ = path_and_query_.substr(0, question);
  query_ = has_query_ ? path_and_query_.substr(question + 1) : std::string_view{};
  line_ = std::move(line);  // last: the arguments may point into the old one
}

RequestHead::RequestHead(std::string_view method, std::string_view target) { CHECK(assign(method, target)); }

bool RequestHead::assign(std::string_view method, std::string_view target) {
  Method known = method_of(method);
  if (known == Method::other && !is_token(method)) return false;
  std::optional<Parts> parts = split(known, target);
  if (!parts) return false;
  store(method, *parts, target);
  return true;
}

bool RequestHead::assign(std::string_view method, std::string_view scheme, std::string_view authority, std::string_view path) {
  Method known = method_of(method);
  if (known == Method::other && !is_token(method)) return false;
  if (known == Method::CONNECT && path.empty()) return scheme.empty() && assign(method, authority);  // RFC 9113 §8.5
  Parts parts{TargetForm::origin, {}, authority, path, false};
  for (std::string_view one : {std::string_view("http"), std::string_view("https")})
    if (equals_ignoring_case(scheme, one)) parts.scheme = one;
  Authority checked;
  if (parts.scheme.empty() || (!authority.empty() && !parse_authority(authority, checked))) return false;
  if (!is_target_text(path)) return false;
  if (path == "*" && known == Method::OPTIONS)
    parts.form = TargetForm::asterisk;
  else if (path.front() != '/')
    return false;
  store(method, parts, path);
  return true;
}

bool RequestHead::set_path_and_query(std::string_view path_and_query) {
  if (!is_target_text(path_and_query) || method_ == Method::CONNECT) return false;
  Parts parts{TargetForm::origin, scheme_, authority_, path_and_query, false};
  if (path_and_query == "*" && method_ == Method::OPTIONS)
    parts.form = TargetForm::asterisk;
  else if (path_and_query.front() != '/')
    return false;
  store(method_text_, parts, path_and_query);
  return true;
}

}  // namespace portloom::http
