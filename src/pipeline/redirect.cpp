// pipeline/redirect.cpp
//
// Location may be a reference without scheme or host (RFC 9110 §10.2.2): what is not changed is not guessed at.
#include "pipeline/redirect.h"

#include "http/grammar.h"
#include "pipeline/exchange.h"
#include "pipeline/problem.h"

namespace portloom::pipeline {

namespace {

// Two templates: what stands before the first literal "?" or "#", and the rest.
std::pair<data::Template, data::Template> halves(const std::string& text) {
  std::expected<data::Template, data::TextFault> made = data::Template::parse(text);
  CHECK(made.has_value());  // load() has refused anything else
  std::pair<data::Template, data::Template> both;
  bool behind = false;
  for (data::Template::Piece& piece : made->pieces) {
    size_t mark = behind || piece.expression ? std::string::npos : piece.text.find_first_of("?#");
    if (mark != std::string::npos) {
      if (mark > 0) both.first.pieces.push_back({piece.text.substr(0, mark), std::nullopt});
      piece.text.erase(0, mark);
      behind = true;
    }
    (behind ? both.second : both.first).pieces.push_back(std::move(piece));
  }
  return both;
}

constexpr uint16_t usual_port(std::string_view scheme) { return scheme == "https" ? 443 : 80; }

// The path of an absolute or relative URL.
std::string_view path_of(std::string_view url) {
  size_t authority = url.find("//");
  if (authority == std::string_view::npos || url.starts_with('/')) return url;
  size_t slash = url.find('/', authority + 2);
  return slash == std::string_view::npos ? std::string_view() : url.substr(slash);
}

}  // namespace

Redirect::Redirect(const config::RedirectDestination& redirect)
    : status_(redirect.status),
      scheme_(redirect.scheme),
      host_(redirect.host),
      port_(redirect.port.value_or(0)),
      whole_(!redirect.location.empty()) {
  std::tie(path_, behind_) = halves(whole_ ? redirect.location : redirect.path);
}

// "https://shop.example:8443", "//shop.example:8443" or nothing.
void Redirect::write_origin(const Request& request, http::Writer& to) const {
  if (scheme_.empty() && host_.empty() && port_ == 0) return;
  if (!scheme_.empty()) {
    to.text(scheme_);
    to.text(":");
  }
  to.text("//");
  http::Authority asked;
  bool known = http::parse_authority(request.host(), asked);
  to.text(!host_.empty() ? std::string_view(host_) : known ? asked.host : std::string_view());
  // Another scheme has another port; else that of the request stays.
  bool usual = !scheme_.empty() && (port_ == 0 || port_ == usual_port(scheme_));
  if (usual) return;
  if (port_ != 0) {
    to.text(":");
    to.number(port_);
  } else if (known && host_.empty() && !asked.port.empty()) {
    to.text(":");
    to.text(asked.port);
  }
}

Response Redirect::answer(const Request& request) const {
  http::Writer url;
  if (!whole_) {
    if (host_.empty() && request.host().empty()) return deny(Code::missing_input, Side::client, "the request names no host");
    write_origin(request, url);
  }
  size_t path_at = url.size();
  if (path_.pieces.empty() && !whole_)
    url.text(request.path());
  else if (Filling filling = fill(path_, Place::path, request, url); !filling)
    return refuse(filling);
  if (has_dot_segment(path_of(url.view().substr(path_at))))
    return deny(Code::missing_input, Side::client, "a value would make the path lead elsewhere");
  if (Filling filling = fill(behind_, Place::query, request, url); !filling) return refuse(filling);
  if (!whole_ && request.has_query()) {
    url.text("?");
    url.text(request.query());
  }
  Response response(status_);
  response.headers.set(http::Name::location, url.view());
  return response;
}

[[clang::coro_wrapper, clang::coro_disable_lifetimebound]] Task<Response> Redirect::call(Request& request) {
  return ready(answer(request));
}

}  // namespace portloom::pipeline
