// pipeline/fixed_answer.cpp
//
// A value in a body is escaped for the body's type; a body of no stated type that holds one is plain text, and says so: a browser
// must not find a page in what somebody asked for.
#include "pipeline/fixed_answer.h"

#include "pipeline/exchange.h"

namespace portloom::pipeline {

namespace {

data::Template parsed(const std::string& text) {
  std::expected<data::Template, data::TextFault> made = data::Template::parse(text);
  CHECK(made.has_value());  // load() has refused anything else
  return std::move(*made);
}

Place place_of(config::BodyForm form) {
  switch (form) {
    case config::BodyForm::json: return Place::json;
    case config::BodyForm::html: return Place::html;
    case config::BodyForm::text: break;
  }
  return Place::text;
}

}  // namespace

FixedAnswer::FixedAnswer(const config::ResponseDestination& answer)
    : status_(answer.status),
      body_(parsed(answer.body.value_or(""))),
      place_(place_of(config::body_form(answer.headers).value_or(config::BodyForm::text))) {
  for (const auto& [name, value] : answer.headers) {
    data::Template made = parsed(value);
    if (!made.constant())
      computed_.emplace_back(name, std::move(made));
    else
      literal_.add(name, made.pieces.empty() ? "" : made.pieces.front().text);
  }
  if (body_.constant()) return;
  if (!literal_.contains(http::Name::content_type)) literal_.add(http::Name::content_type, "text/plain; charset=utf-8");
  if (!literal_.find("x-content-type-options")) literal_.add("X-Content-Type-Options", "nosniff");
}

Response FixedAnswer::answer(const Request& request) const {
  Response response(status_);
  response.headers = literal_;
  for (const auto& [name, value] : computed_) {
    http::Writer text(256);
    Filling filling = fill(value, Place::header, request, text);
    if (filling.outcome == Filling::Outcome::missing) continue;
    if (!filling) return refuse(filling);
    response.headers.add(name, text.view());
  }
  if (body_.constant()) {
    if (!body_.pieces.empty()) response.body = http::Body(Bytes::copy(body_.pieces.front().text));
    return response;
  }
  http::Writer body(256);
  if (Filling filling = fill(body_, place_, request, body); !filling) return refuse(filling);
  response.body = http::Body(body.finish());
  return response;
}

[[clang::coro_wrapper, clang::coro_disable_lifetimebound]] Task<Response> FixedAnswer::call(Request& request) {
  return ready(answer(request));
}

}  // namespace portloom::pipeline
