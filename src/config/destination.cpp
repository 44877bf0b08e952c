// config/destination.cpp
//
// What a destination can check by itself. Values come later, with the requests: here only what is written is looked at.
#include "config/destination.h"

#include <algorithm>
#include <cmath>

#include "base/text.h"
#include "data/expression.h"

namespace portloom::config {
namespace {

// Written by the gateway itself: they frame a message, belong to one connection or say who forwarded it.
bool is_own_field(std::string_view name) {
  for (std::string_view own :
       {"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "content-length", "expect", "via",
        "forwarded", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port", "max-forwards", "http2-settings"})
    if (equals_ignoring_case(name, own)) return true;
  return false;
}

bool has_control(std::string_view text) {
  return std::any_of(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f; });
}

// Nothing when the text is no template; that was said when it was read.
std::vector<data::Template::Piece> pieces_of(const std::string& text) {
  std::expected<data::Template, data::TextFault> made = data::Template::parse(text);
  return made ? std::move(made->pieces) : std::vector<data::Template::Piece>{};
}

void check_fields(const Named<std::string>& headers, data::Checker& checker) {
  for (const auto& [name, value] : headers) {
    if (is_own_field(name)) checker.error("headers", "\"" + name + "\" is written by the gateway itself");
    if (has_control(value)) checker.error("headers", "\"" + name + "\" holds a line break or another control character");
    for (const auto& [other, ignored] : headers)
      if (&other < &name && equals_ignoring_case(name, other)) checker.error("headers", "\"" + name + "\" is written twice");
  }
}

void check_path(const std::string& path, data::Checker& checker) {
  if (path.empty()) return;
  std::vector<data::Template::Piece> pieces = pieces_of(path);
  if (pieces.empty()) return;
  if (!pieces.front().text.starts_with('/')) return checker.error("path", "a path begins with /", "write path: /" + path);
  std::string literal;
  for (const data::Template::Piece& piece : pieces) literal += piece.expression ? "x" : piece.text;
  if (literal.find('?') != std::string::npos) return checker.error("path", "a path holds no ?", "write the parameters under query");
  for (char c : literal)
    if (static_cast<unsigned char>(c) <= 0x20 || c == '#' || c == 0x7f || static_cast<unsigned char>(c) >= 0x80)
      return checker.error("path", "a path holds visible ASCII without #", "write other characters as %XX");
  for (size_t slash = 0; slash != std::string::npos; slash = literal.find('/', slash + 1)) {
    std::string_view segment = std::string_view(literal).substr(slash + 1, literal.find('/', slash + 1) - slash - 1);
    if (segment == "." || segment == "..") return checker.error("path", "a path has no \".\" and no \"..\" segments", "write it resolved");
  }
}

}  // namespace

bool is_plain_host(std::string_view text) { return is_host_pattern(text) && text.find('*') == std::string_view::npos; }

void Rewrite::check_rewrite(data::Checker& checker) const {
  check_path(path, checker);
  check_fields(headers, checker);
  for (const auto& [name, value] : headers)
    if (equals_ignoring_case(name, "host")) checker.error("headers", "the host is not written as a header field", "write host: " + value);
  for (const data::Template::Piece& piece : pieces_of(host))
    for (char c : piece.text)
      if (!is_alpha(c) && !is_digit(c) && std::string_view("-._:[]").find(c) == std::string_view::npos)
        return checker.error("host", "a host has letters, digits, - and dots, and perhaps a port");
}

void SplitDestination::check(data::Checker& checker) const {
  double sum = 0;
  for (const SplitSide& side : split) sum += side.share.fraction;
  if (std::abs(sum - 1) > 1e-9)
    checker.error("split", "the shares are " + data::format_percent(Percent{sum}) + " together", "make them 100%");
}

void RedirectDestination::check(data::Checker& checker) const {
  bool parts = !scheme.empty() || !host.empty() || port || !path.empty();
  if (location.empty() && !parts) checker.error("", "a redirect needs `location`, or what changes of the URL", "write scheme: https");
  if (!location.empty() && parts)
    checker.error("location", "a redirect has `location`, or `scheme`, `host`, `port` and `path`", "say it in one of the two ways");
  if (status != 301 && status != 302 && status != 303 && status != 307 && status != 308)
    checker.error("status", std::to_string(status) + " is no redirect", "write 301, 302, 303, 307 or 308");
  check_path(path, checker);
  if (location.empty()) return;
  std::vector<data::Template::Piece> pieces = pieces_of(location);
  if (pieces.empty()) return;
  // Whoever asks must not choose where others are led.
  std::string_view begin = pieces.front().text;
  bool absolute = begin.starts_with("https://") || begin.starts_with("http://");
  bool local = begin.starts_with('/') && !begin.starts_with("//");
  std::string_view authority = absolute ? begin.substr(begin.find("//") + 2) : std::string_view();
  if (!absolute && !local) {
    checker.error("location", "a location begins with /, http:// or https://",
                  pieces.front().expression ? "a value of the request must not choose the host" : "write https://" + location);
  } else if (absolute && authority.find_first_of("/?#") == std::string_view::npos && (authority.empty() || pieces.size() > 1)) {
    checker.error("location", "the host of a location is literal, and a / follows it", "a value of the request must not choose the host");
  }
  for (const data::Template::Piece& piece : pieces)
    for (char c : piece.text)
      if (static_cast<unsigned char>(c) <= 0x20 || c == 0x7f || static_cast<unsigned char>(c) >= 0x80)
        return checker.error("location", "a location holds visible ASCII", "write other characters as %XX");
}

std::optional<BodyForm> body_form(const Named<std::string>& headers) {
  for (const auto& [name, value] : headers) {
    if (!equals_ignoring_case(name, "content-type")) continue;
    std::string_view type = trim(std::string_view(value).substr(0, value.find(';')));
    if (equals_ignoring_case(type, "text/plain")) return BodyForm::text;
    if (equals_ignoring_case(type, "text/html")) return BodyForm::html;
    if (equals_ignoring_case(type, "application/json") || (type.starts_with("application/") && type.ends_with("+json")))
      return BodyForm::json;
    return std::nullopt;
  }
  return BodyForm::text;
}

void ResponseDestination::check(data::Checker& checker) const {
  if (body && (status == 204 || status == 205 || status == 304)) checker.error("body", "status " + std::to_string(status) + " has no body");
  check_fields(headers, checker);
  if (!body || body_form(headers)) return;
  std::expected<data::Template, data::TextFault> made = data::Template::parse(*body);
  if (made && !made->constant())
    checker.error("body", "nobody knows how to escape a value in a body of this content-type",
                  "write text/plain, text/html or application/json");
}

}  // namespace portloom::config
