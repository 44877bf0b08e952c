// pipeline/rewrite.cpp
//
// Everything is computed before anything is changed: a field may be written from its own old value.
#include "pipeline/rewrite.h"

#include <array>

#include "http/form.h"
#include "http/grammar.h"
#include "pipeline/exchange.h"
#include "pipeline/problem.h"

namespace portloom::pipeline {

namespace {

data::Template parsed(const std::string& text) {
  std::expected<data::Template, data::TextFault> made = data::Template::parse(text);
  CHECK(made.has_value());  // load() has refused anything else
  return std::move(*made);
}

struct Restored {
  explicit Restored(Request& of) : request(of), before(of) {}
  Restored(const Restored&) = delete;
  ~Restored() { static_cast<http::RequestHead&>(request) = std::move(before); }
  Request& request;
  http::RequestHead before;  // holds the old line, to which captured values refer
};

}  // namespace

Rewrite::Rewrite(const config::Rewrite& changes, Service& to)
    : path_(parsed(changes.path)), own_query_(changes.query.has_value()), host_(parsed(changes.host)), to_(to) {
  if (changes.query) {
    for (const auto& [name, value] : *changes.query) {
      std::string encoded;
      http::append_form_encoded(encoded, name);
      query_.push_back({encoded + "=", parsed(value)});
    }
  }
  for (const auto& [name, value] : changes.headers) headers_.emplace_back(name, parsed(value));
}

Filling Rewrite::write_target(const Request& request, http::Writer& to) const {
  if (path_.pieces.empty())
    to.text(request.path());
  else if (Filling filling = fill(path_, Place::path, request, to); !filling)
    return filling;
  if (!own_query_) {
    if (request.has_query()) to.text("?");
    to.text(request.query());
    return {};
  }
  char mark = '?';
  for (const Parameter& parameter : query_) {
    http::Writer value;
    Filling filling = fill(parameter.value, Place::query, request, value);
    if (filling.outcome == Filling::Outcome::missing) continue;
    if (!filling) return filling;
    to.text({&mark, 1});
    to.text(parameter.name);
    to.text(value.view());
    mark = '&';
  }
  return {};
}

std::optional<Response> Rewrite::change(Request& request) const {
  http::Writer target;
  if (Filling filling = write_target(request, target); !filling) return refuse(filling);
  std::string_view path = target.view().substr(0, target.view().find('?'));
  if (!path_.pieces.empty() && has_dot_segment(path))
    return deny(Code::missing_input, Side::client, "a value would make the path lead elsewhere");
  http::Writer host(256);
  if (Filling filling = fill(host_, Place::host, request, host); !filling) return refuse(filling);
  std::array<Bytes, config::Rewrite::headers_max> values;
  std::array<bool, config::Rewrite::headers_max> there{};
  for (size_t i = 0; i < headers_.size(); ++i) {
    http::Writer value(256);
    Filling filling = fill(headers_[i].second, Place::header, request, value);
    if (!filling && filling.outcome != Filling::Outcome::missing) return refuse(filling);
    there[i] = filling.outcome == Filling::Outcome::whole;
    values[i] = value.finish();
  }
  bool good = host.size() == 0 ? request.set_path_and_query(target.view())
                               : request.assign(request.method_text(), "http", host.view(), target.view());
  if (!good) return deny(Code::missing_input, Side::client, "the values of the request make no path and host");
  for (size_t i = 0; i < headers_.size(); ++i) {
    request.headers.remove(headers_[i].first);
    if (there[i]) request.headers.add(headers_[i].first, values[i].view());
  }
  return std::nullopt;
}

Task<Response> Rewrite::call(Request& request) {
  Restored restored(request);
  std::optional<Response> refused = change(request);
  if (refused) co_return std::move(*refused);
  co_return co_await to_.call(request);
}

}  // namespace portloom::pipeline
