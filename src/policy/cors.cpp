// policy/cors.cpp
//
// Lets pages of other origins call (the Fetch standard, "CORS protocol"): answers preflights itself, and says on every other
// answer who may read it, also on failures of the gateway's own. What a service says about this is taken off: one place
// decides. Whenever the answer depends on the origin, Vary says so, or a cache would give one page's answer to another.
#include <algorithm>
#include <string>
#include <vector>

#include "base/text.h"
#include "http/grammar.h"
#include "policy/kind.h"
#include "policy/refusal.h"

namespace portloom::policy {

using http::Name;
using pipeline::Next;
using pipeline::Request;
using pipeline::Response;

namespace {

constexpr size_t asked_fields_max = 64;  // names in Access-Control-Request-Headers

bool is_host_character(char c) { return is_alpha(c) || is_digit(c) || c == '-' || c == '.' || c == '_'; }

// scheme://host[:port] as browsers write it (RFC 6454 §6.2), the host perhaps behind "*."; or "*".
bool is_origin_pattern(std::string_view text) {
  if (text == "*") return true;
  size_t separator = text.find("://");
  if (separator == std::string_view::npos || separator == 0) return false;
  std::string_view scheme = text.substr(0, separator);
  if (!is_alpha(scheme.front()) ||
      !std::all_of(scheme.begin(), scheme.end(), [](char c) { return is_alpha(c) || is_digit(c) || c == '+' || c == '-' || c == '.'; }))
    return false;
  std::string_view host = text.substr(separator + 3);
  if (host.starts_with("*.")) host.remove_prefix(2);
  size_t bracket = host.starts_with('[') ? host.find(']') : std::string_view::npos;
  size_t colon = host.find(':', bracket == std::string_view::npos ? 0 : bracket);
  if (colon != std::string_view::npos) {
    std::optional<uint64_t> port = parse_number(host.substr(colon + 1));
    if (!port || *port == 0 || *port > 65535) return false;
    host = host.substr(0, colon);
  }
  if (bracket != std::string_view::npos) return config::is_host_pattern(host) && host.front() == '[';
  return !host.empty() && host.front() != '.' && host.back() != '.' && std::all_of(host.begin(), host.end(), is_host_character);
}

bool is_field_or_star(std::string_view text) { return text == "*" || data::is_header_name(text); }
bool is_method_or_star(std::string_view text) { return text == "*" || config::is_method(text); }

// Names that a page may set without asking as long as their values are harmless (Fetch, "CORS-safelisted request-header").
// Other values are asked for, and an origin that may call at all may send a JSON body.
bool is_usual_field(std::string_view name) {
  return std::ranges::any_of(std::array{"accept", "accept-language", "content-language", "content-type", "range"},
                             [name](std::string_view usual) { return equals_ignoring_case(usual, name); });
}

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), to_lower);
  return text;
}

std::string joined(const std::vector<std::string>& texts) {
  std::string list;
  for (const std::string& text : texts) list += (list.empty() ? "" : ", ") + text;
  return list;
}

bool holds(const std::vector<std::string>& list, std::string_view text) { return std::find(list.begin(), list.end(), text) != list.end(); }

// Which origins are let in.
class Origins {
 public:
  explicit Origins(const std::vector<std::string>& written) : any_(holds(written, "*")) {
    for (const std::string& text : written) {
      size_t star = text.find("://*.");
      if (star == std::string::npos)
        exact_.push_back(lower(text));
      else
        below_.push_back({lower(text.substr(0, star + 3)), lower(text.substr(star + 4))});
    }
  }
  bool any() const { return any_; }
  // Browsers write origins in lower case.
  bool contains(std::string_view origin) const {
    if (holds(exact_, origin)) return true;
    return std::any_of(below_.begin(), below_.end(), [origin](const Below& below) {
      if (origin.size() <= below.scheme.size() + below.rest.size()) return false;
      if (!origin.starts_with(below.scheme) || !origin.ends_with(below.rest)) return false;
      std::string_view labels = origin.substr(below.scheme.size(), origin.size() - below.scheme.size() - below.rest.size());
      return labels.front() != '.' && labels.back() != '.' && std::all_of(labels.begin(), labels.end(), is_host_character);
    });
  }

 private:
  struct Below {
    std::string scheme;  // "https://"
    std::string rest;    // ".shop.example", with the port
  };
  bool any_;
  std::vector<std::string> exact_;
  std::vector<Below> below_;
};

}  // namespace

struct Cors final : pipeline::Policy {
  struct Config {
    std::vector<std::string> origins;
    std::vector<std::string> methods{"GET", "HEAD", "POST"};
    std::vector<std::string> headers;
    std::vector<std::string> expose;
    bool credentials = false;
    Duration max_age = 10min;

    void visit(this auto& self, auto& field) {
      using namespace data::rules;
      field("origins", self.origins, required, short_form, at_least(1), valid(is_origin_pattern, "an origin like https://shop.example"),
            "Whose pages may call: exact, `https://*.shop.example` for all names below one, or `*` for everybody.");
      field("methods", self.methods, at_least(1), valid(is_method_or_star, "a method like GET"),
            "With which methods; `*`: whichever is asked for.");
      field("headers", self.headers, valid(is_field_or_star, "a header field"),
            "Which request fields beside Accept, Accept-Language, Content-Language, Content-Type and Range; `*`: whichever are asked for.");
      field("expose", self.expose, valid(data::is_header_name, "a header field"),
            "Which fields of an answer a page may read beside the few that it always may.");
      field("credentials", self.credentials, "Whether cookies and other credentials may come along; never with the origin `*`.");
      field("max_age", self.max_age, at_most(Duration(24h)), "How long a browser may remember a preflight's answer.");
    }
    void check(data::Checker& checker) const {
      if (holds(origins, "*") && origins.size() > 1) checker.error("origins", "`*` is everybody: the others say nothing");
      if (holds(origins, "*") && credentials)
        checker.error("credentials", "with credentials the origin `*` would let every page act as its visitor", "list the origins");
      for (const std::string& origin : origins) {
        if (origin.starts_with("https://") && origin.ends_with(":443"))
          checker.error("origins", "browsers leave out the usual port of " + origin, "write it without :443");
        if (origin.starts_with("http://") && origin.ends_with(":80"))
          checker.error("origins", "browsers leave out the usual port of " + origin, "write it without :80");
      }
    }
  };

  Cors(const Config& config, const data::Part&, const Building& building)
      : origins_(config.origins),
        any_method_(holds(config.methods, "*")),
        any_field_(holds(config.headers, "*")),
        credentials_(config.credentials),
        methods_(config.methods),
        method_list_(joined(config.methods)),
        expose_(joined(config.expose)),
        max_age_(std::to_string(config.max_age / 1s)),
        refusal_("cors", building.config) {
    for (const std::string& name : config.headers) fields_.push_back(lower(name));
  }
  std::string_view kind() const override { return "cors"; }

  [[clang::coro_wrapper]] Task<Response> call(Request& request, Next next) override {
    // Two Origin fields: which one would a service have believed? It is nobody's.
    bool has_origin = request.headers.count(Name::origin) == 1;
    std::string_view origin = has_origin ? *request.headers.find(Name::origin) : std::string_view{};
    bool preflight =
        has_origin && request.method() == http::Method::OPTIONS && request.headers.contains(Name::access_control_request_method);
    if (preflight) return ready(answer_preflight(request, origin));
    http::Headers& reply = request.exchange.reply_headers;  // leaves with whatever answer this becomes
    if (!origins_.any()) add_vary(reply, "Origin");
    if (origins_.any() || (has_origin && origins_.contains(origin))) admit(reply, origin);
    if (!has_origin && !origins_.any() && !request.headers.contains(Name::origin)) return next(request);
    return alone(request, next);
  }

 private:
  // The answer without what the service behind says on the subject.
  static Task<Response> alone(Request& request, Next next) {
    Response response = co_await next(request);
    response.headers.remove_if([](const http::Headers::Field& field) {
      constexpr std::string_view prefix = "access-control-";
      return field.name.size() > prefix.size() && equals_ignoring_case(field.name.substr(0, prefix.size()), prefix);
    });
    co_return response;
  }

  void allow(http::Headers& headers, std::string_view origin) const {
    headers.set(Name::access_control_allow_origin, origins_.any() ? std::string_view("*") : origin);
    if (credentials_) headers.set("Access-Control-Allow-Credentials", "true");
  }
  void admit(http::Headers& headers, std::string_view origin) const {
    allow(headers, origin);
    if (!expose_.empty()) headers.set("Access-Control-Expose-Headers", expose_);
  }

  static void add_vary(http::Headers& headers, std::string_view names) {
    bool there = false;  // an outer policy, or an earlier attempt of this very request
    headers.for_each(Name::vary, [&](std::string_view value) { there |= value == names; });
    if (!there) headers.add(Name::vary, names);
  }

  Response answer_preflight(Request& request, std::string_view origin) const {
    std::string_view method = *request.headers.find(Name::access_control_request_method);
    std::string asked;
    if (!origins_.any() && !origins_.contains(origin)) return refuse(request, "pages of this origin may not call");
    if (!http::is_token(method) || (!any_method_ && !holds(methods_, method)))
      return refuse(request, "pages may not use the method of Access-Control-Request-Method");
    if (!may_send(request.headers, asked)) return refuse(request, "pages may not set the fields of Access-Control-Request-Headers");
    Response response(204);
    allow(response.headers, origin);
    response.headers.add("Access-Control-Allow-Methods", any_method_ ? method : std::string_view(method_list_));
    if (!asked.empty()) response.headers.add("Access-Control-Allow-Headers", asked);
    response.headers.add("Access-Control-Max-Age", max_age_);
    say_what_it_depends_on(response);
    refusal_.note(request.exchange.record);
    return response;
  }

  Response refuse(Request& request, std::string detail) const {
    Response response = refusal_.answer(request, Code::forbidden, Side::client, std::move(detail));
    say_what_it_depends_on(response);
    return response;
  }
  static void say_what_it_depends_on(Response& response) {
    response.headers.add(Name::vary, "Origin, Access-Control-Request-Method, Access-Control-Request-Headers");
  }

  // `asked` becomes the list of what was asked for, all of which is allowed.
  bool may_send(const http::Headers& headers, std::string& asked) const {
    size_t count = 0;
    bool good = true;
    headers.for_each(Name::access_control_request_headers, [&](std::string_view list) {
      good = good && http::for_each_element(list, [&](std::string_view name) {
               if (++count > asked_fields_max || !http::is_token(name) || !is_open(name)) return false;
               asked += (asked.empty() ? "" : ", ") + std::string(name);
               return true;
             });
    });
    return good;
  }
  bool is_open(std::string_view field) const { return any_field_ || is_usual_field(field) || holds(fields_, lower(std::string(field))); }

  Origins origins_;
  bool any_method_;
  bool any_field_;
  bool credentials_;
  std::vector<std::string> methods_;
  std::vector<std::string> fields_;  // lower case
  std::string method_list_;
  std::string expose_;
  std::string max_age_;
  Refusal refusal_;
};

constinit const Kind cors_kind =
    kind_of<Cors>("cors", "Lets pages of other origins call: answers preflights, and says who may read an answer.");

}  // namespace portloom::policy
